"""What the audit says of a message that was settled, sent to a person, or decided about: entries as values.

Pure. Called by the stores in the transactions that these entries record.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from intops_core.records import ABSENT, get_path
from intops_runtime.core.auditing import Entry
from intops_runtime.core.decisions import Answer, Decision, Resolution
from intops_runtime.core.messages import NewMessage, Settlement, State

_ACTIONS: Final = {
    State.DONE: "delivered",
    State.DROPPED: "dropped",
    State.REVIEW: "toReview",
    State.DISCARDED: "discarded",
}
_NO_VALUES: Final[dict[str, Any]] = {}
# An alert that is said again decides nothing: it is counted, and stands among the transitions.
_NOTHING_DECIDED: Final = frozenset({"repeat", "duplicate"})


def decides(ended: Settlement) -> bool:
    """Whether a settlement is a decision, which the audit tells of."""
    return ended.state in _ACTIONS and ended.reason not in _NOTHING_DECIDED


def settled(
    ended: Settlement,
    *,
    key: str,
    mapped_with: str,
    fingerprint: str | None,
    attempt: tuple[str, str, str] | None,
) -> Entry:
    """What was decided about a message by rule, where that `decides`.

    Args:
        ended: What became of the message.
        key: Its correlation key.
        mapped_with: Hash of the plan that made its record.
        fingerprint: Of the cause, where it goes to a person.
        attempt: Plan, step and binding of the attempt that ended with it.
    """
    plan, step, binding = attempt or (mapped_with, None, None)
    link = ended.link
    facts = {
        "message": ended.message_id,
        "key": key,
        "how": ended.reason,
        "plan": plan,
        "mappedWith": mapped_with if mapped_with != plan else None,
        "step": step,
        "binding": binding or (link.binding if link is not None else None),
        "record": link.native_id if link is not None else None,
        "errorClass": ended.error_class,
        "rule": ended.evidence.get("rule"),
        "status": ended.evidence.get("status"),
        "path": ended.path,
        "fingerprint": fingerprint,
    }
    values = {"detail": ended.detail} if ended.detail is not None else _NO_VALUES
    return Entry(_ACTIONS[ended.state], facts, values)


def not_mapped(number: int, new: NewMessage, fingerprint: str) -> Entry:
    """A message could not be mapped and waits for a person."""
    facts = {
        "message": number,
        "key": new.key,
        "how": new.reason,
        "plan": new.plan_hash,
        "errorClass": new.error_class,
        "path": new.path,
        "fingerprint": fingerprint,
    }
    return Entry("toReview", facts, {"detail": new.detail})


@dataclass(frozen=True, slots=True)
class Before:
    """A message in review as a decision found it."""

    key: str
    record: Any
    plan_hash: str
    error_class: str | None
    detail: str | None
    path: str | None
    fingerprint: str | None


def decided(decision: Decision, resolution: Resolution, before: Before) -> Entry:
    """A person has decided about one message."""
    facts = {
        "decision": decision.id,
        "message": resolution.message_id,
        "key": resolution.key or before.key,
        "plan": resolution.plan_hash or before.plan_hash,
        "errorClass": before.error_class,
        "path": before.path,
        "fingerprint": before.fingerprint,
        "fields": sorted(decision.patch) or None,
    }
    values = {
        "actor": decision.actor,
        "approvedBy": decision.approved_by,
        "reason": decision.reason,
        "evidence": before.detail,
        "changes": _changes(before.record, decision.patch) if decision.patch else None,
    }
    return Entry(decision.verb, facts, values)


def refused(decision: Decision, answer: Answer) -> Entry:
    """A decision of a person was refused."""
    facts = {"decision": decision.id, "verb": decision.verb, "path": answer.path}
    values = {"actor": decision.actor, "reason": decision.reason, "detail": answer.refused}
    return Entry("refused", facts, values)


def _changes(record: Any, patch: Mapping[str, Any]) -> dict[str, Any]:
    """Each corrected field with its value before and after."""
    before = {path: get_path(record, path) for path in patch}
    return {
        path: {"before": None if before[path] is ABSENT else before[path], "after": value}
        for path, value in patch.items()
    }
