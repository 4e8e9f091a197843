"""A volume restored from a backup (row F101): it is behind the desk, and nobody tells it so."""

from __future__ import annotations

import asyncio
import json
import shutil
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from support.peers.process import wait_until
from support.runtime.flows import EXAMPLE, alerts_to_helpdesk
from support.runtime.worker_process import WorkerProcess
from support.simulators.launcher import HelpdeskSimulator

pytestmark = pytest.mark.fault

SOURCE_TOKEN = "a-token-for-tests"
FIRING = json.loads((EXAMPLE / "samples" / "01-firing.json").read_text(encoding="utf-8"))
WAITING, LATER = 8, 5


async def doubled_after_a_restore(*flags: str) -> dict[str, list[int]]:
    """Back up with messages waiting, deliver them and more, restore, and let the sender repeat itself."""
    with HelpdeskSimulator() as desk:
        plan = alerts_to_helpdesk(desk.url, concurrency=8)
        secrets = {
            "alertmanager-token": {"token": SOURCE_TOKEN},
            "helpdesk-token": {"token": desk.token},
        }
        with WorkerProcess(plan, secrets=secrets) as worker:
            data, backup = worker.root / "data", worker.root / "backup"
            url = worker.capture_url(plan)
            desk.stop()
            await started(worker, *flags)
            alerts = [alert(number) for number in range(WAITING + LATER)]
            await post(url, alerts[:WAITING])
            await asyncio.to_thread(
                wait_until, lambda: worker.report().store.in_flight == WAITING, what="they wait"
            )
            worker.terminate()
            shutil.copytree(data, backup)

            desk.start()
            await started(worker, *flags)
            await post(url, alerts[WAITING:])
            await asyncio.to_thread(worker.wait_drained)
            worker.terminate()
            assert len(desk.tickets()) == WAITING + LATER

            shutil.rmtree(data)
            backup.rename(data)
            taken = (data / "itsm.alerts-to-helpdesk" / "store.sqlite").stat().st_mtime
            await asyncio.to_thread(
                wait_until,
                lambda: datetime.now(UTC).timestamp() - taken > 2,
                what="the backup is as old as it has to be",
            )
            await started(worker, *flags)
            # Numbers of messages that were lost are given again.
            await post(url, [alert(number) for number in range(100, 100 + LATER)])
            await post(url, alerts)
            report = await asyncio.to_thread(worker.wait_drained)
            assert report.store.review == 0
        found: dict[str, list[int]] = desk.ledger(entries=False)["duplicates"]
        assert len(desk.ledger(entries=False)["tickets_by_key"]) == WAITING + 2 * LATER
        return found


async def started(worker: WorkerProcess, *flags: str) -> None:
    """One more life."""
    worker.start("--hurry", *flags)
    await asyncio.to_thread(worker.wait_ready)


async def post(url: str, alerts: list[dict[str, Any]]) -> None:
    """Deliver a webhook; it is acknowledged."""
    async with httpx.AsyncClient(timeout=30) as client:
        headers = {"Authorization": f"Bearer {SOURCE_TOKEN}"}
        answer = await client.post(url, json={**FIRING, "alerts": alerts}, headers=headers)
        assert answer.status_code == 200


def alert(number: int) -> dict[str, Any]:
    """An outbreak of this moment: nobody can have known of it when the store was made."""
    began = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {**FIRING["alerts"][0], "fingerprint": f"{number:016x}", "startsAt": began}


async def test_f101_a_restored_volume_makes_no_second_ticket_for_what_it_has_forgotten() -> None:
    """What it still has waiting, and what came after the backup, is looked for before it is made."""
    assert await doubled_after_a_restore() == {}


async def test_f101_without_its_doubt_a_restored_volume_doubles_tickets() -> None:
    """The control: a store that takes itself for the newest there is looks for nothing."""
    assert await doubled_after_a_restore("--without", "doubt")
