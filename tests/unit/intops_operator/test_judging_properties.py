"""Ready is True exactly while messages arrive as promised, whatever workers report."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from intops_api.conditions import FLOW_CONDITIONS, READY_REASONS_FALSE, ConditionType
from intops_api.report import PlanReport
from intops_operator.core.about import about_connector, fold_systems
from intops_operator.core.facts import FlowFacts, Heard
from intops_operator.core.judging import judge_flow
from intops_operator.core.standing import Standing, standing_status
from support.operator_facts import NOW, POD, example_plan, healthy_facts, with_spec

WELL = healthy_facts()
PLAN = example_plan()
WITHIN_S = 60
"""spec.slo.within of the first example."""
PODS = [replace(POD, name=f"w-{n}", uid=f"pod-{n}") for n in range(3)]
FEW = st.integers(0, 3)
RECENT = st.integers(-WITHIN_S, 0)
STOPPED = st.sampled_from(["held", "open"])
TROUBLES = st.sampled_from(
    [
        "authDenied", "authExpired", "forbidden", "policyDenied", "destinationDown", "timeout",
        "transientNetwork",
    ]
)  # fmt: skip


def ago(seconds: int) -> str:
    """A moment before now, RFC 3339."""
    return (NOW + timedelta(seconds=seconds)).isoformat()


@dataclass(slots=True)
class World:
    """A Flow and what its workers say; as data, so that a failure can be read."""

    reports: list[dict[str, Any]]
    ages_s: list[int]
    suspend: bool = False
    faults: list[str] = field(default_factory=list)

    def facts(self) -> FlowFacts:
        """What the judge gets."""
        heard = []
        for pod, report, age_s in zip(PODS, self.reports, self.ages_s, strict=False):
            raw = {"flow": {"namespace": "itsm", "name": PLAN.flow.name}, **report}
            at = NOW - timedelta(seconds=age_s)
            heard.append(Heard(pod.uid, at, PlanReport.model_validate(raw)))
        pods = tuple(PODS[: len(self.reports)])
        return with_spec(replace(WELL, pods=pods, heard=tuple(heard)), suspend=self.suspend)


@st.composite
def well(draw: st.DrawFn) -> dict[str, Any]:
    """A report of which nothing is wrong with messages, but anything else may be so."""
    states = ("done", "discarded", "review", "waiting", "held", "sending")
    counts: dict[str, Any] = {name: draw(FEW) for name in states}
    dropped = draw(FEW)
    store = {
        **counts,
        "dropped": {"repeated": dropped},
        "received": sum(counts.values()) + dropped,
        "fill": draw(st.none() | st.floats(0, 1)),
    }
    if counts["waiting"] + counts["held"] + counts["sending"]:
        store["oldestAt"] = ago(draw(RECENT))
    findings = [
        {"kind": draw(st.sampled_from(["drift", "proposal", "gap"])), "reason": "r",
         "message": f"m{n}", "severity": draw(st.sampled_from(["info", "warning", "critical"])),
         "mapping": "alertmanager-to-event"}
        for n in range(draw(FEW))
    ]  # fmt: skip
    source: dict[str, Any] = {"name": "prometheus", "connector": "alertmanager", "role": "source"}
    if draw(st.booleans()):
        # A source that cannot be asked still sends.
        source |= {"state": draw(STOPPED), "errorClass": draw(TROUBLES)}
    target: dict[str, Any] = {"name": "helpdesk", "connector": "helpdesk", "role": "target"}
    target["state"] = draw(st.sampled_from(["ok", "limited"]))
    if draw(st.booleans()):
        target["secret"] = {"secret": "helpdesk-token", "present": True}
    return {
        "active": PLAN.hash,
        "store": store,
        "connectors": [source, target],
        "findings": findings,
        "lastDeliveredAt": draw(st.none() | RECENT.map(ago)),
    }


def uncounted(world: World, n: int, draw: st.DrawFn) -> None:
    """Messages that are in no state, or in two."""
    world.reports[n]["store"]["received"] += draw(st.sampled_from([-1, 1, 7]))


def late(world: World, n: int, draw: st.DrawFn) -> None:
    """A message that waits longer than promised."""
    store = world.reports[n]["store"]
    store |= {"waiting": store["waiting"] + 1, "received": store["received"] + 1}
    store["oldestAt"] = ago(draw(st.integers(-9999, -WITHIN_S - 1)))


def no_room(world: World, n: int, draw: st.DrawFn) -> None:
    """A store that takes nothing."""
    world.reports[n]["store"].update(
        draw(st.sampled_from([{"full": True}, {"failed": "The disk is gone"}]))
    )


def overdue(world: World, n: int, draw: st.DrawFn) -> None:
    """A decision that nobody made."""
    store = world.reports[n]["store"]
    store |= {"review": store["review"] + 1, "received": store["received"] + 1, "reviewOverdue": 1}


def stopped(world: World, n: int, draw: st.DrawFn) -> None:
    """A target to which nothing is sent."""
    _, target = world.reports[n]["connectors"]
    target |= {"state": draw(STOPPED), "errorClass": draw(TROUBLES)}


def no_secret(world: World, n: int, draw: st.DrawFn) -> None:
    """A credential that is not there."""
    which = world.reports[n]["connectors"][draw(st.integers(0, 1))]
    which["secret"] = {"secret": "s", "present": False}


def another_plan(world: World, n: int, draw: st.DrawFn) -> None:
    """A worker that does not run what is wanted."""
    world.reports[n].update(
        draw(st.sampled_from([{"active": "old"}, {"active": None}, {"error": "It has no routes"}]))
    )


def silent(world: World, n: int, draw: st.DrawFn) -> None:
    """A worker that has not reported lately."""
    world.ages_s[n] = draw(st.integers(31, 9999))


def suspended(world: World, n: int, draw: st.DrawFn) -> None:
    """Somebody has stopped delivery."""
    world.suspend = True


FAULTS = (uncounted, late, no_room, overdue, stopped, no_secret, another_plan, silent, suspended)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """One to three workers, and at most three faults: too many would hide each other."""
    number = draw(st.integers(1, 3))
    world = World(
        [draw(well()) for _ in range(number)], [draw(st.integers(0, 30)) for _ in range(number)]
    )
    for fault in draw(st.lists(st.sampled_from(FAULTS), max_size=3, unique=True)):
        fault(world, draw(st.integers(0, number - 1)), draw)
        world.faults.append(fault.__name__)
    return world


@given(worlds())
def test_ready_is_true_exactly_while_nothing_is_wrong_with_messages(world: World) -> None:
    """Never True while an invariant of messages is broken, never False while all is well."""
    assert PLAN.slo.within == f"{WITHIN_S}s"
    # What only an old report says is not known any more, but then its silence is wrong already.
    ready = judge_flow(world.facts()).ready

    assert (ready.status == "True") == (not world.faults), ready
    if not world.faults:
        assert ready.reason == "Healthy"


@given(worlds())
def test_every_verdict_is_one_of_the_documented_ones(world: World) -> None:
    """Reason and status fit the list, each says something, and judged twice they say the same."""
    facts = world.facts()
    judged = judge_flow(facts)

    for one in judged.conditions:
        doc = FLOW_CONDITIONS.get(ConditionType(one.type))
        if doc is not None:
            allowed = {"True": doc.when_true, "False": doc.when_false, "Unknown": doc.when_unknown}
            assert one.reason in allowed[one.status], one
        assert one.message
    if judged.ready.status == "False":
        assert judged.ready.reason in READY_REASONS_FALSE
    assert judge_flow(facts) == judged


@given(st.lists(worlds(), min_size=1, max_size=3))
def test_a_connector_is_well_exactly_while_all_its_flows_can_use_it(flows: list[World]) -> None:
    """One Flow that cannot is enough; what a silent worker said last counts no more."""
    seen = [about_connector(world.facts(), "helpdesk") for world in flows]
    folded = fold_systems([one for one in seen if one is not None], len(flows))
    status = standing_status(
        Standing("Connector", "helpdesk", 1, NOW, None, users=len(flows), system=folded)
    )
    by_type = {c["type"]: c["status"] for c in status["conditions"]}

    targets = [
        report["connectors"][1]
        for world in flows
        for report, age_s in zip(world.reports, world.ages_s, strict=True)
        if age_s <= 30
    ]
    wrong = any(
        one["state"] in ("held", "open") or not one.get("secret", {"present": True})["present"]
        for one in targets
    )
    assert ("False" in (by_type["TargetReachable"], by_type["CredentialsValid"])) == wrong
    assert by_type["Ready"] == ("False" if wrong else "True")
    if not targets:
        assert by_type["TargetReachable"] == "Unknown"
