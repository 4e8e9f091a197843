"""A real worker between real systems: Alertmanager, Request Tracker and Roundup."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from intops_api.plan import FlowPlan
from support.peers.alertmanager import Alertmanager
from support.peers.process import wait_until
from support.peers.request_tracker import RequestTracker
from support.peers.roundup import Roundup
from support.runtime.flows import EXAMPLE, change, example_manifests, make_plan
from support.runtime.worker_process import WorkerProcess
from support.simulators.inventory import asking, on_db01, serving

pytestmark = [pytest.mark.component, pytest.mark.peers]

SOURCE_TOKEN = "a-token-for-tests"
FIRING = json.loads((EXAMPLE / "samples" / "01-firing.json").read_text(encoding="utf-8"))
RESOLVED = json.loads((EXAMPLE / "samples" / "02-resolved.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def desk() -> Iterator[RequestTracker]:
    """A real Request Tracker."""
    with RequestTracker() as running:
        yield running


def desk_plan(desk: RequestTracker) -> FlowPlan:
    """The first example, pointed at the desk."""
    manifests = example_manifests()
    change(manifests, "Connector", "helpdesk", lambda spec: spec.update(endpoint=desk.url))
    return make_plan(manifests)


@pytest.fixture
def worker(desk: RequestTracker) -> Iterator[WorkerProcess]:
    """A worker with its own store; the desk's tickets of earlier tests stay."""
    secrets = {
        "alertmanager-token": {"token": SOURCE_TOKEN},
        "helpdesk-token": {"token": desk.token},
    }
    with WorkerProcess(desk_plan(desk), secrets=secrets) as running:
        running.start()
        running.wait_ready()
        yield running


def webhook(body: dict[str, Any], *fingerprints: str) -> dict[str, Any]:
    """A captured webhook with one alert for each fingerprint."""
    alert = body["alerts"][0]
    return {**body, "alerts": [{**alert, "fingerprint": name} for name in fingerprints]}


def post(worker: WorkerProcess, plan: FlowPlan, body: dict[str, Any]) -> int:
    """Deliver a webhook as Alertmanager would."""
    headers = {"Authorization": f"Bearer {SOURCE_TOKEN}"}
    return httpx.post(worker.capture_url(plan), json=body, headers=headers).status_code


def keyed(desk: RequestTracker) -> list[dict[str, Any]]:
    """Tickets that carry our key, oldest first."""
    return [t for t in desk.tickets() if t["CustomFields"].get("intops_key")]


def test_an_alert_becomes_a_ticket_with_the_mapped_fields(
    desk: RequestTracker, worker: WorkerProcess
) -> None:
    """What the Mapping says is what the desk shows, read back from the desk itself."""
    before = len(keyed(desk))

    assert post(worker, desk_plan(desk), webhook(FIRING, "a1")) == 200
    worker.wait_drained()

    made = keyed(desk)[before:]
    assert len(made) == 1
    assert made[0]["Subject"] == "127.0.0.1:19199 down"
    assert made[0]["Queue"] == "Payments"
    assert made[0]["Status"] == "new"
    assert made[0]["CustomFields"]["Severity"] == "warning"
    assert made[0]["CustomFields"]["Service"] == "payments"
    assert made[0]["CustomFields"]["Node"] == "127.0.0.1"


def test_one_webhook_with_two_alerts_makes_two_tickets_and_a_copy_makes_none(
    desk: RequestTracker, worker: WorkerProcess
) -> None:
    """Groups are the sender's; outbreaks are ours."""
    before = len(keyed(desk))
    plan = desk_plan(desk)

    for _ in range(2):
        assert post(worker, plan, webhook(FIRING, "b1", "b2")) == 200
    report = worker.wait_drained()

    assert len(keyed(desk)) == before + 2
    assert report.store.dropped == {"duplicate": 2}
    assert report.store.imbalance == 0


def test_a_recovery_resolves_the_ticket(desk: RequestTracker, worker: WorkerProcess) -> None:
    """The ticket of the outbreak that ended, and no other."""
    before = len(keyed(desk))
    plan = desk_plan(desk)
    assert post(worker, plan, webhook(FIRING, "c1", "c2")) == 200

    assert post(worker, plan, webhook(RESOLVED, "c1")) == 200
    worker.wait_drained()

    assert sorted(t["Status"] for t in keyed(desk)[before:]) == ["new", "resolved"]


async def test_a_ticket_that_was_made_without_the_inventory_is_completed_by_it(
    desk: RequestTracker,
) -> None:
    """The ticket is there in time and says what is not known; later its fields say it, and nobody made a second."""
    before = len(await asyncio.to_thread(keyed, desk))
    secrets = {
        "alertmanager-token": {"token": SOURCE_TOKEN}, "helpdesk-token": {"token": desk.token},
    }  # fmt: skip
    manifests = example_manifests()
    change(manifests, "Connector", "helpdesk", lambda spec: spec.update(endpoint=desk.url))
    async with serving() as inventory:
        inventory.status = 503
        plan = make_plan(asking(manifests, inventory.url))
        with WorkerProcess(plan, secrets=secrets) as worker:
            worker.start()
            await asyncio.to_thread(worker.wait_ready)
            await asyncio.to_thread(post, worker, plan, on_db01(webhook(FIRING, "enriched")))
            await asyncio.to_thread(worker.wait_drained)
            (made,) = (await asyncio.to_thread(keyed, desk))[before:]
            assert "Service" not in {k for k, v in made["CustomFields"].items() if v}

            inventory.status = 200

            def completed() -> bool:
                (now,) = keyed(desk)[before:]
                return bool(now["CustomFields"].get("Service") == "payments")

            await asyncio.to_thread(wait_until, completed, what="the service", timeout_s=90)
            report = await asyncio.to_thread(worker.wait_drained)
            assert (report.store.review, report.store.imbalance) == (0, 0)
            assert report.store.done == 2


def test_a_field_that_the_desk_does_not_keep_is_told_to_a_person(
    desk: RequestTracker, worker: WorkerProcess
) -> None:
    """Request Tracker answers 201 and drops a field it does not know; the message says which."""
    manifests = example_manifests()
    change(manifests, "Connector", "helpdesk", lambda spec: spec.update(endpoint=desk.url))

    def unknown(spec: dict[str, Any]) -> None:
        rule = next(r for r in spec["fields"] if r["to"] == "CustomFields.Node")
        rule["to"] = "CustomFields.Rack"

    change(manifests, "Mapping", "incident-to-helpdesk", unknown)
    change(
        manifests,
        "Connector",
        "helpdesk",
        lambda spec: spec.update({"class": "desk-with-racks"}),
    )
    change(
        manifests,
        "Mapping",
        "incident-to-helpdesk",
        lambda spec: spec["to"].update({"class": "desk-with-racks"}),
    )
    plan = make_plan([*manifests, desk_with_racks()])
    before = len(keyed(desk))
    worker.write_plan(plan)
    wait_until(lambda: worker.report().active == plan.hash, what="the new plan runs")

    assert post(worker, plan, webhook(FIRING, "d1")) == 200
    report = wait_until(lambda: _in_review(worker), what="the message is in review")

    assert report.store.review == 1
    assert len(keyed(desk)) == before + 1
    log = worker.log_file.read_text(encoding="utf-8")
    assert '"reason": "notKept"' in log
    assert '"path": "CustomFields.Rack"' in log


def desk_with_racks() -> dict[str, Any]:
    """Request Tracker's class, which also reads back a field that this desk does not have."""
    from intops_core.catalog import shipped  # noqa: PLC0415

    raw = next(r for r in shipped() if r["metadata"]["name"] == "request-tracker")
    desk: dict[str, Any] = json.loads(json.dumps(raw))
    desk["metadata"]["name"] = "desk-with-racks"
    desk["spec"]["mappings"] = {}
    compare = desk["spec"]["operations"]["create"]["readBack"]["compare"]
    compare["CustomFields.Rack"] = (
        'response.body.CustomFields.filter(f, f.name == "Rack")[0].values[0]'
    )
    return desk


def test_a_wrong_token_holds_the_connector_until_the_secret_changes(
    desk: RequestTracker, worker: WorkerProcess
) -> None:
    """No hammering, nothing lost, and no restart."""
    before = len(keyed(desk))
    worker.write_secret("helpdesk-token", {"token": "wrong"})
    plan = desk_plan(desk)
    wait_until(
        lambda: "a secret changed" in worker.log_file.read_text("utf-8"), what="the Secret is seen"
    )

    for number in range(5):
        assert post(worker, plan, webhook(FIRING, f"e{number}")) == 200
    report = wait_until(lambda: _held(worker, 5), what="all five messages are held")
    target = next(c for c in report.connectors if c.role == "target")
    assert (target.state, target.error_class) == ("held", "authDenied")
    attempts = worker.log_file.read_text("utf-8").count('"class": "authDenied"')
    assert attempts <= 5

    worker.write_secret("helpdesk-token", {"token": desk.token})
    worker.wait_drained()

    assert len(keyed(desk)) == before + 5


def test_an_outage_is_survived_and_the_queue_drains_by_itself(
    desk: RequestTracker, worker: WorkerProcess
) -> None:
    """The desk is stopped, alerts arrive, the desk is started: every alert becomes a ticket."""
    before = len(keyed(desk))
    plan = desk_plan(desk)
    desk.stop()
    for number in range(8):
        assert post(worker, plan, webhook(FIRING, f"f{number}")) == 200
    down = wait_until(lambda: _open(worker), what="the circuit is open")
    assert down.store.in_flight == 8

    desk.start()
    worker.wait_drained()

    assert len(keyed(desk)) == before + 8


def test_alertmanager_itself_delivers(desk: RequestTracker, worker: WorkerProcess) -> None:
    """From a real Alertmanager's webhook to a ticket, and from its recovery to a resolved one."""
    before = len(keyed(desk))
    plan = desk_plan(desk)
    labels = {"alertname": "DiskFull", "instance": "db01:9100", "severity": "critical"}
    with Alertmanager(worker.capture_url(plan), bearer_token=SOURCE_TOKEN) as source:
        source.fire(labels, annotations={"summary": "db01 has no room left"})
        wait_until(lambda: len(keyed(desk)) == before + 1, what="the ticket is there")
        source.resolve(labels)
        wait_until(lambda: keyed(desk)[-1]["Status"] == "resolved", what="the ticket is resolved")

    assert keyed(desk)[-1]["Subject"] == "db01 has no room left"


def test_the_same_flow_works_against_a_desk_with_other_manners() -> None:
    """Roundup: only the target's Connector and Mapping differ; its rate limit is obeyed."""
    folder = EXAMPLE.parent / "02-alerts-to-roundup"
    with Roundup(calls=30, interval_s=10) as tracker:
        manifests = example_manifests(folder)

        def at(spec: dict[str, Any]) -> None:
            spec.update(endpoint=tracker.tracker_url, config={"web": f"{tracker.tracker_url}/"})

        change(manifests, "Connector", "tracker", at)
        plan = make_plan(manifests)
        secrets = {
            "alertmanager-token": {"token": SOURCE_TOKEN},
            "tracker-user": {"username": tracker.user, "password": tracker.password},
        }
        with WorkerProcess(plan, secrets=secrets) as worker:
            worker.start()
            worker.wait_ready()
            names = [f"g{number}" for number in range(12)]
            assert post(worker, plan, webhook(FIRING, *names)) == 200
            assert post(worker, plan, webhook(RESOLVED, "g0")) == 200
            report = worker.wait_drained(120.0)

            tracker.set_rate_limit(calls=0, interval_s=3600)  # for the test's own looks
            issues = tracker.issues()
            assert len(issues) == 12
            assert len({issue["intops_key"] for issue in issues}) == 12
            assert sorted(issue["status"] for issue in issues) == ["resolved"] + ["unread"] * 11
            assert {issue["priority"] for issue in issues} == {"feature"}
            assert report.store.review == 0


def test_the_second_example_differs_from_the_first_in_its_target_only() -> None:
    """Retargeting changes the target's Connector and Mapping, and their names in the Flow."""
    first = {(r["kind"], r["metadata"]["name"]): r for r in example_manifests()}
    folder = EXAMPLE.parent / "02-alerts-to-roundup"
    second = {(r["kind"], r["metadata"]["name"]): r for r in example_manifests(folder)}
    flow = json.loads(json.dumps(first["Flow", "alerts-to-helpdesk"]))
    flow["spec"]["roles"]["target"] = second["Flow", "alerts-to-helpdesk"]["spec"]["roles"][
        "target"
    ]

    assert flow == second["Flow", "alerts-to-helpdesk"]
    assert first["Mapping", "alertmanager-to-event"] == second["Mapping", "alertmanager-to-event"]
    assert first["Connector", "alertmanager"] == second["Connector", "alertmanager"]


def _in_review(worker: WorkerProcess) -> Any:
    report = worker.report()
    return report if report.store.review else None


def _held(worker: WorkerProcess, count: int) -> Any:
    report = worker.report()
    return report if report.store.held == count else None


def _open(worker: WorkerProcess) -> Any:
    report = worker.report()
    states = {c.state for c in report.connectors if c.role == "target"}
    return report if states == {"open"} else None
