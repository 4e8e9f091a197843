"""Flows to and from the simulated PagerDuty, with times fit for a test.

Used by component tests of the class `pagerduty`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from intops_api.plan import FlowPlan
from intops_core.catalog import shipped
from support.runtime.flows import REPOSITORY, change, example_manifests, make_plan

EXAMPLE = REPOSITORY / "examples" / "06-alerts-to-pagerduty"
Edit = Callable[[list[dict[str, Any]]], None]
ClassEdit = Callable[[dict[str, Any]], None]
LIMITS = {"requestsPerSecond": 1000, "concurrency": 4}


def alerts_to_pagerduty(
    endpoint: str,
    *,
    settle: str = "2s",
    timeout: str = "1s",
    edit: Edit = lambda _: None,
    edit_class: ClassEdit = lambda _: None,
) -> FlowPlan:
    """The plan of the example. Only addresses, names of Secrets, limits and times differ from what is shipped.

    `edit` changes the manifests in place before anything else does, `edit_class` the spec of the class.
    """
    manifests = example_manifests(EXAMPLE)
    edit(manifests)

    def at(spec: dict[str, Any]) -> None:
        spec.update(
            {"class": "test-pagerduty", "endpoint": endpoint},
            credentials={"secretName": "helpdesk-token"},
            limits=LIMITS,
        )

    change(manifests, "Connector", "pagerduty", at)
    to = {"class": "test-pagerduty", "object": "incident"}
    change(manifests, "Mapping", "incident-to-pagerduty", lambda spec: spec.update(to=to))
    (class_,) = [raw for raw in shipped() if raw["metadata"]["name"] == "pagerduty"]
    class_ = copy.deepcopy(class_)
    class_["metadata"]["name"] = "test-pagerduty"
    class_["spec"]["mappings"] = {}
    class_["spec"]["limits"] = LIMITS
    for operation in class_["spec"]["operations"].values():
        operation["timeout"] = timeout
    class_["spec"]["operations"]["lookupByCorrelation"]["settle"] = settle
    edit_class(class_["spec"])
    return make_plan([*manifests, class_])


def pagerduty_to_pagerduty(endpoint: str) -> FlowPlan:
    """What people raise in one account becomes incidents of another: the example with another source."""

    def from_webhooks(manifests: list[dict[str, Any]]) -> None:
        def source(spec: dict[str, Any]) -> None:
            spec.clear()
            spec.update(
                {"class": "pagerduty"},
                credentials={"secretName": "pagerduty-webhooks"},
                owner={"team": "on-call", "contact": "on-call@example.com"},
            )

        change(manifests, "Connector", "alertmanager", source)
        change(
            manifests,
            "Flow",
            "alerts-to-pagerduty",
            lambda spec: spec["roles"].update(
                source=[{"name": "prometheus", "connector": "alertmanager"}]
            ),
        )

    return alerts_to_pagerduty(endpoint, edit=from_webhooks)
