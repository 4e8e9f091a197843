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
from intops_api.conditions import Condition, ConditionType, Reason
from intops_api.connector import ConnectorSpec
from intops_api.connector_class import ConnectorClassSpec
from intops_api.mapping import MappingEnd, MappingSpec
from intops_api.pattern import PatternSpec
from intops_core.findings import Finding
from intops_operator.core import sentences as say
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
    violations: int = 0
    """Of a Pattern: Flows that break it."""
    system: tuple[Verdict, ...] = ()
    """Of a Connector: CredentialsValid and TargetReachable as its Flows see them."""
    previous: Mapping[str, Condition] = field(default_factory=dict)

    @property
    def owner(self) -> Owner | None:
        """Who is accountable, where the kind says so."""
        owner = getattr(self.spec, "owner", None)
        return owner if isinstance(owner, Owner) else None


def standing_status(standing: Standing) -> dict[str, Any]:
    """The whole status, ready to be applied."""
    verdicts = [_accepted(standing)]
    if standing.kind in {"Connector", "Mapping"}:
        verdicts.append(_resolved(standing))
    if standing.kind == "Connector":
        verdicts += standing.system
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
        if verdict.status == "False":
            return Verdict(kind, "False", verdict.reason, verdict.message)
    if standing.users == 0:
        # True all the same: GitOps waits for a Connector before it applies the first Flow of it.
        return Verdict(kind, "True", Reason.UNUSED, "It is well-formed; nothing uses it yet.")
    return Verdict(kind, "True", Reason.IN_USE, "It is well-formed and in use.")


def _columns(standing: Standing) -> dict[str, Any]:
    """What `kubectl get` shows beside the conditions."""
    spec = standing.spec
    match spec:
        case ConnectorSpec():
            host = urlsplit(spec.endpoint).hostname if spec.endpoint else None
            return {"flows": standing.users, **({"host": host} if host else {})}
        case MappingSpec():
            return {"flows": standing.users, **mapping_columns(spec, standing)}
        case ConnectorClassSpec():
            return {"connectors": standing.users, "capabilities": capabilities(spec)}
        case CanonicalModelSpec():
            return {"mappings": standing.users}
        case PatternSpec():
            return {"flows": standing.users, "violations": standing.violations}
        case _:
            return {}


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


def fold_systems(seen: Sequence[Sequence[Verdict]], users: int) -> tuple[Verdict, ...]:
    """What all Flows of a Connector see, as two statements: a False wins, then a True.

    Args:
        seen: For each Flow its CredentialsValid and TargetReachable about this Connector.
        users: How many Flows use the Connector.
    """
    folded = []
    for kind in (ConditionType.CREDENTIALS_VALID, ConditionType.TARGET_REACHABLE):
        found = [verdict for flow in seen for verdict in flow if verdict.type == kind]
        for status in ("False", "True"):
            match = next((v for v in found if v.status == status), None)
            if match is not None:
                folded.append(match)
                break
        else:
            reason = Reason.PENDING if users else Reason.UNUSED
            text = (
                "No worker has reported on it yet."
                if users
                else "No Flow uses it, so nobody has tried it."
            )
            folded.append(Verdict(kind, "Unknown", reason, text))
    return tuple(folded)
