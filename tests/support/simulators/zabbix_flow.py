"""The fifth example against the simulated Zabbix and the simulated desk, with times fit for a test.

Used by component tests of the class `zabbix`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from intops_api.plan import FlowPlan
from intops_core.catalog import shipped
from support.runtime.flows import REPOSITORY, asked, change, example_manifests, make_plan

EXAMPLE = REPOSITORY / "examples" / "05-zabbix-to-request-tracker"
Edit = Callable[[list[dict[str, Any]]], None]


def zabbix_to_helpdesk(zabbix: str, desk: str, *, edit: Edit = lambda _: None) -> FlowPlan:
    """The plan of the example. Only addresses, limits and times differ from what is shipped.

    `edit` changes the manifests in place before anything else does.
    """
    manifests = example_manifests(EXAMPLE)
    edit(manifests)
    limits = {"requestsPerSecond": 1000, "concurrency": 4}
    change(
        manifests, "Connector", "zabbix", lambda spec: spec.update({"class": "test-zabbix"}, endpoint=zabbix)
    )  # fmt: skip
    change(
        manifests, "Connector", "helpdesk",
        lambda spec: spec.update({"class": "test-desk"}, endpoint=desk, limits=limits),
    )  # fmt: skip
    change(
        manifests, "Mapping", "zabbix-to-event",
        lambda spec: spec["from"].update({"class": "test-zabbix"}),
    )  # fmt: skip
    change(
        manifests, "Mapping", "incident-to-helpdesk",
        lambda spec: spec["to"].update({"class": "test-desk"}),
    )  # fmt: skip
    return asked(make_plan([*manifests, _faster("zabbix"), _faster("request-tracker")]))


def _faster(name: str) -> dict[str, Any]:
    """A shipped class under a name of its own, which waits for nothing that a test would wait for."""
    (found,) = [raw for raw in shipped() if raw["metadata"]["name"] == name]
    class_ = copy.deepcopy(found)
    class_["metadata"]["name"] = {"zabbix": "test-zabbix"}.get(name, "test-desk")
    class_["spec"]["mappings"] = {}
    class_["spec"]["limits"] = {"requestsPerSecond": 1000, "concurrency": 4}
    for operation in class_["spec"]["operations"].values():
        operation["timeout"] = "1s"
    lookup = class_["spec"]["operations"].get("lookupByCorrelation")
    if lookup is not None:
        lookup["settle"] = "2s"
    return class_
