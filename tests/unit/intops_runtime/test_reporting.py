"""What a worker says about a plan."""

from __future__ import annotations

from typing import Any

import pytest

from intops_api.plan import FlowPlan
from intops_api.report import RateReport, SecretReport, StoreReport
from intops_runtime.core.gates import Gate
from intops_runtime.core.reporting import PlanFacts, plan_report, rfc3339
from support.runtime.flows import alerts_to_helpdesk

SINCE = 1_800_000_000.0


@pytest.fixture(scope="module")
def plan() -> FlowPlan:
    """The plan of the first example."""
    return alerts_to_helpdesk("https://desk.example.com")


def facts(plan: FlowPlan, **given: Any) -> PlanFacts:
    base: dict[str, Any] = {
        "plan": plan, "store": StoreReport(), "gates": {}, "secrets": {}, "rates": RateReport(),
        "last_delivered_at": None,
    }  # fmt: skip
    return PlanFacts(**{**base, **given})


@pytest.mark.parametrize(
    ("gate", "state", "doing"),
    [
        (Gate(), "ok", None),
        (Gate().shut(0, SINCE, "destinationDown", "refused"), "open", "again every 10 s"),
        (Gate().hold(0, SINCE, "authDenied", "HTTP 401"), "held", '"helpdesk-token" changes'),
        (
            Gate().hold(0, SINCE, "policyDenied", "it is link-local"),
            "held",
            'goes on when Connector "helpdesk" or Secret "helpdesk-token" is mended',
        ),
        (Gate().limit(0, SINCE, 5.0, "HTTP 429"), "limited", "as long as the system asked"),
    ],
    ids=["well", "down", "refused", "address not allowed", "limited"],
)
def test_each_system_says_how_it_is_and_what_is_done(
    plan: FlowPlan, gate: Gate, state: str, doing: str | None
) -> None:
    """People read what the worker does by itself before they read what they must do."""
    report = plan_report(facts(plan, gates={"helpdesk": gate}))

    source, target = report.connectors
    assert (source.name, source.role, source.state) == ("prometheus", "source", "ok")
    assert (target.name, target.role, target.state) == ("helpdesk", "target", state)
    assert (target.error_class, target.detail) == (gate.error_class, gate.detail)
    assert target.since == (rfc3339(SINCE) if doing else None)
    assert (doing or "") in (target.doing or "")
    assert (target.doing is None) is (doing is None)


def test_a_report_says_which_plan_runs_and_what_its_store_holds(plan: FlowPlan) -> None:
    """The operator compares the hash with the plan that it wants."""
    store = StoreReport(received=3, done=2, waiting=1)

    report = plan_report(facts(plan, store=store, last_delivered_at=0.9, error="An old one runs."))

    assert (report.flow.namespace, report.flow.name) == ("itsm", "alerts-to-helpdesk")
    assert (report.active, report.error) == (plan.hash, "An old one runs.")
    assert report.store == store
    assert report.last_delivered_at == "1970-01-01T00:00:00Z"


def test_the_secret_of_a_connector_is_told_beside_it(plan: FlowPlan) -> None:
    """Present or not, and which keys are missing."""
    secret = SecretReport(secret="helpdesk-token", present=False, missing_keys=["token"])

    report = plan_report(facts(plan, secrets={"helpdesk": secret}))

    assert [c.secret for c in report.connectors] == [None, secret]


@pytest.mark.parametrize(
    ("epoch", "text"),
    [(None, None), (0.0, "1970-01-01T00:00:00Z"), (SINCE, "2027-01-15T08:00:00Z")],
)
def test_times_are_utc_in_whole_seconds(epoch: float | None, text: str | None) -> None:
    """One form for every reader."""
    assert rfc3339(epoch) == text
