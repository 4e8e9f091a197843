"""The eight broken Flows of acceptance step A12: the first example, each with one fault of its own.

Used by tests/component/test_scenario_a.py, and by tests/cluster/test_operator_admission.py at a real API server.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from intops_core.catalog import shipped
from support.runtime.flows import NAMESPACE, change, example_manifests, rule_of
from support.wrong import WORLD

Raw = dict[str, Any]
Manifests = list[Raw]
FLOW = "alerts-to-helpdesk"
BESIDE = ("inventory", "cmdb", "item-to-event", "incidents-under-governance")


WAY_BACK: dict[str, Raw] = {
    "title": {"from": "Subject"},
    "state": {"default": "new"},
    "impact": {"default": "medium"},
    "urgency": {"default": "medium"},
    "openedAt": {"cel": "string(now)"},
}


@dataclass(frozen=True, slots=True)
class Broken:
    """One fault.

    Attributes:
        rule: Id of the rule that refuses it.
        kind, name: The object that is refused.
        path: The field that is named.
        words: What the message says.
        how: Makes the fault in sound manifests, in place.
    """

    rule: str
    kind: str
    name: str
    path: str
    words: str
    how: Callable[[Manifests], None]


def sound() -> Manifests:
    """The first example, and beside it what the faults need: an inventory, a desk that tells, a strict Pattern."""
    found = example_manifests()
    for raw in yaml.safe_load_all(WORLD.read_text(encoding="utf-8")):
        if raw and raw["metadata"]["name"] in BESIDE:
            if raw["kind"] in ("Connector", "Mapping"):
                raw["metadata"]["namespace"] = NAMESPACE
            found.append(raw)
    found += [_telling_desk(), _way_back()]
    return found


def _telling_desk() -> Raw:
    """A desk that tells of its changes, but not whose they are."""
    desk: Raw = copy.deepcopy(
        next(raw for raw in shipped() if raw["metadata"]["name"] == "request-tracker")
    )
    desk["metadata"] = {"name": "telling-desk"}
    desk["spec"]["mappings"] = {}
    desk["spec"]["capture"] = {
        "object": "ticket", "verify": [{"scheme": "bearer", "key": "token"}],
    }  # fmt: skip
    return desk


def _way_back() -> Raw:
    return {
        "apiVersion": "intops.io/v1alpha1",
        "kind": "Mapping",
        "metadata": {"name": "ticket-to-incident", "namespace": NAMESPACE},
        "spec": {
            "owner": {"team": "desk", "contact": "desk@example.com"},
            "from": {"class": "telling-desk", "object": "ticket"},
            "to": {"model": "incident", "version": "v1"},
            "fields": [
                {"to": to, **rule, "meaning": "What people see and change at the desk."}
                for to, rule in WAY_BACK.items()
            ],
        },
    }


def _flow(manifests: Manifests, how: Callable[[Raw], Any]) -> None:
    change(manifests, "Flow", FLOW, how)


def _another_way(manifests: Manifests) -> None:
    def how(spec: Raw) -> None:
        spec["roles"]["source"][0]["mapping"] = "incident-to-helpdesk"

    _flow(manifests, how)


def _table_with_a_hole(manifests: Manifests) -> None:
    def how(spec: Raw) -> None:
        rule = rule_of(spec, "severity")
        del rule["onUnmapped"], rule["default"], rule["values"]["unknown"]
        # Only the examples about what the table has still hold.
        spec["examples"] = spec["examples"][:1]

    change(manifests, "Mapping", "alertmanager-to-event", how)


def _nobody_above(manifests: Manifests) -> None:
    def how(spec: Raw) -> None:
        spec["pattern"] = "incidents-under-governance"
        del spec["owner"]["escalation"]

    _flow(manifests, how)


def _undecided(manifests: Manifests) -> None:
    _flow(manifests, lambda spec: spec["closure"].pop("onResolved"))


def _echoes(manifests: Manifests) -> None:
    """Both directions with a desk whose changes nobody can tell from our own."""

    def how(spec: Raw) -> None:
        spec["sync"] = {"mode": "bidirectional"}
        spec["roles"]["target"][0]["reverseMapping"] = "ticket-to-incident"

    _flow(manifests, how)
    change(manifests, "Connector", "helpdesk", lambda spec: spec.update({"class": "telling-desk"}))
    change(
        manifests, "Mapping", "incident-to-helpdesk",
        lambda spec: spec["to"].update({"class": "telling-desk"}),
    )  # fmt: skip


def _never_taken(manifests: Manifests) -> None:
    """What one object shows by itself, such as a missing default, the schema refuses already."""

    def how(spec: Raw) -> None:
        first = spec["routes"][0]
        spec["routes"].insert(1, {**first, "name": "night"})

    _flow(manifests, how)


def _stopping_enricher(manifests: Manifests) -> None:
    def how(spec: Raw) -> None:
        spec["roles"]["enricher"] = [
            {"name": "ci", "connector": "cmdb", "mapping": "item-to-event", "onFailure": "hold"}
        ]

    _flow(manifests, how)


def _clear_text(manifests: Manifests) -> None:
    change(
        manifests, "Connector", "helpdesk",
        lambda spec: spec["config"].update(apiKey="not-a-real-one"),
    )  # fmt: skip


EIGHT = {
    "COM-04": Broken(
        "COM-04", "Flow", FLOW, "spec.roles.source[0].mapping", "it leads from model incident",
        _another_way,
    ),
    "COM-06": Broken(
        "COM-06", "Mapping", "alertmanager-to-event", "spec.fields[", 'has no entry for "unknown"',
        _table_with_a_hole,
    ),
    "COM-07": Broken(
        "COM-07", "Flow", FLOW, "spec.owner.escalation", 'Nobody is named for when "service-desk"',
        _nobody_above,
    ),
    "E2I-03": Broken(
        "E2I-03", "Flow", FLOW, "spec.closure.onResolved", "Incidents would stay open for ever.",
        _undecided,
    ),
    # The guard against loops is a property of what a class tells, for every Pattern: COM-11.
    "E2I-05": Broken(
        "COM-11", "Flow", FLOW, "spec.roles.target[0].connector",
        "every update written to it would come back as a new one", _echoes,
    ),
    "E2I-08": Broken(
        "E2I-08", "Flow", FLOW, "spec.routes[1]",
        'Route "night" can never match: route "payments" comes before it', _never_taken,
    ),
    "E2I-09": Broken(
        "E2I-09", "Flow", FLOW, "spec.roles.enricher[0].onFailure",
        "Its outage would stop all incidents.", _stopping_enricher,
    ),
    "COM-10": Broken(
        "COM-10", "Connector", "helpdesk", "spec.config.apiKey", "written in clear text",
        _clear_text,
    ),
}  # fmt: skip
