"""What Connectors, Mappings, classes, models and Patterns say about themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from intops_api.conditions import STANDING_CONDITIONS, Condition, ConditionType
from intops_api.connector import ConnectorLimits, ConnectorSpec
from intops_api.connector_class import ClassLimits
from intops_core.findings import Finding, Ref
from intops_core.resources import Resource
from intops_operator.core.about import (
    Seen,
    about_connector,
    about_mappings,
    fold_drift,
    fold_systems,
)
from intops_operator.core.standing import Standing, standing_status
from support.conformance import catalogue_and_example
from support.operator_facts import NOW, healthy_facts

NAMES = {
    "Connector": "helpdesk", "Mapping": "alertmanager-to-event", "ConnectorClass": "alertmanager",
    "CanonicalModel": "event", "Pattern": "event-to-incident",
}  # fmt: skip


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


def message(found: dict[str, Any], kind: str) -> str:
    """The sentences of one condition."""
    (match,) = [c for c in found["conditions"] if c["type"] == kind]
    return str(match["message"])


def about(system: dict[str, Any]) -> Seen:
    """What a Flow tells of the Connector of one reported system."""
    seen = about_connector(healthy_facts(connectors=[system]), system["connector"])
    assert seen is not None
    return seen


def test_an_unused_connector_is_ready() -> None:
    """Else GitOps would wait for it before it applies the first Flow of it."""
    found = status("Connector", "helpdesk", system=fold_systems([], 0))

    assert reason(found, "Ready") == ("True", "Unused")
    assert reason(found, "CredentialsValid") == ("Unknown", "Unused")
    assert found["host"] == "rt.example.com"


def test_a_connector_shows_what_any_of_its_flows_sees() -> None:
    """One Flow that is refused makes the Connector not ready."""
    system = {"name": "helpdesk", "connector": "helpdesk", "role": "target"}
    fine = about({**system})
    denied = about({**system, "state": "held", "errorClass": "authDenied"})
    found = status("Connector", "helpdesk", users=2, system=fold_systems([fine, denied], 2))

    assert reason(found, "Ready") == ("False", "AuthDenied")
    assert reason(found, "TargetReachable") == ("True", "Reachable")
    assert found["errorClass"] == "authDenied"
    assert message(found, "Ready").endswith("1 of 2 Flows see it.")


def test_a_connector_says_since_when_its_system_is_away_and_takes_it_back() -> None:
    """The time is that of the Flow that saw it first; nothing of it stays once all is well."""
    system = {"name": "helpdesk", "connector": "helpdesk", "role": "target"}
    down = {**system, "state": "open", "errorClass": "destinationDown"}
    early, late = "2026-11-25T10:02:11Z", "2026-11-25T11:00:00Z"
    seen = [about({**down, "since": late}), about({**down, "since": early})]

    away = status("Connector", "helpdesk", users=2, system=fold_systems(seen, 2))
    assert reason(away, "TargetReachable") == ("False", "DestinationDown")
    assert (away["errorClass"], away["since"]) == ("destinationDown", early)

    back = status("Connector", "helpdesk", users=2, system=fold_systems([about(system)] * 2, 2))
    assert reason(back, "Ready") == ("True", "InUse")
    assert {"errorClass", "since"}.isdisjoint(back)


def test_a_missing_secret_is_told_with_its_own_time() -> None:
    """A worker without the Secret has sent nothing yet, so the system itself has done no wrong."""
    since = "2026-11-25T10:02:11Z"
    secret = {"secret": "helpdesk-token", "present": False, "since": since}
    system = {"name": "helpdesk", "connector": "helpdesk", "role": "target", "secret": secret}
    found = status("Connector", "helpdesk", users=1, system=fold_systems([about(system)], 1))

    assert reason(found, "Ready") == ("False", "SecretMissing")
    assert found["since"] == since
    assert "errorClass" not in found


def test_a_certificate_that_ends_soon_shows_in_the_connector() -> None:
    """The nearest end counts, and what merely works elsewhere does not hide it."""
    system = {"name": "helpdesk", "connector": "helpdesk", "role": "target"}
    soon, far = "2026-12-01T00:00:00Z", "2027-12-01T00:00:00Z"
    seen = [about({**system, "certificateExpires": moment}) for moment in (far, soon)]
    found = status("Connector", "helpdesk", users=2, system=fold_systems(seen, 2))

    assert reason(found, "CredentialsValid") == ("True", "Expiring")
    assert reason(found, "Ready") == ("True", "InUse")
    assert found["certificateExpires"] == soon


@pytest.mark.parametrize("first", [0, 1])
def test_s15_a_connector_tells_of_a_short_secret_and_when_an_old_one_was_last_used(
    first: int,
) -> None:
    """Whoever takes the old value away must know of the sender of the other Flow that still uses it."""
    system = {"name": "am", "connector": "helpdesk", "role": "source"}

    def seen(**secret: Any) -> Seen:
        return about({**system, "secret": {"secret": "am-token", "present": True, **secret}})

    def shown(*both: Seen) -> dict[str, Any]:
        ordered = both[first:] + both[:first]
        return status("Connector", "helpdesk", users=2, system=fold_systems(ordered, 2))

    used = seen(previous=[{"key": "token.previous", "lastUsed": "2026-11-25T10:02:11Z"}])
    unused = seen(previous=[{"key": "token.previous"}])
    found = shown(used, unused)
    assert reason(found, "CredentialsValid") == ("True", "Rotating")
    assert "began at 2026-11-25 10:00 UTC" in message(found, "CredentialsValid")

    found = shown(seen(weakKeys=["token"]), used)
    assert reason(found, "CredentialsValid") == ("True", "WeakSecret")
    assert reason(found, "Ready") == ("True", "InUse")


def test_a_connector_without_a_report_is_neither_well_nor_ill() -> None:
    """A Flow uses it, and nobody knows yet."""
    found = status("Connector", "helpdesk", users=1, system=fold_systems([], 1))

    assert reason(found, "TargetReachable") == ("Unknown", "Pending")
    assert reason(found, "Ready") == ("True", "InUse")


def test_the_limits_in_use_are_those_of_the_class_where_the_connector_asks_for_more() -> None:
    """What a Connector asks for beyond its class is not what it gets."""
    known = ClassLimits(requests_per_second=10, concurrency=4)
    spec = resource("Connector", "helpdesk").spec
    assert isinstance(spec, ConnectorSpec)

    def shown(asked: ConnectorLimits | None) -> str:
        asking = spec.model_copy(update={"limits": asked})
        found = Standing("Connector", "helpdesk", 1, NOW, asking, class_limits=known)
        return str(standing_status(found)["limits"])

    assert shown(None) == "10/s, 4 at once"
    assert shown(ConnectorLimits(requests_per_second=2.5)) == "2.5/s, 4 at once"
    assert shown(ConnectorLimits(requests_per_second=99, concurrency=99)) == "10/s, 4 at once"


def test_flows_that_are_well_share_one_answer() -> None:
    """Ten thousand of them keep no copies."""
    system = {"name": "helpdesk", "connector": "helpdesk", "role": "target"}

    assert about(system) is about(system)
    assert about_mappings(healthy_facts()) is about_mappings(healthy_facts())


def drifted(mapping: str, severity: str = "critical", words: str = "It changed.") -> Any:
    """What a Flow tells whose payloads changed."""
    found = {
        "kind": "drift", "reason": "UnknownVariant", "message": words, "severity": severity,
        "mapping": mapping,
    }  # fmt: skip
    drift = about_mappings(healthy_facts(findings=[found]))
    assert drift is not None
    return drift


def test_a_mapping_says_that_payloads_changed_in_one_of_its_flows() -> None:
    """It still works for what it knows, so it stays ready; what changed elsewhere is not its matter."""
    name = "alertmanager-to-event"
    seen = [drifted("another"), drifted(name, words="A page has a new form.")]
    found = status("Mapping", name, users=2, drift=fold_drift(name, seen, 2))

    assert reason(found, "SchemaStable") == ("False", "DriftDetected")
    assert message(found, "SchemaStable").startswith("A page has a new form.")
    assert message(found, "SchemaStable").endswith("1 of 2 Flows see it.")
    assert reason(found, "Ready") == ("True", "InUse")


def test_what_breaks_nothing_is_no_drift_of_a_mapping() -> None:
    """A new field that nobody reads."""
    name = "alertmanager-to-event"

    assert fold_drift(name, [drifted(name, "info")], 1).status == "True"
    assert fold_drift(name, [], 1).reason == "Pending"
    assert fold_drift(name, [], 0).reason == "Unused"
    assert about_mappings(replace(healthy_facts(), heard=())) is None


def test_what_an_older_version_let_in_says_what_is_wrong_with_it_now() -> None:
    """Stored before a rule was made: it is stalled, and what runs goes on."""
    ref = Ref("Connector", "itsm", "helpdesk")
    finding = Finding("COM-14", "deny", "spec.limits.concurrency", "It is too much.", ref)
    previous = {
        c["type"]: Condition.model_validate(c)
        for c in status("Connector", "helpdesk", users=1, system=fold_systems([], 1))["conditions"]
    }
    found = status(
        "Connector", "helpdesk", users=1, system=fold_systems([], 1), findings=(finding,),
        previous=previous,
    )  # fmt: skip

    assert reason(found, "Accepted") == ("False", "InvalidSpec")
    assert reason(found, "Stalled") == ("True", "InvalidSpec")
    assert message(found, "Accepted") == (
        "It is too much. [spec.limits.concurrency] Flows that ran before keep their last good plan. "
        "Owner: service-desk (service-desk@example.com)."
    )


def test_every_condition_of_every_kind_is_documented_with_its_reason() -> None:
    """What `kubectl describe` shows stands in docs/reference/conditions.md."""
    for kind, name in NAMES.items():
        system = fold_systems([], 0) if kind == "Connector" else None
        drift = fold_drift(name, [], 0) if kind == "Mapping" else None
        found = status(kind, name, system=system, drift=drift)
        shown = {c["type"]: c for c in found["conditions"] if c["type"] != "Ready"}
        assert list(shown) == list(STANDING_CONDITIONS[kind])
        for type_, one in shown.items():
            doc = STANDING_CONDITIONS[kind][ConditionType(type_)]
            allowed = {
                "True": doc.when_true, "False": doc.when_false, "Unknown": doc.when_unknown,
            }  # fmt: skip
            assert one["reason"] in allowed[one["status"]]


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
    pattern = status("Pattern", "event-to-incident", users=3, violations=1, exceptions=2)
    assert (pattern["flows"], pattern["violations"], pattern["exceptions"]) == (3, 1, 2)


def test_what_others_than_flows_use_is_in_use() -> None:
    """A model that only a class and a Pattern name must not look as if it could go."""
    found = status("CanonicalModel", "event", others={"ConnectorClass": 1, "Pattern": 2})

    assert reason(found, "Ready") == ("True", "InUse")
    assert (found["mappings"], found["classes"], found["patterns"]) == (0, 1, 2)
    assert reason(status("CanonicalModel", "event"), "Ready") == ("True", "Unused")


def test_an_unreadable_object_still_gets_a_status() -> None:
    """People see why in `kubectl get`."""
    ref = Ref("Mapping", "itsm", "m")
    finding = Finding("Schema", "deny", "spec.fields", "must be a list", ref)
    found = standing_status(Standing("Mapping", "m", 1, NOW, None, (finding,)))

    assert reason(found, "Ready") == ("False", "InvalidSpec")
