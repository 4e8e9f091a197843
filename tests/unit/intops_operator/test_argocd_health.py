"""What Argo CD shows for each state of each kind: the shipped script, run by a real Lua."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from intops_api import names
from intops_api.actions import ActionReport
from intops_api.conditions import FLOW_CONDITIONS, READY_REASONS_FALSE, ConditionType, Reason
from intops_api.kinds import KINDS
from intops_core.findings import Finding, Ref
from intops_core.resources import Resource, parse_resource
from intops_operator.core.about import about_connector, fold_systems
from intops_operator.core.actions import action_status
from intops_operator.core.standing import Standing, standing_status
from support.argocd import SCRIPT, health
from support.conformance import catalogue_and_example
from support.operator_facts import NOW, healthy_facts

PATCH = Path(__file__).resolve().parents[3] / "helm" / "argocd" / "argocd-cm.yaml"
T = ConditionType

EXPECTED: dict[Reason, str] = {
    # Stalled: nothing comes by itself.
    Reason.INVALID_SPEC: "Degraded",
    Reason.PATTERN_VIOLATION: "Degraded",
    # May come in the same sync.
    Reason.REF_NOT_FOUND: "Progressing",
    Reason.REF_INVALID: "Progressing",
    Reason.APPLYING: "Progressing",
    Reason.WORKER_UNAVAILABLE: "Progressing",
    Reason.SECRET_MISSING: "Progressing",
    Reason.MOVING: "Progressing",
    # A person must act, or messages do not arrive.
    Reason.PLAN_REJECTED: "Degraded",
    Reason.STORE_FAILED: "Degraded",
    Reason.STORE_FULL: "Degraded",
    Reason.QUOTA_EXCEEDED: "Degraded",
    Reason.POOL_FULL: "Degraded",
    Reason.MOVE_HELD: "Degraded",
    Reason.AUTH_DENIED: "Degraded",
    Reason.ORIGIN_NOT_ALLOWED: "Degraded",
    Reason.DESTINATION_DOWN: "Degraded",
    Reason.TLS_FAILED: "Degraded",
    Reason.REVIEW_OVERDUE: "Degraded",
    Reason.SILENT: "Degraded",
    Reason.VOLUME_LOW: "Degraded",
    Reason.VOLUME_HIGH: "Degraded",
    Reason.BACKLOG_LATE: "Degraded",
    Reason.NO_REPORT: "Degraded",
    Reason.SUSPENDED: "Suspended",
}
"""What a Flow that is not Ready for a reason is to Argo CD."""


def condition(kind: str, status: str, reason: str, message: str = "why") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def flow(*conditions: dict[str, Any], observed: int | None = 2, **more: Any) -> dict[str, Any]:
    """A Flow of generation 2 with these conditions."""
    status: dict[str, Any] = {"conditions": list(conditions)}
    if observed is not None:
        status["observedGeneration"] = observed
    return {"kind": "Flow", "metadata": {"generation": 2}, "spec": {}, "status": status, **more}


def not_ready(reason: Reason) -> dict[str, Any]:
    """A Flow whose first False condition has this reason, as the operator writes it."""
    cause = next((k for k, doc in FLOW_CONDITIONS.items() if reason in doc.when_false), None)
    written = [condition(T.READY, "False", reason)]
    for kind in FLOW_CONDITIONS:
        is_cause = kind is cause
        written.append(
            condition(kind, "False" if is_cause else "True", reason if is_cause else "Fine")
        )
    if cause is T.ACCEPTED:
        written.append(condition(T.STALLED, "True", reason))
    return flow(*written)


def test_every_reason_of_a_flow_is_judged() -> None:
    """A reason that is new has to be thought about here."""
    assert set(EXPECTED) == set(READY_REASONS_FALSE)


@pytest.mark.parametrize("reason", READY_REASONS_FALSE)
def test_a_flow_that_is_not_ready_is_shown_by_its_reason(reason: Reason) -> None:
    """What may come by itself is waited for, what does not is told; with the operator's sentence."""
    assert health(not_ready(reason)) == (EXPECTED[reason], "why")


@pytest.mark.parametrize(
    ("manifest", "shown"),
    [
        pytest.param({"kind": "Flow", "metadata": {}}, "Progressing", id="without a status"),
        pytest.param(
            {"kind": "Flow", "metadata": {}, "status": {}}, "Progressing", id="without conditions"
        ),
        pytest.param(flow(), "Progressing", id="an empty list of conditions"),
        pytest.param(
            flow(condition(T.READY, "True", "Healthy"), observed=1),
            "Progressing",
            id="Ready about an older spec",
        ),
        pytest.param(flow(condition(T.READY, "True", "Healthy")), "Healthy", id="Ready"),
        pytest.param(
            flow(condition(T.READY, "True", "Healthy"), observed=None),
            "Healthy",
            id="Ready, without an observed generation",
        ),
        pytest.param(
            flow(
                condition(T.READY, "True", "Healthy"),
                condition(T.SCHEMA_STABLE, "False", "DriftDetected"),
                condition(T.COMPLIANT, "False", "ReviewDue"),
            ),
            "Healthy",
            id="Ready, with something to look at",
        ),
        pytest.param(
            flow(condition(T.READY, "Unknown", "Pending")), "Progressing", id="not known yet"
        ),
        pytest.param(
            flow(condition(T.ACCEPTED, "True", "Accepted")), "Progressing", id="without Ready"
        ),
        pytest.param(
            flow(
                condition(T.READY, "False", "AuthDenied"),
                condition(T.ACCEPTED, "True", "Accepted"),
                condition(T.RESOLVED_REFS, "Unknown", "Pending"),
            ),
            "Progressing",
            id="references not looked at yet",
        ),
        pytest.param(
            flow(
                condition(T.READY, "False", "Suspended"),
                condition(T.STALLED, "True", "InvalidSpec"),
            ),
            "Degraded",
            id="paused and wrong",
        ),
    ],
)
def test_what_is_not_told_by_a_reason_is_shown(manifest: dict[str, Any], shown: str) -> None:
    """Never Healthy before the operator has looked at this very spec."""
    assert health(manifest)[0] == shown


def standing(kind: str, name: str, **more: Any) -> dict[str, Any]:
    """An object of the example with the status that the operator writes."""
    found = catalogue_and_example().get(kind, "itsm", name)
    assert found is not None
    status = standing_status(Standing(kind, name, 3, NOW, found.spec, **more))
    return {"kind": kind, "metadata": {"generation": 3}, "status": status}


CLASS_LIKE = [
    ("ConnectorClass", "roundup"),
    ("CanonicalModel", "event"),
    ("Pattern", "event-to-incident"),
    ("Mapping", "incident-to-helpdesk"),
]
THIS = Ref("Mapping", "itsm", "this")
WRONG = Finding("COM-01", "deny", "spec", "It is wrong.", THIS)
MISSING = Finding(
    "REF-01", "deny", "spec", "It is not there.", THIS, missing=Ref("ConnectorClass", "", "absent")
)


@pytest.mark.parametrize(("kind", "name"), CLASS_LIKE)
def test_what_flows_are_made_of_is_healthy_once_it_is_well_formed(kind: str, name: str) -> None:
    """Used or not: a wave goes on before the first Flow is there."""
    assert health(standing(kind, name))[0] == "Healthy"
    assert health(standing(kind, name, users=3))[0] == "Healthy"
    shown, message = health(standing(kind, name, findings=(WRONG,)))
    assert (shown, "It is wrong." in message) == ("Degraded", True)


def test_what_names_something_that_is_missing_is_waited_for() -> None:
    """It may be applied later in the same sync."""
    shown, message = health(standing("Mapping", "incident-to-helpdesk", findings=(MISSING,)))

    assert (shown, "It is not there." in message) == ("Progressing", True)


def test_an_outage_of_a_system_keeps_no_change_from_being_applied() -> None:
    """The Connector stays Healthy, with the sentence about its system; the Flow is Degraded."""
    system = {"name": "helpdesk", "connector": "helpdesk", "role": "target"}
    denied = about_connector(
        healthy_facts(connectors=[{**system, "state": "held", "errorClass": "authDenied"}]),
        "helpdesk",
    )
    assert denied is not None
    connector = standing("Connector", "helpdesk", users=1, system=fold_systems([denied], 1))

    ready = next(c for c in connector["status"]["conditions"] if c["type"] == T.READY)
    assert (ready["status"], ready["reason"]) == ("False", "AuthDenied")
    assert health(connector) == ("Healthy", ready["message"])
    assert health(not_ready(Reason.AUTH_DENIED))[0] == "Degraded"


def decided(state: Any = "waiting", answer: ActionReport | None = None) -> dict[str, Any]:
    """A FlowAction with the status that the operator writes."""
    body = {
        "kind": "FlowAction",
        "metadata": {"name": "a", "namespace": "itsm", "uid": "u", "generation": 1,
                     "creationTimestamp": "2026-11-25T10:00:00Z"},
        "spec": {"flow": "alerts", "action": "retry", "select": {"allInReview": True},
                 "reason": "x", "actor": "alice@example.com"},
    }  # fmt: skip
    parsed = parse_resource(body)
    assert isinstance(parsed, Resource), parsed
    status = action_status(
        parsed, state=state, answer=answer, findings=(), previous={},
        now=datetime(2026, 11, 25, 12, tzinfo=UTC),
    )  # fmt: skip
    return {**body, "status": status}


def test_a_decision_is_shown_by_its_answer() -> None:
    """Waiting for the worker, for a second person, done, or refused."""
    done = ActionReport(uid="u", applied=2, at="2026-11-25T12:00:00Z")
    refused = ActionReport(uid="u", applied=0, at="2026-11-25T12:00:00Z", refused="No such thing.")

    assert health(decided())[0] == "Progressing"
    assert health(decided("awaitingApproval"))[0] == "Suspended"
    assert health(decided(answer=done))[0] == "Healthy"
    assert health(decided(answer=refused))[0] == "Degraded"


def test_the_script_names_only_conditions_and_reasons_that_there_are() -> None:
    """A name that is mistyped is never true, and nobody would notice."""
    script = SCRIPT.read_text(encoding="utf-8")
    words = set(re.findall(r'(?:found\[|reason == |needed in ipairs\(\{ |, )"(\w+)"', script))
    words |= set(re.findall(r"(\w+) = true", script))
    states = {"Healthy", "Degraded", "Progressing", "Suspended"}

    assert words >= {"Ready", "Stalled", "Accepted", "ResolvedRefs", "SecretMissing", "Suspended"}
    assert words - set(ConditionType) - set(Reason) - states == set()


def test_the_patch_holds_the_script_for_every_kind() -> None:
    """Argo CD looks it up by group and kind."""
    data = yaml.safe_load(PATCH.read_text(encoding="utf-8"))["data"]

    assert set(data) == {
        f"resource.customizations.health.{names.GROUP}_{kind.name}" for kind in KINDS
    }
    assert set(data.values()) == {SCRIPT.read_text(encoding="utf-8")}
