"""Which decisions go down to the worker, and what their status says."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from intops_api.actions import MAX_PENDING, ActionReport, PlanActions
from intops_core.findings import Finding, Ref
from intops_core.resources import Resource, parse_resource
from intops_operator.core.actions import action_status, forget_in_s, state_of, told
from intops_operator.core.observed import trimmed

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
FLOW = Ref("Flow", "itsm", "alerts")


def action(name: str = "a", at: int = 0, **spec: Any) -> Resource:
    """A FlowAction as the cache has it."""
    body = {
        "kind": "FlowAction",
        "metadata": {
            "name": name, "namespace": "itsm", "uid": f"uid-{name}", "generation": 1,
            "creationTimestamp": f"2026-11-25T10:00:{at:02d}Z",
        },
        "spec": {
            "flow": "alerts", "action": "retry", "select": {"allInReview": True}, "reason": "x",
            "actor": "alice@example.com", **spec,
        },
    }  # fmt: skip
    parsed = parse_resource(trimmed(body))
    assert isinstance(parsed, Resource), parsed
    return parsed


def status(
    resource: Resource,
    state: Any = "waiting",
    answer: ActionReport | None = None,
    findings: tuple[Finding, ...] = (),
) -> dict[str, Any]:
    return action_status(
        resource, state=state, answer=answer, findings=findings, previous={}, now=NOW
    )


def ready(found: dict[str, Any]) -> tuple[str, str, str]:
    (first, *_) = found["conditions"]
    assert first["type"] == "Ready"
    return first["status"], first["reason"], first["message"]


def test_the_oldest_decisions_go_first_and_never_too_many() -> None:
    """A ConfigMap has room for so much; later ones wait for their turn."""
    found = told(FLOW, [action(f"n{n}", at=59 - n) for n in range(MAX_PENDING + 5)])

    assert found.text is not None
    down = PlanActions.model_validate_json(found.text)
    assert len(down.actions) == MAX_PENDING
    assert down.actions[0].uid == f"uid-n{MAX_PENDING + 4}"
    assert (down.namespace, down.flow) == ("itsm", "alerts")


def test_the_same_decisions_have_the_same_hash_in_any_order() -> None:
    """Nothing is written where nothing changed."""
    pair = [action("a", at=1), action("b", at=2)]

    assert told(FLOW, pair) == told(FLOW, pair[::-1])
    assert told(FLOW, pair).hash != told(FLOW, pair[:1]).hash
    assert told(FLOW, []).text is told(FLOW, []).hash is None


def test_all_that_the_worker_needs_goes_down() -> None:
    """Who decided and who approved, as the API server verified it, with the correction."""
    edit = action(
        action="edit", patch=[{"path": "severity", "value": "major"}], approvedBy="bob@example.com"
    )
    (down,) = json.loads(told(FLOW, [edit]).text or "")["actions"]

    assert (down["uid"], down["actor"], down["approvedBy"]) == (
        "uid-a", "alice@example.com", "bob@example.com",
    )  # fmt: skip
    assert down["patch"] == [{"path": "severity", "value": "major"}]


def test_where_a_flow_asks_for_two_people_one_waits_for_the_other() -> None:
    """The status says who must do what, with the command."""
    alone, approved = action(), action(approvedBy="bob@example.com")

    assert state_of(alone, {}, second_approver=True) == "awaitingApproval"
    assert state_of(approved, {}, second_approver=True) == "waiting"
    assert state_of(alone, {}, second_approver=False) == "waiting"
    value, reason, message = ready(status(alone, "awaitingApproval"))
    assert (value, reason) == ("False", "AwaitingApproval")
    assert "somebody other than alice@example.com" in message
    assert "kubectl intops review approve a" in message


def test_an_answer_becomes_the_status_and_is_final() -> None:
    """Applied is Ready; refused is Stalled, with the worker's sentence."""
    answer = ActionReport(uid="uid-a", applied=3, left="One stays.", at="2026-11-25T11:59:00Z")
    applied = status(action(), answer=answer)
    refused = status(action(), answer=ActionReport(uid="uid-a", refused="No such message."))

    assert ready(applied) == ("True", "Applied", "3 messages tried again. One stays.")
    assert (applied["messages"], applied["appliedAt"]) == (3, "2026-11-25T11:59:00Z")
    assert ready(refused) == ("False", "Refused", "Nothing was changed. No such message.")
    assert [c["type"] for c in refused["conditions"]] == ["Ready", "Stalled"]
    for found in (applied, refused):
        assert state_of(action(), found, second_approver=False) == "answered"


def test_a_decision_about_no_flow_says_so_and_waits() -> None:
    """GitOps may apply in any order."""
    finding = Finding(
        "Reference", "deny", "spec.flow", 'There is no Flow "alerts".', action().ref, FLOW
    )

    assert ready(status(action(), findings=(finding,))) == (
        "False", "RefNotFound", 'There is no Flow "alerts".',
    )  # fmt: skip
    assert ready(status(action()))[1] == "Pending"


def test_answered_decisions_go_after_a_day() -> None:
    """The audit keeps them; the API server need not."""
    assert forget_in_s({}, NOW) is None
    assert forget_in_s({"appliedAt": "2026-11-25T11:00:00Z"}, NOW) == 23 * 3600
    assert (forget_in_s({"appliedAt": "2026-11-24T11:00:00Z"}, NOW) or 0) < 0
