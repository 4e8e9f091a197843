"""Step B8 of acceptance scenario B: what a model that loses a field does to the Flows that use it.

With a model, a class and a Pattern that exist only here: `item` stands for the configuration item, which becomes an
incident of the first example's desk, because event-to-incident is the only engine there is. What the change makes of
stored messages (`intops replay`) is asked of Flows that keep a plan; here both lose theirs, so nothing is compared.
Announced upgrades (PlannedChange) are not built.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from intops_core.catalog import shipped
from intops_operator.admission.review import Answer, parse_review
from intops_operator.admission.server import AdmissionServer
from intops_operator.cache import Cache
from support.runtime.flows import EXAMPLE, NAMESPACE, example_manifests
from support.runtime.local_run import intops

pytestmark = pytest.mark.component

Raw = dict[str, Any]
GROUP = {"type": "string", "meaning": "The team that looks after the item in business terms."}
ITEM_CLASS: Raw = {
    "displayName": "Inventory",
    "endpointRequired": False,
    "credentials": [{"key": "token"}],
    "objects": {
        "item": {
            "fields": {
                "id": {"type": "string", "required": True},
                "name": {"type": "string", "required": True},
                "status": {"type": "string"},
                "group": {"type": "string"},
                "changedAt": {"type": "time", "required": True},
            }
        }
    },
    "capture": {"object": "item", "ack": 200, "verify": [{"scheme": "bearer", "key": "token"}]},
    "limits": {"requestsPerSecond": 10, "concurrency": 2, "source": "A test has none."},
}
RULES: list[Raw] = [
    {"to": "identityKey", "from": "id", "meaning": "One item is one condition over all times."},
    {"to": "episodeKey", "from": "id", "meaning": "An item that fails is one outbreak at a time."},
    {
        "to": "state", "from": "status", "values": {"failed": "firing", "active": "resolved"},
        "onUnmapped": "review", "default": "unknown",
        "meaning": "An item that failed hurts until it is active again.",
    },
    {
        "to": "severity", "default": "major",
        "meaning": "Whatever fails in the inventory is looked at the same day.",
    },
    {"to": "title", "from": "name", "meaning": "The name of the item is the line people act on."},
    {"to": "resource.node", "from": "name", "meaning": "The item is the host that hurts, by name."},
    {"to": "source.tool", "default": "inventory", "meaning": "Tells where the item was read from."},
    {"to": "startsAt", "from": "changedAt", "meaning": "It hurts since the inventory noticed it."},
    {"to": "supportGroup", "from": "group", "meaning": "The team that looks after the item."},
]  # fmt: skip


def shipped_spec(kind: str, name: str) -> Raw:
    """The spec of a shipped object, free to be changed."""
    (found,) = [r for r in shipped() if (r["kind"], r["metadata"]["name"]) == (kind, name)]
    spec: Raw = copy.deepcopy(found["spec"])
    return spec


def made(kind: str, name: str, spec: Raw, *, namespaced: bool = False) -> Raw:
    """A manifest."""
    metadata = {"name": name} | ({"namespace": NAMESPACE} if namespaced else {})
    return {"apiVersion": "intops.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def model(change: Callable[[Raw], object] = lambda spec: None) -> Raw:
    """An item: what an event has, and who looks after it."""
    spec = shipped_spec("CanonicalModel", "event")
    spec["versions"][0]["fields"]["supportGroup"] = dict(GROUP)
    change(spec)
    return made("CanonicalModel", "item", spec)


def pattern() -> Raw:
    """An item becomes an incident, and its support group the one that is asked first."""
    spec = shipped_spec("Pattern", "event-to-incident")
    text = json.dumps(spec).replace("event.", "item.").replace('"event"', '"item"')
    spec = json.loads(text.replace("event/v1", "item/v1").replace("event-to", "item-to"))
    spec["mappings"]["item-to-incident"]["fields"].append(
        {
            "to": "assignmentGroup", "from": "supportGroup",
            "meaning": "Who looks after the item mends it when it fails.",
        }
    )  # fmt: skip
    return made("Pattern", "item-to-incident", spec)


def world() -> list[Raw]:
    """The example's desk, an inventory, and two Flows, of which one routes by the support group."""
    example = example_manifests()
    kept = [
        raw for raw in example if raw["metadata"]["name"] in ("helpdesk", "incident-to-helpdesk")
    ]
    (flow,) = [raw for raw in example if raw["kind"] == "Flow"]
    owner = {"team": "network", "contact": "network@example.com"}
    connector = {"class": "inventory", "credentials": {"secretName": "inventory"}, "owner": owner}
    mapping = {
        "owner": owner,
        "from": {"class": "inventory", "object": "item"},
        "to": {"model": "item", "version": "v1"},
        "fields": copy.deepcopy(RULES),
    }
    flow["spec"]["pattern"] = "item-to-incident"
    flow["spec"]["roles"]["source"] = [
        {"name": "inventory", "connector": "inventory", "mapping": "netbox-to-item"}
    ]
    routed = copy.deepcopy(flow)
    flow["metadata"]["name"] = "items-to-desk"
    routed["metadata"]["name"] = "network-to-desk"
    routed["spec"]["owner"] = {**flow["spec"]["owner"], **owner}
    routed["spec"]["routes"][0] = {
        "name": "network", "when": 'incident.assignmentGroup == "net-ops"',
        "set": {"assignmentGroup": "Network-L2"},
    }  # fmt: skip
    return [
        model(), pattern(), made("ConnectorClass", "inventory", copy.deepcopy(ITEM_CLASS)),
        made("Connector", "inventory", connector, namespaced=True),
        made("Mapping", "netbox-to-item", mapping, namespaced=True), *kept, flow, routed,
    ]  # fmt: skip


def without_group(spec: Raw) -> None:
    """The field is gone."""
    del spec["versions"][0]["fields"]["supportGroup"]


def group_is_optional(spec: Raw) -> None:
    """The first step of taking a field away that every record had: it may be absent."""
    spec["versions"][0]["fields"]["title"]["required"] = False


def new_edition(spec: Raw) -> None:
    """The field is gone in an edition of its own; the old one is there for those who use it."""
    second = copy.deepcopy(spec["versions"][0])
    second["name"] = "v2"
    del second["fields"]["supportGroup"]
    spec["versions"].append(second)


def write(folder: Path, *manifests: Raw) -> Path:
    """A folder with these manifests."""
    folder.mkdir()
    (folder / "all.yaml").write_text(yaml.safe_dump_all(manifests), encoding="utf-8")
    return folder


async def asked(change: Callable[[Raw], object]) -> Answer:
    """What admission answers to a dry run of the changed model, with both Flows live and busy."""
    cache = Cache()
    manifests = [*shipped(), *world()]
    for raw in manifests:
        meta = {**raw["metadata"], "uid": raw["metadata"]["name"], "generation": 1}
        status = {"deliveredPerHour": 620} if raw["kind"] == "Flow" else {}
        cache.take(raw["kind"], {**raw, "metadata": meta, "status": status})
    before, after = model(), model(change)
    for raw in (before, after):
        raw["metadata"] |= {"uid": "item", "generation": 1}
    server = AdmissionServer(cache, lambda: True, deadline_s=60.0)
    try:
        review = {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "1", "operation": "UPDATE", "dryRun": True, "object": after,
                "oldObject": before,
                "kind": {"group": "intops.io", "version": "v1alpha1", "kind": "CanonicalModel"},
            },
        }  # fmt: skip
        return await server._answer(parse_review(review))
    finally:
        await server.stop()


def test_b8_both_flows_are_sound_before(tmp_path: Path) -> None:
    """The control: nothing is refused, and nothing breaks where nothing changes."""
    folder = write(tmp_path / "now", *world())

    done = intops("validate", str(folder), "-n", NAMESPACE)
    assert done.returncode == 0, done.stdout
    same = intops(
        "impact", "-f", str(write(tmp_path / "same", model())), str(folder), "-n", NAMESPACE
    )
    assert same.returncode == 0, same.stdout


def test_b8_a_model_that_loses_a_field_names_mapping_flows_and_owners_before(
    tmp_path: Path,
) -> None:
    """`intops impact`: both Flows break, the Mapping is what breaks them, and each has somebody to talk to."""
    folder, change = (
        write(tmp_path / "now", *world()),
        write(tmp_path / "then", model(without_group)),
    )

    done = intops("impact", "-f", str(change), str(folder), "-n", NAMESPACE, "-o", "json")

    assert done.returncode == 1
    found = json.loads(done.stdout)
    told = {
        one["flow"]["name"]: (one["verdict"], one["owner"]["contact"]) for one in found["flows"]
    }
    assert told == {
        "items-to-desk": ("breaks", "service-desk@example.com"),
        "network-to-desk": ("breaks", "network@example.com"),
    }
    page = intops("impact", "-f", str(change), str(folder), "-n", NAMESPACE).stdout
    assert "Mapping/netbox-to-item" in page
    assert "supportGroup" in page


async def test_b8_at_the_cluster_it_is_refused_with_what_it_would_stop() -> None:
    """A dry run of the apply: the Mapping, the two Flows with their owners, and how much goes through them."""
    answer = await asked(without_group)

    assert not answer.allowed
    assert 'CanonicalModel "item" is refused' in answer.message
    assert "2 Flows, through which 1240 messages went in the last hour," in answer.message
    for name, contact in (
        ("items-to-desk", "service-desk@example.com"), ("network-to-desk", "network@example.com"),
    ):  # fmt: skip
        assert f'"{name}" in {NAMESPACE}' in answer.message
        assert contact in answer.message
    assert 'Mapping "netbox-to-item" spec.fields[8]' in answer.message
    assert '"supportGroup" is removed' in answer.message


async def test_b8_the_same_step_by_step_warns_or_passes() -> None:
    """What may hurt warns and is let in; an edition of its own, beside the old one, needs no word."""
    weaker = await asked(group_is_optional)
    assert weaker.allowed
    assert any('"title"' in warning for warning in weaker.warnings)

    beside = await asked(new_edition)
    assert (beside.allowed, beside.warnings) == (True, ())


@pytest.mark.parametrize(
    ("field", "code", "verdict"),
    [({"type": "string", "required": True}, 1, "breaks"), ({"type": "string"}, 0, "changes")],
    ids=["mandatory", "not mandatory"],
)
def test_b8_a_field_that_an_upgrade_will_demand_is_reported_before_its_date(
    tmp_path: Path, field: Raw, code: int, verdict: str
) -> None:
    """ServiceNow will demand u_datacenter: the class as it will be says who must be ready by then."""
    (servicenow,) = [raw for raw in shipped() if raw["metadata"]["name"] == "servicenow"]
    upgraded = copy.deepcopy(servicenow)
    upgraded["spec"]["objects"]["incident"]["fields"]["u_datacenter"] = field
    change = write(tmp_path / "announced", upgraded)
    folder = EXAMPLE.parent / "03-alerts-to-servicenow"

    done = intops("impact", "-f", str(change), str(folder), "-o", "json")

    found = json.loads(done.stdout)
    assert done.returncode == code, done.stdout
    assert [(one["flow"]["name"], one["verdict"]) for one in found["flows"]] == [
        ("alerts-to-servicenow", verdict)
    ]
    if code:
        page = intops("impact", "-f", str(change), str(folder)).stdout
        for told in ("u_datacenter", "incident-to-servicenow", "service-desk@example.com"):
            assert told in page
