"""What is read back from a worker's Deployment: its state, and what the operator noted on it.

`observed` keeps it in the cache; `sizing` and `rollout` go on from it after a change of leader.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from intops_api import names
from intops_operator.core.rolling import Before, Release, Roll
from intops_operator.core.scaling import Size

CAPACITY_DIGITS: Final = 3


@dataclass(frozen=True, slots=True)
class Deployed:
    """One worker's Deployment."""

    replicas: int
    ready: int
    settled: bool
    """Whether all pods are ready and of the present template, and no other is left."""
    image: str
    size: Size | None
    """As it was noted last; None if the backlog never changed it."""
    roll: Roll | None
    """As it was noted last; None on one that an older operator made."""
    embedded: bool = False
    """Whether its pods keep messages in a volume."""
    template: str = ""
    """Hash of what its pods are made from."""
    current: bool = True
    """Whether a pod of the present template is there; as it was before, until the change of anything else is seen."""


def deployed(body: Mapping[str, Any], before: Deployed | None = None) -> Deployed:
    """The facts of one Deployment. What somebody wrote over our notes counts as not noted.

    Args:
        body: The Deployment.
        before: What was known of it.
    """
    spec, status = body.get("spec") or {}, body.get("status") or {}
    notes = body["metadata"].get("annotations") or {}
    containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or []
    replicas = int(spec.get("replicas", 1))
    seen = int(status.get("observedGeneration") or 0) >= int(
        body["metadata"].get("generation") or 0
    )
    counts = [int(status.get(key) or 0) for key in ("replicas", "updatedReplicas", "readyReplicas")]
    template = _template(spec)
    if seen:
        current = counts[1] > 0 or replicas == 0
    else:
        # Notes and sizes raise the generation too, and change no pod.
        current = before is not None and before.current and before.template == template
    return Deployed(
        replicas=replicas,
        ready=counts[2],
        settled=seen and counts == [replicas] * 3,
        image=next((c.get("image", "") for c in containers if c.get("name") == "worker"), ""),
        size=_size(_noted(notes.get(names.ANNOTATION_SCALE))),
        roll=_roll(_noted(notes.get(names.ANNOTATION_ROLLOUT))),
        embedded=(spec.get("strategy") or {}).get("type") == "Recreate",
        template=template,
        current=current,
    )


def _template(spec: Mapping[str, Any]) -> str:
    text = json.dumps(spec.get("template"), sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def size_note(size: Size) -> dict[str, str]:
    """The annotation for a size; none where the backlog never changed it."""
    if size.at is None:
        return {}
    said: dict[str, Any] = {"replicas": size.replicas, "at": _text(size.at)}
    if size.capacity is not None:
        said["capacity"] = round(size.capacity, CAPACITY_DIGITS)
    return {names.ANNOTATION_SCALE: _json(said)}


def roll_note(roll: Roll) -> dict[str, str]:
    """The annotation for a roll."""
    release = roll.release
    said: dict[str, Any] = {
        "image": release.image,
        "template": release.template,
        "inputs": roll.inputs,
    }
    if roll.at is not None:
        said |= {
            "at": _text(roll.at),
            "ready": roll.ready,
            "review": roll.review,
            "proved": roll.proved,
        }
    if roll.flows:
        said["flows"] = {one.flow: [one.ready, one.review] for one in roll.flows}
    return {names.ANNOTATION_ROLLOUT: _json(said)}


def _size(said: Mapping[str, Any]) -> Size | None:
    replicas, at, capacity = said.get("replicas"), _moment(said.get("at")), said.get("capacity")
    if type(replicas) is not int or replicas < 1 or at is None:
        return None
    known = isinstance(capacity, int | float) and capacity > 0
    return Size(replicas, at, float(capacity) if known and capacity is not None else None)


def _roll(said: Mapping[str, Any]) -> Roll | None:
    image, at, review = said.get("image"), _moment(said.get("at")), said.get("review", 0)
    if not isinstance(image, str) or not image:
        return None
    return Roll(
        release=Release(image, str(said.get("template", ""))),
        inputs=str(said.get("inputs", "")),
        at=at,
        ready=said.get("ready") is True,
        review=review if type(review) is int else 0,
        proved=said.get("proved") is True,
        flows=_flows(said.get("flows")),
    )


def _flows(said: object) -> tuple[Before, ...]:
    """How the Flows of a pool were before; one whose entry somebody broke counts as not well before."""
    found = []
    for flow, entry in said.items() if isinstance(said, dict) else ():
        ready, review = entry if isinstance(entry, list) and len(entry) == 2 else (False, 0)
        found.append(Before(str(flow), ready is True, review if type(review) is int else 0))
    return tuple(found)


def _noted(text: str | None) -> Mapping[str, Any]:
    try:
        said = json.loads(text or "{}")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _moment(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _json(said: Mapping[str, Any]) -> str:
    return json.dumps(said, sort_keys=True, separators=(",", ":"))
