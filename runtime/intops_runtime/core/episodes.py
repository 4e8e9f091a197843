"""The episodes engine: what one event does to the record of its episode.

Pure: an event, what is known of its key, and the Flow's closure give one decision. Called by the lane.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from intops_api.flow import Closure
from intops_runtime.core.messages import COMPLETES, Episode, Link

OPEN = "open"
RESOLVED = "resolved"
ORPHAN = "orphanResolved"


@dataclass(frozen=True, slots=True)
class Create:
    """Make a record for this episode."""

    episode: str = OPEN


@dataclass(frozen=True, slots=True)
class Change:
    """Bring the linked record to this incident, through the class's `operation`."""

    operation: str
    episode: str
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Comment:
    """Tell the linked record something."""

    text: str
    episode: str


@dataclass(frozen=True, slots=True)
class Drop:
    """Nothing is to be done; `reason` says why and is counted."""

    reason: str
    episode: str | None


Decision = Create | Change | Comment | Drop

# Incident fields that a recovery may write; the rest belongs to the people who work on the record.
_RECOVERY_FIELDS = ("state", "resolvedAt", "resolution")
# Incident fields that belong to them alone once the record is made.
_WORK_FIELDS = ("assignmentGroup", "assignee")


def is_heartbeat(event: Mapping[str, Any]) -> bool:
    """Whether an event says only that its source lives; there is no incident that it could be mapped to."""
    return event.get("state") == "heartbeat"


def decide(
    event: dict[str, Any],
    incident: dict[str, Any],
    *,
    episode: Episode | None,
    link: Link | None,
    closure: Closure,
    transitions: dict[str, list[str]],
    completing: bool = False,
) -> Decision:
    """What the event does.

    Args:
        event: Canonical event of one episode.
        incident: Incident that the Pattern's Mapping makes of it.
        episode: What is remembered of the episode.
        link: Record that stands for it, if any.
        closure: The Flow's `spec.closure`.
        transitions: Allowed changes of the incident's state, from the model.
        completing: Whether it was delivered before, and more is known of it now.
    """
    state = event.get("state")
    if is_heartbeat(event):
        return Drop("heartbeat", episode.state if episode else None)
    stands = episode.state if episode else OPEN
    if completing:
        owned = _RECOVERY_FIELDS + _WORK_FIELDS
        return Drop("agreed", stands) if link is None else _completed(incident, link, stands, owned)
    if event.get(COMPLETES) and link is not None:
        return _completed(incident, link, stands, _RECOVERY_FIELDS)
    if state == "resolved":
        return _recovered(event, incident, episode, link, closure)
    if episode is not None and episode.state == ORPHAN:
        return Drop("selfHealed", ORPHAN)
    if link is None:
        if state == "suppressed":
            return Drop("suppressed", episode.state if episode else None)
        return Create()
    if episode is not None and episode.state == RESOLVED:
        return Drop("late", RESOLVED)  # the same outbreak has already ended
    if state == "acknowledged":
        return _acknowledged(incident, link, transitions)
    return Drop("repeat", OPEN)


def _completed(
    incident: dict[str, Any], link: Link, state: str, owned: tuple[str, ...]
) -> Decision:
    """What was left out of the record is decided now, be it over; where work stands is not touched."""
    agreed = link.agreed.get("incident", {})
    fields = {
        name: value
        for name, value in incident.items()
        if name not in owned and agreed.get(name) != value
    }
    return Change("update", state, fields) if fields else Drop("agreed", state)


def _recovered(
    event: dict[str, Any],
    incident: dict[str, Any],
    episode: Episode | None,
    link: Link | None,
    closure: Closure,
) -> Decision:
    if link is None:
        return Drop("resolvedBeforeFiring", ORPHAN)
    if episode is not None and episode.state == RESOLVED:
        return Drop("repeat", RESOLVED)
    match closure.on_resolved:
        case "resolve":
            fields = {name: incident[name] for name in _RECOVERY_FIELDS if name in incident}
            return Change("transition", RESOLVED, fields)
        case "comment":
            ended = event.get("endsAt", "")
            return Comment(f"The alert recovered{f' at {ended}' if ended else ''}.", RESOLVED)
        case _:
            return Drop("recoveryIgnored", RESOLVED)


def _acknowledged(
    incident: dict[str, Any], link: Link, transitions: dict[str, list[str]]
) -> Decision:
    wanted = incident.get("state")
    agreed = link.agreed.get("incident", {}).get("state")
    if wanted == agreed or (transitions and wanted not in transitions.get(str(agreed), [])):
        return Drop("stale", OPEN)
    return Change("transition", OPEN, {"state": wanted})
