"""What Connectors, Mappings, classes, models and Patterns say about themselves."""

from __future__ import annotations

from typing import Any

from intops_core.findings import Finding, Ref
from intops_core.resources import Resource
from intops_operator.core.delivering import about_connector
from intops_operator.core.standing import Standing, fold_systems, standing_status
from support.conformance import catalogue_and_example
from support.operator_facts import NOW, healthy_facts


def resource(kind: str, name: str) -> Resource:
    """One resource of the catalogue or the example."""
    found = catalogue_and_example().get(kind, "itsm", name)
    assert found is not None
    return found


def status(kind: str, name: str, **more: Any) -> dict[str, Any]:
    """The status of one resource."""
    standing = Standing(kind, name, 1, NOW, resource(kind, name).spec, **more)
    return standing_status(standing)


def reason(found: dict[str, Any], kind: str) -> tuple[str, str]:
    """Status and reason of one condition."""
    (match,) = [c for c in found["conditions"] if c["type"] == kind]
    return match["status"], match["reason"]


def test_an_unused_connector_is_ready() -> None:
    """Else GitOps would wait for it before it applies the first Flow of it."""
    found = status("Connector", "helpdesk", system=fold_systems([], 0))

    assert reason(found, "Ready") == ("True", "Unused")
    assert reason(found, "CredentialsValid") == ("Unknown", "Unused")
    assert found["host"] == "rt.example.com"


def test_a_connector_shows_what_any_of_its_flows_sees() -> None:
    """One Flow that is refused makes the Connector not ready."""
    system = {"name": "helpdesk", "connector": "helpdesk", "role": "target"}
    fine = about_connector(healthy_facts(connectors=[system]), "helpdesk")
    denied = about_connector(
        healthy_facts(connectors=[{**system, "state": "held", "errorClass": "authDenied"}]),
        "helpdesk",
    )
    found = status("Connector", "helpdesk", users=2, system=fold_systems([fine, denied], 2))

    assert reason(found, "Ready") == ("False", "AuthDenied")
    assert reason(found, "TargetReachable") == ("True", "Reachable")


def test_a_mapping_shows_its_ends_and_how_many_examples_hold() -> None:
    """Two findings about one example are one that fails."""
    ref = Ref("Mapping", "itsm", "incident-to-helpdesk")
    total = len(resource("Mapping", ref.name).raw["spec"]["examples"])
    broken = tuple(
        Finding("Example", "deny", f"spec.examples[0].output.{field}", "differs", ref)
        for field in ("a", "b")
    )
    found = status("Mapping", ref.name, findings=broken, users=1)

    assert found["ends"] == "incident/v1 → request-tracker/ticket"
    assert found["examples"] == f"{total - 1}/{total}"
    assert reason(found, "Ready") == ("False", "InvalidSpec")
    assert reason(found, "Stalled") == ("True", "InvalidSpec")


def test_what_is_missing_is_no_fault_of_the_object() -> None:
    """ResolvedRefs says so, and nothing is stalled."""
    ref = Ref("Connector", "itsm", "helpdesk")
    missing = Ref("ConnectorClass", "", "request-tracker")
    finding = Finding("Reference", "warn", "spec.class", "No such class", ref, missing)
    found = status("Connector", "helpdesk", findings=(finding,), system=fold_systems([], 0))

    assert reason(found, "ResolvedRefs") == ("False", "RefNotFound")
    assert reason(found, "Accepted") == ("True", "Accepted")
    assert "Stalled" not in [c["type"] for c in found["conditions"]]


def test_every_kind_shows_its_columns() -> None:
    """`kubectl get` has something to show."""
    assert "capture" in status("ConnectorClass", "alertmanager")["capabilities"]
    assert status("CanonicalModel", "event", users=2)["mappings"] == 2
    pattern = status("Pattern", "event-to-incident", users=3, violations=1)
    assert (pattern["flows"], pattern["violations"]) == (3, 1)


def test_an_unreadable_object_still_gets_a_status() -> None:
    """People see why in `kubectl get`."""
    ref = Ref("Mapping", "itsm", "m")
    finding = Finding("Schema", "deny", "spec.fields", "must be a list", ref)
    found = standing_status(Standing("Mapping", "m", 1, NOW, None, (finding,)))

    assert reason(found, "Ready") == ("False", "InvalidSpec")
