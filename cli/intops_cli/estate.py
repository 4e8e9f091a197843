"""An estate at a glance: which Flows are well, and what needs a person. Decides; reads nothing.

Made from Flows, Connectors and FlowActions in the shape of the cluster's objects, so a local run and a cluster
are told alike. Used by `status` and `top`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Literal

from intops_api.conditions import Reason
from intops_cli.columns import value_at

# What passes by itself, or what a person has decided: nobody is needed.
_PASSING: Final = frozenset({Reason.PENDING, Reason.APPLYING, Reason.SUSPENDED, Reason.UNUSED})
# True, and yet somebody has to do something before it turns False.
_SOON: Final = frozenset({Reason.EXPIRING, Reason.STORE_FILLING, Reason.WEAK_SECRET})
UNJUDGED_S: Final = 120.0
"""Seconds after which a Flow without a verdict means that nobody judges: an operator needs a few."""

Health = Literal["well", "passing", "unwell"]


@dataclass(frozen=True, slots=True)
class FlowLine:
    """One Flow as a line. Moments are RFC 3339; None is unknown, which is not zero."""

    namespace: str
    name: str
    health: Health
    reason: str
    backlog: int | None
    oldest_at: str | None
    review: int | None
    slo: str | None
    last_delivered_at: str | None
    delivered_per_hour: int | None
    failed_per_hour: int | None
    replicas: int | None
    pattern: str
    source: str
    target: str
    owner: str
    pool: str | None = None


@dataclass(frozen=True, slots=True)
class Need:
    """Something for a person. `urgent` False: not yet wrong, but it will be."""

    namespace: str
    subject: str
    what: str
    reason: str
    since: str | None
    sentence: str
    urgent: bool = True


@dataclass(frozen=True, slots=True)
class SystemLine:
    """A Connector whose system does not work."""

    namespace: str
    name: str
    host: str
    reason: str
    since: str | None
    flows: int
    sentence: str


@dataclass(frozen=True, slots=True)
class OperatorLine:
    """Who turns Flows into workers: the operator of a cluster, or a local run. `well` None: it cannot be seen."""

    well: bool | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Estate:
    """Everything that a person wants to know first: unwell Flows first, needs oldest first."""

    flows: tuple[FlowLine, ...]
    needs: tuple[Need, ...]
    down: tuple[SystemLine, ...]
    operator: OperatorLine

    @property
    def is_well(self) -> bool:
        """Whether nobody is needed now."""
        urgent = any(need.urgent for need in self.needs)
        return not urgent and not self.down and self.operator.well is not False

    def as_wire(self) -> dict[str, Any]:
        """The JSON-ready shape; field names as in the objects."""
        return {
            "well": self.is_well,
            "operator": _wire(self.operator),
            "flows": [_wire(flow) for flow in self.flows],
            "needs": [_wire(need) for need in self.needs],
            "down": [_wire(system) for system in self.down],
        }


def estate(
    *,
    flows: Iterable[Mapping[str, Any]],
    connectors: Iterable[Mapping[str, Any]],
    actions: Iterable[Mapping[str, Any]],
    operator: OperatorLine,
    now: datetime,
) -> Estate:
    """The estate that these objects tell of."""
    listed = list(flows)
    needs = [need for flow in listed for need in _needs_of_flow(flow, now)]
    needs += [need for action in actions for need in _needs_of_action(action)]
    lines = sorted(
        map(flow_line, listed), key=lambda f: (f.health != "unwell", f.namespace, f.name)
    )
    down = [line for found in connectors for line in _down(found)]
    return Estate(
        flows=tuple(lines),
        needs=tuple(sorted(needs, key=_age)),
        down=tuple(sorted(down, key=lambda s: (s.since or "~", s.namespace, s.name))),
        operator=operator,
    )


def flow_line(flow: Mapping[str, Any]) -> FlowLine:
    """The line of one Flow."""
    status = flow.get("status") or {}
    ready = _condition(flow, "Ready")
    reason = str(ready.get("reason") or Reason.PENDING)
    namespace, name = _place(flow)
    return FlowLine(
        namespace=namespace,
        name=name,
        health=_health(ready),
        reason=reason,
        backlog=status.get("backlog"),
        oldest_at=status.get("oldestAt"),
        review=status.get("review"),
        slo=status.get("slo"),
        last_delivered_at=status.get("lastDeliveredAt"),
        delivered_per_hour=status.get("deliveredPerHour"),
        failed_per_hour=status.get("failedPerHour"),
        replicas=status.get("replicas"),
        pattern=str(value_at(flow, ".spec.pattern") or ""),
        source=str(status.get("source") or ""),
        target=str(status.get("target") or ""),
        owner=str(value_at(flow, ".spec.owner.team") or ""),
        pool=value_at(flow, ".spec.runtime.pool"),
    )


def _health(ready: Mapping[str, Any]) -> Health:
    if ready.get("status") == "True":
        return "well"
    return "passing" if ready.get("reason", Reason.PENDING) in _PASSING else "unwell"


def _needs_of_flow(flow: Mapping[str, Any], now: datetime) -> Iterable[Need]:
    """Conditions in their own sentences; Ready only where no other one says the same."""
    namespace, name = _place(flow)
    conditions = _conditions(flow)
    told: set[str] = set()
    for one in sorted(conditions, key=lambda c: c.get("type") == "Ready"):
        reason, wrong = str(one.get("reason")), one.get("status") == "False"
        soon = one.get("status") == "True" and reason in _SOON
        if (wrong and reason not in _PASSING and reason not in told) or soon:
            told.add(reason)
            yield Need(
                namespace, f"Flow {name}", str(one["type"]), reason, _since(one),
                str(one.get("message") or ""), urgent=wrong,
            )  # fmt: skip
    waiting = value_at(flow, ".status.review") or 0
    if waiting and Reason.REVIEW_OVERDUE not in told:
        many = "1 message waits" if waiting == 1 else f"{waiting} messages wait"
        yield Need(
            namespace, f"Flow {name}", "ReviewClear", "Review", None,
            f"{many} for a person and no decision is overdue: `intops review list --flow {name} -n {namespace}`.",
        )  # fmt: skip
    if not told and _is_unjudged(flow, now):
        yield Need(
            namespace, f"Flow {name}", "Ready", str(Reason.PENDING),
            value_at(flow, ".metadata.creationTimestamp"),
            "Nobody has judged this Flow since it was applied, so no worker runs for it. See what is wrong with "
            "the operator: `intops doctor`.",
        )  # fmt: skip


def _is_unjudged(flow: Mapping[str, Any], now: datetime) -> bool:
    ready = _condition(flow, "Ready")
    applied = value_at(flow, ".metadata.creationTimestamp")
    if applied is None or (flow.get("status") or {}).get("observedGeneration") is not None:
        return False
    age_s = (now - datetime.fromisoformat(applied)).total_seconds()
    return ready.get("status") in (None, "Unknown") and age_s > UNJUDGED_S


def _needs_of_action(action: Mapping[str, Any]) -> Iterable[Need]:
    namespace, name = _place(action)
    ready = _condition(action, "Ready")
    if ready.get("reason") == Reason.AWAITING_APPROVAL:
        spec = action.get("spec") or {}
        yield Need(
            namespace, f"FlowAction {name}", "Ready", str(Reason.AWAITING_APPROVAL), _since(ready),
            f"{spec.get('actor')} wants to {spec.get('action')} messages of Flow {spec.get('flow')}, and a second "
            f"person has to approve: `intops review approve {name} -n {namespace}`.",
        )  # fmt: skip


def _down(connector: Mapping[str, Any]) -> Iterable[SystemLine]:
    """A Connector with a False condition; its own one rather than Ready, which sums up."""
    false = [
        one
        for one in _conditions(connector)
        if one.get("status") == "False" and one.get("reason") not in _PASSING
    ]
    if false:
        one = min(false, key=lambda c: c.get("type") == "Ready")
        namespace, name = _place(connector)
        yield SystemLine(
            namespace, name, str(value_at(connector, ".status.host") or ""), str(one["reason"]),
            _since(one), int(value_at(connector, ".status.flows") or 0),
            str(one.get("message") or ""),
        )  # fmt: skip


def _conditions(found: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Conditions that say whether something is well; Reconciling and Stalled say what is under way."""
    listed: list[Mapping[str, Any]] = (found.get("status") or {}).get("conditions") or []
    return [one for one in listed if one.get("type") not in ("Reconciling", "Stalled")]


def _condition(found: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((one for one in _conditions(found) if one.get("type") == kind), {})


def _since(condition: Mapping[str, Any]) -> str | None:
    return condition.get("lastTransitionTime")


def _place(found: Mapping[str, Any]) -> tuple[str, str]:
    meta = found["metadata"]
    return str(meta.get("namespace") or ""), str(meta["name"])


def _age(need: Need) -> tuple[bool, str, str, str]:
    """What is wrong before what will be, the oldest first, and what has no time last."""
    return not need.urgent, need.since or "~", need.namespace, need.subject


def _wire(line: Any) -> dict[str, Any]:
    """camelCase as everywhere in JSON; what is unknown is left out."""
    found = {}
    for key, value in asdict(line).items():
        first, *rest = key.split("_")
        if value is not None:
            found[first + "".join(word.title() for word in rest)] = value
    return found
