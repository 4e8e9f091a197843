"""A Pattern that extends another tightens it; an exception lifts a rule for one Flow and for nobody else."""

from typing import Any

import pytest

from intops_core.conformance import judge
from intops_core.defaults import whole_pattern
from intops_core.findings import Finding
from intops_core.planning import plan_flow
from intops_core.resources import Resource, Resources
from support.conformance import Raw, flow_of, parsed, world

FLOW = ("Flow", "alerts-to-helpdesk")
ACME_1 = {
    "id": "ACME-1",
    "severity": "warn",
    "when": "has(facts.spec.businessProcess)",
    "message": "We have no processes. Remove spec.businessProcess.",
    "path": "spec.businessProcess",
}


def pattern(name: str, extends: str, **more: Any) -> Resource:
    return parsed(
        {
            "apiVersion": "intops.io/v1alpha1",
            "kind": "Pattern",
            "metadata": {"name": name},
            "spec": {
                "description": "With rules of our own.",
                "extends": extends,
                "engine": "episodes",
                "models": {"in": "event/v1", "out": "incident/v1"},
                "roles": [{"name": "knowledge", "max": 1}],
                **more,
            },
        }
    )


def known(*patterns: Resource, **flow: Any) -> Resources:
    """The example under the last of these Patterns, with changes to its spec."""
    name = patterns[-1].ref.name if patterns else "event-to-incident"
    resources = world((*FLOW, lambda spec: spec.update(pattern=name, **flow)))[0]
    for one in patterns:
        resources.add(one)
    return resources


def places(found: list[Finding]) -> list[tuple[str, str, str]]:
    return [(f.rule, f.severity, f.path) for f in found]


def exception(rule: str, approved_by: str = "head-of-it@example.com") -> Raw:
    return {"rule": rule, "reason": "r", "approvedBy": approved_by, "until": "2027-03-31"}


def test_an_inherited_rule_is_made_more_severe_by_its_id_alone() -> None:
    """A division is stricter than the company and does not copy its expression."""
    company = pattern("company", "event-to-incident", rules=[ACME_1])
    division = pattern("division", "company", rules=[{"id": "ACME-1", "severity": "deny"}])
    resources = known(company, division)

    assert judge(division, resources) == []
    assert places(judge(flow_of(resources), resources)) == [
        ("ACME-1", "deny", "spec.businessProcess")
    ]


def test_what_was_let_in_before_anybody_judged_is_not_looser_all_the_same() -> None:
    """Severity and expression of the Pattern further up hold, whatever the nearer one says."""
    company = pattern("company", "event-to-incident", rules=[ACME_1 | {"severity": "deny"}])
    sly = pattern("sly", "company", rules=[ACME_1 | {"severity": "audit", "when": "false"}])
    resources = known(company, sly)

    assert places(judge(sly, resources)) == [
        ("Schema", "deny", "spec.rules[0].severity"),
        ("Schema", "deny", "spec.rules[0].when"),
    ]
    assert places(judge(flow_of(resources), resources))[:1] == [
        ("ACME-1", "deny", "spec.businessProcess")
    ]


def test_steps_of_both_patterns_hold_in_the_order_of_the_engine() -> None:
    """A step that no Flow can leave out is not lost by a list that lacks it."""
    company = pattern(
        "company",
        "event-to-incident",
        stages=[{"name": "enrich", "mandatory": True}, {"name": "audit"}],
    )
    resources = known(company)

    steps = whole_pattern(company, resources).spec.stages

    shipped = resources.get("Pattern", "", "event-to-incident")
    assert shipped is not None
    assert [s.name for s in steps] == [s["name"] for s in shipped.raw["spec"]["stages"]]
    mandatory = {step.name: step.mandatory for step in steps}
    assert mandatory["enrich"]
    assert mandatory["audit"]
    assert not mandatory["suppress"]


def test_a_flow_has_no_plan_while_a_pattern_further_up_is_broken() -> None:
    """What it inherits must be sound, too; its last good plan runs on meanwhile."""
    company = pattern("company", "event-to-incident", rules=[ACME_1 | {"when": "facts.spec."}])
    division = pattern("division", "company")
    resources = known(company, division)

    planned = plan_flow(flow_of(resources), resources)

    assert planned.plan is None
    assert ("Pattern", "company", "spec.rules[0].when") in {
        (f.ref.kind, f.ref.name, f.path) for f in planned.findings if f.severity == "deny"
    }


def test_the_rules_that_hold_for_a_flow_are_those_of_all_its_patterns() -> None:
    """Whether the next review is limited is known from the rule's id, wherever it is listed."""
    resources = known(pattern("company", "event-to-incident", rules=[ACME_1]))

    rules = plan_flow(flow_of(resources), resources).pattern_rules

    assert {"COM-07", "COM-12", "ACME-1"} <= rules


@pytest.mark.parametrize("rule", ["COM-02", "COM-04", "COM-06", "COM-13", "COM-14"])
def test_a_pattern_is_told_where_its_severity_would_change_nothing(rule: str) -> None:
    """Nobody believes that a rule is milder than it is."""
    mild = pattern("mild", "event-to-incident-2", rules=[{"id": rule, "severity": "warn"}])
    resources = known(mild)

    found = [f for f in judge(mild, resources) if f.path == "spec.rules[0].severity"]

    assert [f.severity for f in found] == ["warn"]
    assert "so it stays deny" in found[0].message


def test_a_rule_without_which_nothing_could_run_is_not_made_milder() -> None:
    """A Flow without a target is refused, although its Pattern only wants to warn."""
    mild = lambda spec: spec.update(rules=[{"id": "COM-02", "severity": "warn"}])  # noqa: E731
    resources = world(
        (*FLOW, lambda spec: spec["roles"].pop("target")), ("Pattern", "event-to-incident", mild)
    )[0]

    assert places(judge(flow_of(resources), resources)) == [("COM-02", "deny", "spec.roles")]


def test_exceptions_of_a_pattern_lift_nothing() -> None:
    """An exception is asked for by one Flow; what is for all belongs into the severity."""
    lax = pattern("lax", "event-to-incident", defaults={"exceptions": [exception("E2I-03")]})
    resources = known(lax, closure={})

    assert places(judge(lax, resources)) == [("Schema", "deny", "spec.defaults.exceptions")]
    assert ("E2I-03", "deny", "spec.closure.onResolved") in places(
        judge(flow_of(resources), resources)
    )


@pytest.mark.parametrize(
    ("given", "severity", "place", "words"),
    [
        pytest.param(exception("COM-01"), "deny", "rule", "cannot be lifted", id="not possible"),
        pytest.param(exception("COM-14"), "warn", "rule", "about a Connector", id="of others"),
        pytest.param(exception("COM-8"), "warn", "rule", 'mean "COM-08"', id="misspelt"),
        pytest.param(exception("COM-08", " "), "deny", "approvedBy", "a blank", id="by nobody"),
        pytest.param(
            exception("COM-08", "service-desk@example.com"), "warn", "approvedBy", "nobody else",
            id="by the owner",
        ),
    ],
)  # fmt: skip
def test_an_exception_lifts_something_and_somebody_else_agreed(
    given: Raw, severity: str, place: str, words: str
) -> None:
    """What an exception cannot do is told where it is written."""
    resources = known(exceptions=[given])

    (found,) = judge(flow_of(resources), resources)

    assert (found.severity, found.path) == (severity, f"spec.exceptions[0].{place}")
    assert words in found.message


def test_an_exception_from_a_rule_that_the_pattern_does_not_list_is_told() -> None:
    """It would look as if something had been allowed."""
    without = lambda spec: spec.update(rules=[r for r in spec["rules"] if r["id"] != "COM-12"])  # noqa: E731
    resources = world(
        (*FLOW, lambda spec: spec.update(exceptions=[exception("COM-12")])),
        ("Pattern", "event-to-incident", without),
    )[0]

    (found,) = judge(flow_of(resources), resources)

    assert (found.severity, found.path) == ("warn", "spec.exceptions[0].rule")
    assert "does not list rule COM-12" in found.message
