"""COM-09 by values: whether policies and room reach as far as the longest outage that a Flow allows."""

from collections.abc import Callable

import pytest

from intops_core.conformance import judge
from intops_core.findings import Finding
from intops_core.planning import plan_flow
from support.conformance import Raw, flow_of, world

FLOW = ("Flow", "alerts-to-helpdesk")
PLACE = "spec.runtime.store.maxOutage"


def found(
    store: Raw, errors: Raw, *more: tuple[str, str, Callable[[Raw], object]]
) -> list[Finding]:
    def change(spec: Raw) -> None:
        spec["runtime"] = {"store": store}
        spec["errors"] = errors

    resources = world((*FLOW, change), *more)[0]
    return judge(flow_of(resources), resources)


def places(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(f.rule, f.severity, f.path) for f in findings]


@pytest.mark.parametrize(
    ("store", "errors", "words"),
    [
        pytest.param({"maxOutage": "24h"}, {}, None, id="as long as the defaults wait"),
        pytest.param({"maxOutage": "1d1s"}, {}, "transientNetwork and timeout", id="a second more"),
        pytest.param({"maxOutage": "2d"}, {"timeout": {"maxAge": "3d"}}, "after transientNetwork a", id="one waits"),
        pytest.param({"maxOutage": "1h"}, {"timeout": {"strategy": "review"}}, "at once", id="a person at once"),
        pytest.param({"maxOutage": "1h"}, {"expired": {"strategy": "drop", "maxAge": "59m"}}, "drop", id="dropped"),
        pytest.param({"maxOutage": "1h"}, {"expired": {"strategy": "review", "maxAge": "1h"}}, None, id="old enough"),
        pytest.param({"maxOutage": "1h"}, {"timeout": {"maxAttempts": 1}}, "tried once (maxAttempts), which may be "
                     "within seconds. Let spec.errors.timeout try more often", id="one attempt"),
        pytest.param({"maxOutage": "8h"}, {"timeout": {"maxAttempts": 100}}, "100 times (maxAttempts), which "
                     "may be after 6 hours", id="attempts that are over sooner"),
        pytest.param({"maxOutage": "8h"}, {"timeout": {"maxAttempts": 200}}, None, id="attempts enough"),
    ],
)  # fmt: skip
def test_no_policy_gives_up_before_the_longest_outage_is_over(
    store: Raw, errors: Raw, words: str | None
) -> None:
    """What came during an allowed outage is delivered by itself when it ends."""
    findings = found(store, errors)

    assert places(findings) == [("COM-09", "deny", PLACE)] * (words is not None)
    assert words is None or words in findings[0].message


def test_an_outage_that_only_the_pattern_names_is_no_reason_to_refuse() -> None:
    """A Flow that drops what is old says what it wants, and is asked whether it meant it."""
    findings = found({}, {"expired": {"strategy": "drop", "maxAge": "1h"}})

    assert places(findings) == [("COM-09", "warn", "spec.errors.expired")]


def test_what_the_class_of_the_target_says_counts() -> None:
    """A class may give up sooner than the default, and the Flow still has the last word."""

    def gives_up(spec: Raw) -> None:
        spec["errorPolicies"] = {"timeout": {"maxAge": "1h"}}

    hasty = ("ConnectorClass", "request-tracker", gives_up)

    assert places(found({"maxOutage": "8h"}, {}, hasty)) == [("COM-09", "deny", PLACE)]
    assert found({"maxOutage": "8h"}, {"timeout": {"maxAge": "8h"}}, hasty) == []


@pytest.mark.parametrize(
    ("store", "needed"),
    [
        pytest.param({"peakPerHour": 900, "maxOutage": "24h"}, None, id="fits"),
        pytest.param({"peakPerHour": 1000, "maxOutage": "24h"}, "2Gi", id="with what has ended"),
        pytest.param(
            {"peakPerHour": 1000, "maxOutage": "400h"}, "5Gi", id="twice of a long outage"
        ),
        pytest.param({"peakPerHour": 10**6, "embedded": {"size": "2Ti"}}, None, id="a large one"),
        pytest.param({"peakPerHour": 10**6, "postgres": {"secretName": "pg"}}, None, id="no volume"),
        pytest.param({}, None, id="nobody said how many"),
    ],
)  # fmt: skip
def test_a_volume_has_room_for_the_outage_and_for_what_is_kept(
    store: Raw, needed: str | None
) -> None:
    """Twice of what is expected, or the outage beside the seven days of ended messages."""
    patient = {name: {"maxAge": "500h"} for name in ("transientNetwork", "timeout")}
    findings = found(store, patient)

    assert places(findings) == [("COM-09", "deny", "spec.runtime.store.embedded.size")] * bool(
        needed
    )
    assert needed is None or f"Write {needed}" in findings[0].message


def test_what_is_expected_of_a_store_changes_no_plan() -> None:
    """A better guess of the load restarts and reloads nothing."""

    def expects(spec: Raw) -> None:
        spec["runtime"]["store"].update(maxOutage="1h", peakPerHour=10)

    plans = [
        plan_flow(flow_of(resources), resources).plan
        for resources in (world()[0], world((*FLOW, expects))[0])
    ]

    assert plans[0] is not None
    assert plans[1] is not None
    assert plans[0].hash == plans[1].hash
