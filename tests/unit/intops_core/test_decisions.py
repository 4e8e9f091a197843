"""A FlowAction is judged before it is stored: its correction may hold what nobody may keep."""

from __future__ import annotations

from typing import Any

import pytest

from intops_core.catalog import shipped
from intops_core.conformance import judge
from intops_core.resources import Resource, Resources, parse_resource
from support.runtime.flows import NAMESPACE, example_manifests


@pytest.fixture(scope="module")
def resources() -> Resources:
    """The first example with the catalogue."""
    found = Resources()
    for raw in [*shipped(), *example_manifests()]:
        parsed = parse_resource(raw)
        assert isinstance(parsed, Resource), parsed
        found.add(parsed)
    return found


def judged(resources: Resources, *patch: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Severity, path and sentence of every finding about an edit."""
    action = parse_resource(
        {
            "kind": "FlowAction",
            "metadata": {"name": "edit-1", "namespace": NAMESPACE},
            "spec": {
                "flow": "alerts-to-helpdesk", "action": "edit", "select": {"messages": ["1"]},
                "patch": list(patch), "reason": "x", "actor": "alice@example.com",
            },
        }
    )  # fmt: skip
    assert isinstance(action, Resource), action
    return [(f.severity, f.path, f.message) for f in judge(action, resources)]


def test_a_correction_that_fits_is_let_in(resources: Resources) -> None:
    """Admission says nothing about what is right."""
    assert judged(resources, {"path": "severity", "value": "major"}) == []


def test_a_correction_that_does_not_fit_is_denied_with_its_place(resources: Resources) -> None:
    """The person learns it at once, with what may be written."""
    (value, typo) = judged(
        resources, {"path": "severity", "value": "awful"}, {"path": "titel", "value": "x"}
    )

    assert value[:2] == ("deny", "spec.patch[0]")
    assert 'severity: it cannot be "awful"; allowed: critical' in value[2]
    assert typo[:2] == ("deny", "spec.patch[1]")
    assert 'Did you mean "title"' in typo[2]


def test_a_decision_cannot_be_approved_before_it_is_made(resources: Resources) -> None:
    """What comes with an approval is a claim of the actor; once it is stored another person may approve."""
    action = parse_resource(
        {
            "kind": "FlowAction",
            "metadata": {"name": "retry-1", "namespace": NAMESPACE},
            "spec": {
                "flow": "alerts-to-helpdesk", "action": "retry", "select": {"messages": ["1"]},
                "reason": "x", "actor": "alice@example.com", "approvedBy": "bob@example.com",
            },
        }
    )  # fmt: skip
    assert isinstance(action, Resource), action

    (early,) = judge(action, resources)

    assert (early.severity, early.path) == ("deny", "spec.approvedBy")
    assert "nobody can have approved" in early.message
    assert judge(action, resources, new=False) == []
