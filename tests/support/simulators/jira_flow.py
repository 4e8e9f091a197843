"""The fourth example against the simulated Jira, with times fit for a test.

Used by component tests of the class `jira`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from intops_api.plan import FlowPlan
from intops_core.catalog import shipped
from support.runtime.flows import REPOSITORY, change, example_manifests, make_plan

EXAMPLE = REPOSITORY / "examples" / "04-alerts-to-jira"
Edit = Callable[[list[dict[str, Any]]], None]


def alerts_to_jira(
    endpoint: str, *, settle: str = "4s", timeout: str = "1s", edit: Edit = lambda _: None
) -> FlowPlan:
    """The plan of the example. Only addresses, names of Secrets, limits and times differ from what is shipped.

    `edit` changes the manifests in place before anything else does.
    """
    manifests = example_manifests(EXAMPLE)
    edit(manifests)

    def at(spec: dict[str, Any]) -> None:
        spec.update(
            {"class": "test-jira", "endpoint": endpoint},
            credentials={"secretName": "helpdesk-token"},
            limits={"requestsPerSecond": 1000, "concurrency": 4},
        )

    change(manifests, "Connector", "jira", at)
    to = {"class": "test-jira", "object": "issue"}
    change(manifests, "Mapping", "incident-to-jira", lambda spec: spec.update(to=to))
    (class_,) = [raw for raw in shipped() if raw["metadata"]["name"] == "jira"]
    class_ = copy.deepcopy(class_)
    class_["metadata"]["name"] = "test-jira"
    class_["spec"]["mappings"] = {}
    class_["spec"]["limits"] = {"requestsPerSecond": 1000, "concurrency": 4}
    for operation in class_["spec"]["operations"].values():
        operation["timeout"] = timeout
    class_["spec"]["operations"]["lookupByCorrelation"]["settle"] = settle
    return make_plan([*manifests, class_])
