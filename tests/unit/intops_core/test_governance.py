"""Who answers for a Flow, what it promises, what becomes of errors: by values, in every state."""

from collections.abc import Callable
from datetime import date

import pytest

from intops_api.flow import FlowSpec
from intops_core.conformance import judge
from intops_core.findings import Finding
from intops_core.rules.dates import OutOfDate, out_of_date
from support.conformance import Raw, flow_of, world

FLOW = ("Flow", "alerts-to-helpdesk")
PATTERN = ("Pattern", "event-to-incident")
TODAY = date(2026, 11, 25)

Change = Callable[[Raw], object]


def found(
    change: Change, *, pattern: Change = lambda spec: None, class_: Change = lambda spec: None
) -> list[Finding]:
    resources = world(
        (*FLOW, change), (*PATTERN, pattern), ("ConnectorClass", "request-tracker", class_)
    )[0]
    return judge(flow_of(resources), resources)


def places(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(f.rule, f.severity, f.path) for f in findings]


def spec(**changes: object) -> FlowSpec:
    base = {
        "pattern": "p",
        "owner": {"team": "t", "contact": "c"},
        "roles": {"target": [{"name": "t", "connector": "t"}]},
    }
    return FlowSpec.model_validate(base | changes)


def exception(rule: str, until: str) -> Raw:
    return {"rule": rule, "reason": "r", "approvedBy": "boss@example.com", "until": until}


def test_a_first_flow_of_the_shipped_pattern_is_warned_and_not_refused() -> None:
    """Who is above the team and when somebody looks again can be written after the first message."""

    def short(spec: Raw) -> None:
        for name in ("reviewBy", "businessProcess", "slo", "review", "runtime"):
            spec.pop(name)
        spec["owner"].pop("escalation")

    assert places(found(short)) == [
        ("COM-07", "warn", "spec.owner.escalation"),
        ("COM-07", "warn", "spec.reviewBy"),
    ]


def test_what_a_pattern_says_for_its_flows_need_not_be_said_again() -> None:
    """Promise, reviews and escalation of a whole company stand once."""

    def short(spec: Raw) -> None:
        spec.pop("slo")
        spec["owner"].pop("escalation")

    def company(spec: Raw) -> None:
        spec["defaults"]["owner"] = {"escalation": "head@example.com"}

    assert found(short, pattern=company) == []


@pytest.mark.parametrize(
    ("slo", "expected"),
    [
        pytest.param({}, ["spec.slo"], id="nothing"),
        pytest.param({"delivered": "99%"}, ["spec.slo.within", "spec.slo.window"], id="a share"),
        pytest.param({"within": "60s", "window": "30d"}, ["spec.slo.delivered"], id="no share"),
        pytest.param({"delivered": "99%", "within": "60s", "window": "30d"}, [], id="all of it"),
        pytest.param(
            {"delivered": "0.0%", "within": "60s", "window": "0s"},
            ["spec.slo.delivered", "spec.slo.window"],
            id="zeros",
        ),
    ],
)
def test_a_promise_can_be_measured(slo: Raw, expected: list[str]) -> None:
    """A share of messages, a time and a period; each that lacks is told with its field."""
    findings = found(
        lambda spec: spec.update(slo=slo), pattern=lambda spec: spec["defaults"].pop("slo")
    )

    assert places(findings) == [("COM-12", "deny", path) for path in expected]


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        pytest.param({}, [], id="the defaults"),
        pytest.param({"expired": {"strategy": "drop", "maxAge": "24h"}}, [], id="expires"),
        pytest.param({"expired": {"strategy": "continue"}}, [], id="never expires"),
        pytest.param({"expired": {"strategy": "review"}}, ["expired.maxAge"], id="no age"),
        pytest.param({"expired": {"maxAge": "1h"}}, ["expired.strategy"], id="age alone"),
        pytest.param({"conflict": {"base": "500ms"}}, [], id="as long as the longest"),
        pytest.param({"conflict": {"base": "2s"}}, [], id="drawn between both, so kept"),
        pytest.param({"timeout": {"base": "2h"}}, ["timeout.base"], id="above the default"),
        pytest.param({"timeout": {"base": "2h", "cap": "3h"}}, [], id="with its own longest"),
    ],
)
def test_an_error_policy_says_all_that_it_needs(errors: Raw, expected: list[str]) -> None:
    """What nobody names inherits; what is written must have an effect."""
    findings = found(lambda spec: spec.update(errors=errors))

    assert places(findings) == [("COM-08", "deny", f"spec.errors.{path}") for path in expected]


def test_the_longest_delay_of_a_system_counts_too() -> None:
    """A class may say how long its system is to be left alone."""
    slow: Change = lambda spec: spec.update(errorPolicies={"timeout": {"cap": "10m"}})  # noqa: E731
    wait: Change = lambda spec: spec.update(errors={"timeout": {"base": "5m"}})  # noqa: E731

    # The source's class says nothing of it, so 30s holds there.
    assert places(found(wait)) == [("COM-08", "deny", "spec.errors.timeout.base")]
    assert "longest, 30s" in found(wait, class_=slow)[0].message


@pytest.mark.parametrize(
    ("due", "told"),
    [("8h", False), ("30d", False), ("31d", True), ("0s", True)],
)
def test_what_waits_for_a_person_is_due_within_a_time_that_counts(due: str, told: bool) -> None:
    """Not at once, and not after the period of the promise is over."""
    findings = found(lambda spec: spec.update(review={"dueWithin": due}))

    assert places(findings) == [("COM-08", "deny", "spec.review.dueWithin")] * told


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, None, id="no dates"),
        pytest.param({"reviewBy": "2026-11-25"}, None, id="due today"),
        pytest.param({"reviewBy": "2026-11-24"}, OutOfDate("reviewDue"), id="over"),
        pytest.param({"reviewBy": "2027-05-24"}, None, id="180 days ahead"),
        pytest.param(
            {"reviewBy": "2027-05-25"},
            OutOfDate("reviewTooFar", latest="2027-05-24"),
            id="181 days ahead",
        ),
        pytest.param({"reviewBy": "2026-02-30"}, OutOfDate("reviewDue"), id="no such day"),
        pytest.param(
            {"reviewBy": "2029-01-01", "exceptions": [exception("COM-07", "2026-11-25")]},
            None,
            id="excused to the end of today",
        ),
    ],
)
def test_dates_are_told_by_the_day_of_who_asks(changes: Raw, expected: OutOfDate | None) -> None:
    """The last day still counts; a day that does not exist ends no judgement."""
    assert out_of_date(spec(**changes), TODAY, limits_reviews=True) == expected


def test_an_exception_that_is_over_is_told_before_a_review() -> None:
    """What was allowed for a while and is no longer is the graver of the two."""
    past = spec(exceptions=[exception("COM-08", "2026-11-24")], reviewBy="2026-11-01")

    due = out_of_date(past, TODAY, limits_reviews=True)

    assert due is not None
    assert (due.due, [one.rule for one in due.expired]) == ("exceptionExpired", ["COM-08"])


def test_a_pattern_without_the_rule_sets_no_limit_to_the_next_review() -> None:
    """A company may look once a year, if its Pattern says so."""
    assert out_of_date(spec(reviewBy="2027-11-01"), TODAY, limits_reviews=False) is None


@pytest.mark.parametrize("day", ["2000-01-01", "2999-12-31"])
def test_no_date_refuses_a_flow(day: str) -> None:
    """Dates pass while nobody applies anything; they are told in the condition Compliant."""

    def dated(spec: Raw) -> None:
        spec["reviewBy"] = day
        spec["exceptions"] = [exception("COM-08", day)]

    assert found(dated) == []
