"""An Event for each change of what Ready says: what `kubectl describe` shows below the status.

Called by the status writer after it has written a status. Only transitions are told, with the sentence of the
condition; what is merely on its way, and counters, never.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from intops_api import names
from intops_api.conditions import ConditionType, Reason
from intops_core.resources import Ref

StatusDict = Mapping[str, Any]

CONTROLLER: Final = f"{names.GROUP}/operator"
LONGEST_NOTE: Final = 1024  # what the API server takes
LONGEST_INSTANCE: Final = 128
LONGEST_NAME: Final = 230  # leaves room for the moment below 253
ON_ITS_WAY: Final = frozenset({Reason.APPLYING.value, Reason.PENDING.value})
WANTED: Final = frozenset({Reason.SUSPENDED.value})
"""Reasons for False that a person has asked for."""


def happening(
    ref: Ref, uid: str, before: StatusDict, after: StatusDict, now: datetime, instance: str
) -> dict[str, Any] | None:
    """The Event of a written status; None where Ready says what it said.

    Args:
        ref: The object.
        uid: Its uid.
        before: The status that stood there; empty if it is not known.
        after: The status that was written.
        now: The moment of writing, in UTC.
        instance: Name of the replica that wrote.
    """
    was, is_ = _ready(before), _ready(after)
    if not _is_news(ref.kind, was, is_):
        return None
    status, reason = is_["status"], is_["reason"]
    regarding = {
        "apiVersion": names.API_VERSION,
        "kind": ref.kind,
        "name": ref.name,
        "uid": uid,
        **({"namespace": ref.namespace} if ref.namespace else {}),
    }
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": f"{ref.name[:LONGEST_NAME]}.{int(now.timestamp() * 1e6):x}",
            # Events of what lives in no namespace are kept in this one.
            "namespace": ref.namespace or "default",
        },
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": CONTROLLER,
        "reportingInstance": instance[:LONGEST_INSTANCE],
        "action": "Judge",
        "type": "Warning" if status == "False" and reason not in WANTED else "Normal",
        "reason": reason,
        "note": _note(is_["message"]),
        "regarding": regarding,
    }


def _ready(status: StatusDict) -> Mapping[str, str]:
    found = (c for c in status.get("conditions") or () if c.get("type") == ConditionType.READY)
    return next(found, {})


def _is_news(kind: str, was: Mapping[str, str], is_: Mapping[str, str]) -> bool:
    if not was or not is_ or is_["reason"] in ON_ITS_WAY or is_["status"] == "Unknown":
        return False
    if is_["status"] == "True":
        # That what others use is there is no news; that a Flow works for the first time is.
        return was.get("status") == "False" or (was.get("status") == "Unknown" and kind == "Flow")
    return (was.get("status"), was.get("reason")) != (is_["status"], is_["reason"])


def _note(message: str) -> str:
    return message if len(message) <= LONGEST_NOTE else message[: LONGEST_NOTE - 3] + "..."
