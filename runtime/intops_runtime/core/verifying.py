"""Whether a sender is who it says: bearer, basic, or HMAC over the raw body. Constant-time, pure.

Called by capture for every request. The current and the previous value of a key are both good, so that
a credential can be changed without losing a message. Which values are weak, and who still needs a previous
one, is judged here too, by name of the key.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from enum import Enum

from intops_api.connector_class import Verify
from intops_api.names import SECRET_LEAST_BYTES, SECRET_PREVIOUS_SUFFIX


class Proof(Enum):
    """What the proof is worth."""

    GOOD = "good"
    WRONG = "wrong"
    NOT_READY = "notReady"
    """The Secret lacks the keys of every accepted scheme: nobody can be told from anybody."""


def verify(
    schemes: Iterable[Verify],
    secret: Mapping[str, str] | None,
    headers: Mapping[str, str],
    body: bytes,
) -> Proof:
    """Judge one request.

    Args:
        schemes: What the class accepts; any one suffices.
        secret: Keys and values of the Connector's Secret; None where it is missing.
        headers: Header names in lower case.
        body: The raw body, as it was signed.
    """
    usable = False
    for scheme in schemes:
        if not _has_keys(scheme, secret or {}):
            continue
        usable = True
        if _CHECKS[scheme.scheme](scheme, secret or {}, headers, body):
            return Proof.GOOD
    return Proof.WRONG if usable else Proof.NOT_READY


def verify_headers(
    schemes: Iterable[Verify], secret: Mapping[str, str] | None, headers: Mapping[str, str]
) -> Proof | None:
    """Judge a request before its body is read; None where only the body can tell.

    So a stranger costs neither memory nor time: only a request with a signature has to be read first.
    """
    known = list(schemes)
    signed = any(
        scheme.scheme == "hmac"
        and _has_keys(scheme, secret or {})
        and (scheme.header or "").lower() in headers
        for scheme in known
    )
    if signed:
        return None
    return verify(known, secret, headers, b"")


def weak_keys(schemes: Iterable[Verify], secret: Mapping[str, str]) -> list[str]:
    """Keys whose values prove a sender now and have fewer than SECRET_LEAST_BYTES bytes, in order.

    >>> weak_keys([Verify(scheme="bearer", key="token")], {"token": "x" * 32, "token.previous": "x"})
    ['token.previous']
    """
    usable = [scheme for scheme in schemes if _has_keys(scheme, secret)]
    secrets = [key for scheme in usable for key in (scheme.key, scheme.password_key) if key]
    known = [name for key in secrets for name in (key, _previous(key)) if secret.get(name)]
    return sorted({name for name in known if len(secret[name].encode()) < SECRET_LEAST_BYTES})


def previous_keys(schemes: Iterable[Verify], secret: Mapping[str, str]) -> list[str]:
    """Keys of previous values with which a sender could prove itself now, in order."""
    usable = [scheme for scheme in schemes if _has_keys(scheme, secret)]
    named = {_previous(key) for scheme in usable for key in _keys(scheme)}
    return sorted(name for name in named if secret.get(name))


def outdated_proof(
    schemes: Iterable[Verify], secret: Mapping[str, str], headers: Mapping[str, str], body: bytes
) -> list[str]:
    """Keys of the previous values that a good proof needs; empty where the current ones suffice.

    Costs next to nothing while the Secret holds no previous value.
    """
    known = list(schemes)
    previous = previous_keys(known, secret)
    if not previous or verify(known, _less(secret, previous), headers, body) is Proof.GOOD:
        return []
    good = [scheme for scheme in known if verify([scheme], secret, headers, body) is Proof.GOOD]
    return [
        name
        for name in previous
        if any(
            verify([scheme], _less(secret, [name]), headers, body) is not Proof.GOOD
            for scheme in good
        )
    ]


def _less(secret: Mapping[str, str], names: list[str]) -> dict[str, str]:
    return {key: value for key, value in secret.items() if key not in names}


def _previous(key: str) -> str:
    return f"{key}{SECRET_PREVIOUS_SUFFIX}"


def _keys(scheme: Verify) -> list[str]:
    return [key for key in (scheme.key, scheme.username_key, scheme.password_key) if key]


def _has_keys(scheme: Verify, secret: Mapping[str, str]) -> bool:
    named = False
    for key in (scheme.key, scheme.username_key, scheme.password_key):
        if key:
            if not secret.get(key):
                return False
            named = True
    return named


def _values(secret: Mapping[str, str], key: str | None) -> list[str]:
    """The current value and, while a credential is being changed, the previous one."""
    found = (secret.get(key or ""), secret.get(_previous(key or "")))
    return [value for value in found if value]


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())


def _bearer(
    scheme: Verify, secret: Mapping[str, str], headers: Mapping[str, str], _body: bytes
) -> bool:
    kind, _, given = headers.get("authorization", "").partition(" ")
    checks = [_same(given.strip(), value) for value in _values(secret, scheme.key)]
    return kind.lower() == "bearer" and any(checks)


def _basic(
    scheme: Verify, secret: Mapping[str, str], headers: Mapping[str, str], _body: bytes
) -> bool:
    kind, _, given = headers.get("authorization", "").partition(" ")
    try:
        name, _, word = base64.b64decode(given, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return False
    names = [_same(name, value) for value in _values(secret, scheme.username_key)]
    words = [_same(word, value) for value in _values(secret, scheme.password_key)]
    return kind.lower() == "basic" and any(names) and any(words)


def _hmac(
    scheme: Verify, secret: Mapping[str, str], headers: Mapping[str, str], body: bytes
) -> bool:
    given = [part.strip() for part in headers.get((scheme.header or "").lower(), "").split(",")]
    hash_of = {"sha256": hashlib.sha256, "sha512": hashlib.sha512}[scheme.algorithm]
    good = False
    for value in _values(secret, scheme.key):
        digest = hmac.new(value.encode(), body, hash_of).digest()
        text = digest.hex() if scheme.encoding == "hex" else base64.b64encode(digest).decode()
        for one in given:
            good |= _same(one, scheme.prefix + text)
    return good


_CHECKS = {"bearer": _bearer, "basic": _basic, "hmac": _hmac}
