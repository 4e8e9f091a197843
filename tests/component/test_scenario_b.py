"""Steps B7 and B9 of acceptance scenario B, with a class that exists only here: a minimal NetBox.

The Pattern is event-to-incident, the only one there is: what NetBox tells of a device becomes an entry in the journal
of an object of NetBox. B7 asks for a configuration item; here a change of a device is the event.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from aiohttp import web

from intops_api.conditions import ConditionType
from intops_api.plan import FlowPlan
from support.ports import free_port
from support.runtime.bench import SOURCE_TOKEN, Bench
from support.runtime.decisions import decision
from support.runtime.flows import EXAMPLE, change, example_manifests, make_plan
from support.runtime.status_watch import StatusWatch
from support.runtime.worker_process import WorkerProcess
from support.simulators.netbox import TOKEN, WEBHOOK_SECRET, Netbox, device_webhook, signature

pytestmark = pytest.mark.component

FIRING = json.loads((EXAMPLE / "samples" / "01-firing.json").read_text(encoding="utf-8"))
RESOLVED = json.loads((EXAMPLE / "samples" / "02-resolved.json").read_text(encoding="utf-8"))

ENTRIES = "/api/extras/journal-entries/"
ENTRY = {
    "nativeId": "string(response.body.id)",
    "displayId": '"journal entry " + string(response.body.id)',
    "version": 'response.headers["etag"]',
    "key": "response.body.custom_fields.intops_key",
}
READ_BACK = {
    "operation": "get",
    "compare": {
        "kind": "response.body.kind.value",
        "custom_fields.intops_severity": "response.body.custom_fields.intops_severity",
    },
}
CHANGE = {
    "object": "entry",
    "request": {
        "method": "PATCH",
        "path": ENTRIES + "{id}/",
        "params": {"id": "link.nativeId"},
        "body": "record",
    },
    "success": "response.status == 200",
    "concurrency": {"header": "If-Match", "from": "get"},
    "readBack": READ_BACK,
}
NETBOX: dict[str, Any] = {
    "apiVersion": "intops.io/v1alpha1",
    "kind": "ConnectorClass",
    "metadata": {"name": "netbox"},
    "spec": {
        "displayName": "NetBox",
        "endpointRequired": False,
        "credentials": [
            {"key": "token", "required": False},
            {"key": "webhookSecret", "required": False},
        ],
        "auth": {"scheme": "bearer", "key": "token"},
        "configSchema": {
            "objectType": {"type": "string"},
            "objectId": {"type": "integer"},
        },
        "objects": {
            "change": {
                "fields": {
                    "event": {"type": "string", "required": True},
                    "model": {"type": "string"},
                    "object_type": {"type": "string"},
                    "username": {"type": "string"},
                    "request_id": {"type": "string"},
                    "request.id": {"type": "string"},
                    "request.method": {"type": "string"},
                    "request.user": {"type": "string"},
                    "data.id": {"type": "integer", "required": True},
                    "data.name": {"type": "string", "required": True},
                    "data.status.value": {"type": "string"},
                    "data.status.label": {"type": "string"},
                    "snapshots": {"type": "map", "of": "any"},
                }
            },
            "entry": {
                "fields": {
                    "kind": {"type": "string", "enum": ["info", "success", "warning", "danger"]},
                    "comments": {"type": "string", "required": True},
                    "custom_fields.intops_key": {
                        "type": "string", "required": True, "searchable": True,
                    },
                    "custom_fields.intops_severity": {"type": "string"},
                }
            },
        },
        "capture": {
            "object": "change",
            "ack": 200,
            "verify": [
                {
                    "scheme": "hmac", "key": "webhookSecret", "header": "X-Hook-Signature",
                    "algorithm": "sha512",
                }
            ],
        },
        "limits": {"requestsPerSecond": 1000, "concurrency": 8, "source": "A simulator has none."},
        "operations": {
            "create": {
                "object": "entry",
                "request": {
                    "method": "POST",
                    "path": ENTRIES,
                    "body": (
                        '{"assigned_object_type": config.objectType, "assigned_object_id": config.objectId, '
                        '"kind": record.kind, "comments": record.comments, '
                        '"custom_fields": record.custom_fields}'
                    ),
                },
                "success": "response.status == 201",
                "result": ENTRY,
                "readBack": READ_BACK,
            },
            "update": CHANGE,
            "transition": CHANGE,
            "comment": {**CHANGE, "request": {**CHANGE["request"], "body": '{"comments": text}'}},
            "get": {
                "object": "entry",
                "request": {"path": ENTRIES + "{id}/", "params": {"id": "link.nativeId"}},
                "success": "response.status == 200",
                "result": ENTRY,
            },
            "lookupByCorrelation": {
                "object": "entry",
                "request": {"path": ENTRIES, "query": {"cf_intops_key": "key"}},
                "success": "response.status == 200",
                "result": {"items": "response.body.results", "nativeId": "string(item.id)"},
            },
            "probe": {"request": {"path": "/api/status/"}, "success": "response.status == 200"},
        },
        "errors": [
            {"when": "response.status == 403", "class": "authDenied", "detail": "response.body.detail"},
            {"when": "response.status == 412", "class": "conflict", "detail": "response.body.detail"},
        ],
    },
}  # fmt: skip
STATUSES = {
    "active": "info",
    "planned": "info",
    "staged": "info",
    "offline": "warning",
    "failed": "major",
    "unknown": "unknown",
}
FROM_NETBOX: dict[str, Any] = {
    "owner": {"team": "network", "contact": "network@example.com"},
    "from": {"class": "netbox", "object": "change"},
    "to": {"model": "event", "version": "v1"},
    "variants": [
        {"name": "netbox-4.4", "when": "has(object.model)", "status": "deprecated"},
        {"name": "netbox-4.6", "when": "has(object.object_type) && has(object.username)"},
        {"name": "netbox-4.7", "when": "has(object.object_type) && has(object.request)"},
    ],
    "fields": [
        {
            "to": "identityKey", "cel": '"device/" + string(object.data.id)',
            "meaning": "The device in the inventory is the thing that all its changes are about.",
        },
        {
            "to": "episodeKey", "from": ["request.id", "request_id"],
            "meaning": "One request of a person or a script is one change.",
        },
        {"to": "state", "cel": '"firing"', "meaning": "A change is something that happened."},
        {
            "to": "severity", "from": "data.status.value", "values": STATUSES,
            "onUnmapped": "continue", "default": "other",
            "meaning": "A device that failed hurts more than one that is planned.",
        },
        {
            "to": "title", "cel": 'object.data.name + " was " + object.event',
            "meaning": "One line that a person can act on.",
        },
        {"to": "source.tool", "cel": '"netbox"', "meaning": "Tells the responder which tool to open."},
        {
            "to": "source.rule", "from": ["object_type", "model"],
            "meaning": "What kind of thing was changed.",
        },
        {"to": "resource.node", "from": "data.name", "meaning": "The device by its own name."},
        {
            "to": "resource.labels.actor", "from": ["request.user", "username"],
            "meaning": "Who made the change, to be asked about it.",
        },
        {"to": "startsAt", "cel": "now", "meaning": "NetBox tells of a change as it is made."},
    ],
    "examples": [
        {
            "name": f"a change told by NetBox {generation}",
            "input": device_webhook(generation, 1),
            "variant": f"netbox-{generation}",
            "output": {"severity": "info", "resource": {"labels": {"actor": "anna"}}},
        }
        for generation in ("4.4", "4.6", "4.7")
    ],
}  # fmt: skip
TO_JOURNAL: dict[str, Any] = {
    "from": {"model": "incident", "version": "v1"},
    "to": {"class": "netbox", "object": "entry"},
    "fields": [
        {
            "to": "custom_fields.intops_key", "from": "correlationKey",
            "meaning": "Finds the entry again, so that one outbreak is one entry.",
        },
        {
            "to": "custom_fields.intops_severity", "from": "severity",
            "meaning": "The technical severity stays readable beside the colour.",
        },
        {
            "to": "comments", "cel": 'incident.title + " at " + incident.ci',
            "meaning": "What the reader of the journal sees.",
        },
        {
            "to": "kind", "from": "state",
            "values": {"new": "danger", "in_progress": "warning", "on_hold": "warning"}
            | {"resolved": "success", "closed": "success", "cancelled": "info"},
            "onUnmapped": "review", "lossy": True,
            "meaning": "The colour of the entry says whether somebody still has to act.",
        },
    ],
}  # fmt: skip


def journal_manifests(port: int) -> list[dict[str, Any]]:
    """The first example with the journal of a site in NetBox as its desk."""
    manifests = example_manifests()
    desk = {
        "class": "netbox",
        "endpoint": f"http://127.0.0.1:{port}",
        "config": {"objectType": "dcim.site", "objectId": 3},
        "limits": {"requestsPerSecond": 1000, "concurrency": 4},
    }
    change(manifests, "Connector", "helpdesk", lambda spec: spec.update(desk))
    journal = copy.deepcopy(TO_JOURNAL)
    change(
        manifests,
        "Mapping",
        "incident-to-helpdesk",
        lambda spec: spec.update({**journal, "examples": []}),
    )
    return [*manifests, copy.deepcopy(NETBOX)]


def inventory_plan(port: int, statuses: dict[str, str]) -> FlowPlan:
    """The same with NetBox as its source too."""
    manifests = journal_manifests(port)

    def source(spec: dict[str, Any]) -> None:
        spec.clear()
        spec.update(copy.deepcopy(FROM_NETBOX))
        spec["fields"][3]["values"] = statuses

    change(manifests, "Mapping", "alertmanager-to-event", source)
    change(manifests, "Connector", "alertmanager", lambda spec: spec.update({"class": "netbox"}))
    return make_plan(manifests)


@dataclass(slots=True)
class NetboxBench(Bench):
    """A worker whose desk is NetBox."""

    netbox: Netbox
    port: int

    async def tell(self, *bodies: dict[str, Any]) -> list[int]:
        """Deliver webhooks as NetBox does, signed; returns the status of each answer."""
        answers = []
        async with httpx.AsyncClient() as client:
            for body in bodies:
                raw = json.dumps(body).encode()
                headers = {"X-Hook-Signature": signature(raw), "Content-Type": "application/json"}
                url = self.worker.capture_url(self.plan)
                answers.append((await client.post(url, content=raw, headers=headers)).status_code)
        return answers

    async def review(self) -> list[dict[str, Any]]:
        """What waits for a person."""
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.console}") as client:
            found: list[dict[str, Any]] = (await client.get("/review/items")).json()
        return found


@asynccontextmanager
async def netbox_bench(*, as_source: bool) -> AsyncIterator[NetboxBench]:
    """Everything running; alerts come from NetBox or from Alertmanager."""
    netbox = Netbox()
    runner = web.AppRunner(netbox.app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        port = runner.addresses[0][1]
        plan = inventory_plan(port, STATUSES) if as_source else make_plan(journal_manifests(port))
        inbound = {"webhookSecret": WEBHOOK_SECRET} if as_source else {"token": SOURCE_TOKEN}
        secrets = {"alertmanager-token": inbound, "helpdesk-token": {"token": TOKEN}}
        with WorkerProcess(plan, secrets=secrets) as worker:
            bench = NetboxBench(worker, plan, free_port("127.0.0.1"), netbox, port)
            await bench.start()
            yield bench
            report = await asyncio.to_thread(worker.report)
            assert report.store.imbalance == 0
    finally:
        await runner.cleanup()


@pytest.fixture
async def inventory() -> AsyncIterator[NetboxBench]:
    """NetBox tells of changes."""
    async with netbox_bench(as_source=True) as running:
        yield running


@pytest.fixture
async def journal() -> AsyncIterator[NetboxBench]:
    """Alertmanager tells of outbreaks."""
    async with netbox_bench(as_source=False) as running:
        yield running


async def test_b7_three_generations_of_a_webhook_are_taken_side_by_side(
    inventory: NetboxBench,
) -> None:
    """F50: the actor stands in one field whoever tells it; an unplaced status keeps nothing else back.

    The answer of a person then completes the entry that is there.
    """
    answers = await inventory.tell(
        device_webhook("4.4", 1),
        device_webhook("4.6", 2),
        device_webhook("4.7", 3, status="quarantine"),
    )
    assert answers == [200, 200, 200]
    report = await asyncio.to_thread(inventory.worker.wait_drained)

    assert report.variants == {"prometheus": {f"netbox-4.{n}": 1 for n in (4, 6, 7)}}
    watch = StatusWatch(inventory.worker, inventory.plan)
    shares = await watch.shares()
    assert shares == {"prometheus": {f"netbox-4.{n}": "33.33%" for n in (4, 6, 7)}}
    messages = await asyncio.to_thread(inventory.messages)
    delivered = [message for message in messages if message["state"] == "done"]
    events = [message["record_values"] for message in delivered]
    assert [event["resource"]["labels"]["actor"] for event in events] == ["anna"] * 3
    assert [event["severity"] for event in events] == ["info", "info", "other"]
    kept = inventory.netbox.entries
    assert [entry["comments"] for entry in kept.values()] == ["sw-01 was updated at sw-01"] * 3

    (item,) = await inventory.review()
    assert (item["path"], item["reason"]) == ("severity", "leftOut")
    assert 'no entry for "quarantine"' in item["detail"]
    (finding,) = [f for f in report.findings if f.reason == "UnmappedValue"]
    assert '"quarantine" at data.status.value' in finding.message
    assert "the rest is delivered" in finding.message

    inventory.plan = inventory_plan(inventory.port, {**STATUSES, "quarantine": "warning"})
    inventory.worker.write_plan(inventory.plan)
    watch.plan = inventory.plan
    await watch.until(
        lambda report, _: "x" if report.active == inventory.plan.hash else None, "the new plan runs"
    )
    retry = decision("d1", "retry")
    await asyncio.to_thread(inventory.worker.write_actions, inventory.plan, retry)
    await watch.counted("review", 0)
    await asyncio.to_thread(inventory.worker.wait_drained)
    assert len(kept) == 3
    assert kept[3]["custom_fields"]["intops_severity"] == "warning"


async def test_b7_a_field_that_was_renamed_is_proposed_with_a_confidence(
    inventory: NetboxBench,
) -> None:
    """While senders are upgraded one after the other, `username` becomes `request.user`; nobody is alarmed."""
    generations = [generation for generation in ("4.4", "4.6", "4.7") for _ in range(55)]
    changes = [device_webhook(generation, n) for n, generation in enumerate(generations)]
    assert set(await inventory.tell(*changes)) == {200}
    report = await asyncio.to_thread(inventory.worker.wait_drained)

    assert report.variants == {"prometheus": {f"netbox-4.{n}": 55 for n in (4, 6, 7)}}
    (proposal,) = [f for f in report.findings if f.kind == "proposal" and "actor" in f.message]
    assert proposal.severity == "info"
    assert "username → request.user (confidence 0.95" in proposal.message
    watch = StatusWatch(inventory.worker, inventory.plan)
    stable = await watch.condition(ConditionType.SCHEMA_STABLE, "True")
    assert stable.words
    assert len(inventory.netbox.entries) == 3 * 55


async def test_b9_a_change_of_another_client_between_read_and_write_is_kept(
    journal: NetboxBench,
) -> None:
    """412, read again, written again: two attempts, and both changes stand in the end.

    Only what follows from the recovery is written, and that is written over: the other client had begun to work on
    the entry (`warning`), and the recovery ends it. Nothing compares a field that both have changed.
    """
    await journal.deliver(FIRING)
    netbox = journal.netbox
    assert netbox.entries[1]["kind"] == "danger"
    others = {
        "kind": "warning", "comments": "Power is back", "tags": [{"name": "storm"}],
        "custom_fields": {"by": "jo"},
    }  # fmt: skip
    netbox.after_reads = [lambda: netbox.edit(1, others)]
    netbox.requests.clear()

    await journal.deliver(RESOLVED)

    message = (await asyncio.to_thread(journal.messages))[-1]
    assert (message["state"], message["reason"]) == ("done", "changed")
    attempts = [(a["outcome"], a["errorClass"]) for a in message["attempts"]]
    assert attempts == [("refused", "conflict"), ("ok", None)]
    writes = [(method, status) for method, _, status in netbox.requests if method != "GET"]
    assert writes == [("PATCH", 412), ("PATCH", 200)]
    entry = netbox.entries[1]
    assert entry["kind"] == "success"
    assert (entry["tags"], entry["comments"]) == (others["tags"], "Power is back")
    assert entry["custom_fields"]["by"] == "jo"
    assert entry["custom_fields"]["intops_key"]


async def test_b9_a_record_that_never_holds_still_waits_for_a_person(journal: NetboxBench) -> None:
    """Three times somebody else was faster: nothing of theirs is overwritten, and a person looks."""
    await journal.deliver(FIRING)
    netbox = journal.netbox
    netbox.after_reads = [lambda: netbox.edit(1, {"comments": "once more"})] * 3

    await journal.deliver(RESOLVED)

    message = (await asyncio.to_thread(journal.messages))[-1]
    assert (message["state"], message["errorClass"]) == ("review", "conflict")
    assert [a["errorClass"] for a in message["attempts"]] == ["conflict"] * 3
    assert netbox.entries[1]["kind"] == "danger"
    assert netbox.entries[1]["comments"] == "once more"
