"""Judge everything that is not a Flow: Connector, Mapping, ConnectorClass, CanonicalModel, Pattern.

Called by the reconciler. All of it comes from specs and from workers' reports, never from another
object's status.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel

from intops_api.canonical_model import CanonicalModelSpec
from intops_api.common import Owner
from intops_api.conditions import STANDING_CONDITIONS, Condition, ConditionType, Reason
from intops_api.connector import ConnectorSpec
from intops_api.connector_class import ClassLimits, ConnectorClassSpec
from intops_api.mapping import MappingEnd, MappingSpec
from intops_api.pattern import PatternSpec
from intops_core.findings import Finding
from intops_core.limits import limits_in_use
from intops_operator.core import sentences as say
from intops_operator.core.about import Seen
from intops_operator.core.verdict import Verdict, in_order, stamp


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known about one such object."""

    kind: str
    name: str
    generation: int
    now: datetime
    spec: BaseModel | None
    findings: tuple[Finding, ...] = ()
    users: int = 0
    """Flows that use it; for a class its Connectors, for a model its Mappings."""
    others: Mapping[str, int] = field(default_factory=dict)
    """How many objects of other kinds use it, by kind."""
    violations: int = 0
    """Of a Pattern: Flows that break it."""
    exceptions: int = 0
    """Of a Pattern: exceptions from it that its Flows have."""
    system: Seen | None = None
    """Of a Connector: how its system is doing as all its Flows see it."""
    drift: Verdict | None = None
    """Of a Mapping: SchemaStable as all its Flows see it."""
    class_limits: ClassLimits | None = None
    """Of a Connector: the limits of its class, where that is known."""
    previous: Mapping[str, Condition] = field(default_factory=dict)

    @property
    def owner(self) -> Owner | None:
        """Who is accountable, where the kind says so."""
        owner = getattr(self.spec, "owner", None)
        return owner if isinstance(owner, Owner) else None


def standing_status(standing: Standing) -> dict[str, Any]:
    """The whole status, ready to be applied."""
    documented = STANDING_CONDITIONS[standing.kind]
    verdicts = [_accepted(standing)]
    if ConditionType.RESOLVED_REFS in documented:
        verdicts.append(_resolved(standing))
    if standing.system is not None:
        verdicts += standing.system.verdicts
    if standing.drift is not None:
        verdicts.append(standing.drift)
    verdicts.append(_ready(standing, verdicts))
    refused = verdicts[0]
    if refused.status == "False":
        stalled = Verdict(ConditionType.STALLED, "True", refused.reason, refused.message)
        verdicts.append(stalled)
    conditions = stamp(in_order(verdicts), standing.previous, standing.generation, standing.now)
    return {
        "observedGeneration": standing.generation,
        "conditions": [condition.to_wire() for condition in conditions],
        **_columns(standing),
    }


def _denials(standing: Standing) -> list[Finding]:
    return [f for f in standing.findings if f.severity == "deny" and f.missing is None]


def _missing(standing: Standing) -> list[Finding]:
    return [f for f in standing.findings if f.missing is not None]


def _told(found: Sequence[Finding], owner: Owner | None, action: str) -> str:
    texts = []
    for finding in found:
        text = say.sentence(finding.message)
        shown = finding.path and finding.path not in text
        texts.append(f"{text} [{finding.path}]" if shown else text)
    return say.tell(say.numbered(texts), action=action, owner=owner)


def _accepted(standing: Standing) -> Verdict:
    kind, denials = ConditionType.ACCEPTED, _denials(standing)
    if not denials:
        return Verdict(kind, "True", Reason.ACCEPTED, f"The {standing.kind} is well-formed.")
    action = "Flows that ran before keep their last good plan."
    message = _told(denials, standing.owner, action)
    return Verdict(kind, "False", Reason.INVALID_SPEC, message)


def _resolved(standing: Standing) -> Verdict:
    kind, missing = ConditionType.RESOLVED_REFS, _missing(standing)
    if not missing:
        text = f"Everything the {standing.kind} names exists."
        return Verdict(kind, "True", Reason.RESOLVED, text)
    message = _told(missing, standing.owner, "Once it exists, this goes on by itself.")
    return Verdict(kind, "False", Reason.REF_NOT_FOUND, message)


def _ready(standing: Standing, verdicts: Sequence[Verdict]) -> Verdict:
    kind = ConditionType.READY
    for verdict in verdicts:
        counts = STANDING_CONDITIONS[standing.kind][verdict.type].counts_for_ready
        if counts and verdict.status == "False":
            return Verdict(kind, "False", verdict.reason, verdict.message)
    if standing.users == 0 and not any(standing.others.values()):
        # True all the same: GitOps waits for a Connector before it applies the first Flow of it.
        return Verdict(kind, "True", Reason.UNUSED, "It is well-formed; nothing uses it yet.")
    return Verdict(kind, "True", Reason.IN_USE, "It is well-formed and in use.")


def _columns(standing: Standing) -> dict[str, Any]:
    """What `kubectl get` shows beside the conditions."""
    spec = standing.spec
    match spec:
        case ConnectorSpec():
            return connector_columns(spec, standing)
        case MappingSpec():
            return {"flows": standing.users, **mapping_columns(spec, standing)}
        case ConnectorClassSpec():
            return {"connectors": standing.users, "capabilities": capabilities(spec)}
        case CanonicalModelSpec():
            return {
                "mappings": standing.users,
                "classes": standing.others.get("ConnectorClass", 0),
                "patterns": standing.others.get("Pattern", 0),
            }
        case PatternSpec():
            return {
                "flows": standing.users,
                "violations": standing.violations,
                "exceptions": standing.exceptions,
            }
        case _:
            return {}


def connector_columns(spec: ConnectorSpec, standing: Standing) -> dict[str, Any]:
    """Where it is, how hard it is worked, and what keeps messages from it; only what is known."""
    seen = standing.system
    columns: dict[str, Any] = {
        "flows": standing.users,
        "host": urlsplit(spec.endpoint).hostname if spec.endpoint else None,
        "limits": limits(spec, standing.class_limits),
        "errorClass": seen.error_class if seen else None,
        "since": seen.since if seen else None,
        "certificateExpires": seen.certificate_expires if seen else None,
    }
    return {name: value for name, value in columns.items() if value is not None}


def limits(spec: ConnectorSpec, known: ClassLimits | None) -> str | None:
    """The limits that hold, such as `10/s, 4 at once`; None where the class is not there."""
    if known is None:
        return None
    used = limits_in_use(spec.limits, known)
    return f"{used.requests_per_second:g}/s, {used.concurrency} at once"


def mapping_columns(spec: MappingSpec, standing: Standing) -> dict[str, Any]:
    """Both ends, how many examples hold, and when the first deprecated form ends."""
    total = len(spec.examples)
    failed = {
        finding.path.partition("]")[0]
        for finding in _denials(standing)
        if finding.path.startswith("spec.examples[")
    }
    columns: dict[str, Any] = {
        "ends": f"{end(spec.from_)} → {end(spec.to)}",
        "examples": f"{total - len(failed)}/{total}",
    }
    sunsets = sorted(v.sunset for v in spec.variants if v.sunset and v.status == "deprecated")
    if sunsets:
        left = (date.fromisoformat(sunsets[0]) - standing.now.date()).days
        columns["sunset"] = f"{max(0, left)}d"
    return columns


def end(of: MappingEnd) -> str:
    """`alertmanager/alert` or `event/v1`."""
    first, second = (of.class_, of.object) if of.class_ else (of.model, of.version)
    return f"{first}/{second}" if second else str(first)


def capabilities(spec: ConnectorClassSpec) -> str:
    """What a class offers, in one line."""
    return ", ".join([*(["capture"] if spec.capture else []), *sorted(spec.operations)])
