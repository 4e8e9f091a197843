"""Keys that survive restarts, re-creation of a Flow and a second cluster.

Neither kind contains a Flow uid nor a hash of content: a Mapping edited between two attempts would
otherwise make a second ticket. Used by intake and by the lane.
"""

import hashlib
import re

# 100: ServiceNow's correlation_id is the shortest field that must hold the key.
MAX_LENGTH = 100
_DIGITS = "abcdefghijklmnopqrstuvwxyz234567"  # base32 (RFC 4648), in lower case
_PAIRS = [one + other for one in _DIGITS for other in _DIGITS]

_KEY = re.compile(r"iop1:[a-z2-7]{32}")


def key_in(value: object) -> str | None:
    """The correlation key that a value is or holds, whichever Flow or cluster it comes from; None if there is none.

    >>> key_in("[iop1:oflqlsrjnru3ejgdpflketq5sx3g3in2]"), key_in("INC0010001"), key_in(None)
    ('iop1:oflqlsrjnru3ejgdpflketq5sx3g3in2', None, None)
    """
    found = _KEY.search(value) if isinstance(value, str) else None
    return found[0] if found else None


def correlation_key(namespace: str, connector: str, model: str, engine_key: str) -> str:
    """Key of everything that is about the same thing, such as one episode: `iop1:` and 32 characters.

    >>> correlation_key("itsm", "alertmanager", "event", "8b38/2026-11-23T20:23:39.119Z")
    'iop1:oflqlsrjnru3ejgdpflketq5sx3g3in2'
    """
    digest = _digest(namespace, connector, model, engine_key)
    number = int.from_bytes(digest[:20])  # 20 bytes are 32 digits of five bits
    return "iop1:" + "".join([_PAIRS[(number >> shift) & 1023] for shift in range(150, -1, -10)])


def idempotency_key(store_id: str, message_id: int, received_at: float, step: str) -> str:
    """Key of one write, the same for every attempt of it: 40 hexadecimal characters.

    The time (epoch seconds) is in it because a store that was restored from a backup gives the numbers of
    lost messages to new ones, and a system would take the new write for the old one.
    """
    return _digest(store_id, str(message_id), f"{received_at:.6f}", step).hex()[:40]


def _digest(*parts: str) -> bytes:
    """Hash of parts that no other split of the same text can have: the separator is in no part."""
    return hashlib.sha256("\0".join(parts).encode()).digest()
