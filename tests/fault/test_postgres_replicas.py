"""Three replicas on one PostgreSQL: killed, frozen, and their server crashed; nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from intops_runtime.core.auditing import Row
from support.peers.postgresql import PostgreSQL
from support.peers.process import PeerError, wait_until
from support.peers.wire import Wire
from support.runtime.flows import alerts_to_helpdesk
from support.runtime.kill_run import SOURCE_TOKEN, Scenario, Sender, Verdict, compare
from support.runtime.replica_set import SECRET, ReplicaSet, shared
from support.runtime.store_engines import chain_of, problems
from support.simulators.launcher import HelpdeskSimulator

pytestmark = pytest.mark.fault

EVENTS = {"short": 600, "full": 3_000}
TAKEN_OVER_WITHIN_S = 15.0
# What failed while the server was away may be sent to the back: half a minute, then a minute.
DRAINED_WITHIN_S = 180.0
FROZEN = "replica-1"
# The request is stored as meant, and nothing but sending it is left to do.
FREEZE = ("--freeze-at", "K14")
# Newer messages of a key never end before older ones.
OUT_OF_ORDER = """
SELECT count(*) FROM (SELECT ended_at, max(ended_at) OVER (PARTITION BY key ORDER BY id
  ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM intops.messages
  WHERE state = 'done') AS ends WHERE ended_at < before
"""
MISCOUNTED = """
SELECT count(*) FROM (SELECT name, sum(n) AS n FROM intops.counters
    WHERE name IN ('waiting', 'held', 'sending', 'review', 'done') GROUP BY name) AS counted
FULL JOIN (SELECT state AS name, count(*) AS n FROM intops.messages
    WHERE state <> 'dropped' GROUP BY state) AS kept USING(name)
WHERE coalesce(counted.n, 0) <> coalesce(kept.n, 0)
"""


LEFT = """
SELECT id, state, stage, reason, error_class, tries, round(due_at - extract(epoch FROM now())) AS due_in
FROM intops.messages WHERE state IN ('waiting', 'held', 'sending') ORDER BY id LIMIT 20
"""
# A repeat decides nothing and is only counted.
DECIDED_DONE = """
SELECT count(*) FROM intops.messages WHERE state = 'done' AND reason NOT IN ('repeat', 'duplicate')
"""


def told_once(chain: list[Row]) -> dict[str, int]:
    """How many messages the audit tells of as delivered; fails where it tells of one twice."""
    found = [json.loads(row.body) for row in chain]
    numbers = [entry["message"] for entry in found if entry["action"] == "delivered"]
    assert len(numbers) == len(set(numbers))
    return {"delivered": len(numbers)}


@dataclass(slots=True)
class Run:
    """What a running scenario is made of."""

    peer: PostgreSQL
    desk: HelpdeskSimulator
    replicas: ReplicaSet
    sender: Sender
    sending: asyncio.Task[None]

    async def load(self, share: float) -> None:
        """Send a share of all webhooks, without waiting for them."""
        self.sender.release(int(self.sender.batches * share))
        await asyncio.sleep(0.5)

    async def finish(self) -> Verdict:
        """Send the rest, wait until everything is delivered, and compare the ledgers."""
        self.sender.release(self.sender.batches)
        await self.sending
        self.desk.clear_faults()
        try:
            await asyncio.to_thread(
                wait_until,
                lambda: self.unfinished() == 0,
                what="everything is delivered",
                timeout_s=DRAINED_WITHIN_S,
            )
        except PeerError:
            print(self.peer.sql(LEFT))
            raise
        verdict = Verdict()
        compare(self.desk, self.sender, verdict)
        return verdict

    def duplicates(self) -> dict[str, list[int]]:
        """Tickets that there are more than once, by key."""
        found: dict[str, list[int]] = self.desk.ledger(entries=False)["duplicates"]
        return found

    def unfinished(self) -> int:
        """Deliveries and messages that are still on their way."""
        return int(
            self.peer.sql(
                "SELECT (SELECT count(*) FROM intops.deliveries WHERE state = 'pending') + "
                "(SELECT count(*) FROM intops.messages WHERE state IN ('waiting', 'held', 'sending'))"
            )
        )


@asynccontextmanager
async def running(
    events: int, seed: int, count: int, *flags: str, wire: Wire | None = None
) -> AsyncIterator[Run]:
    """Some replicas with their lanes, a database, a desk whose search lags, and a sender that waits.

    `flags` are test flags of the replica that is to freeze, and a `wire` leads from it to the server.
    """
    with HelpdeskSimulator() as desk, PostgreSQL() as peer:
        desk.set_faults(search_lag_s=0.3)
        plan = shared(alerts_to_helpdesk(desk.url, settle="1s", timeout="30s", concurrency=16))
        secrets = {
            "alertmanager-token": {"token": SOURCE_TOKEN},
            "helpdesk-token": {"token": desk.token},
        }
        with ReplicaSet(peer, plan, secrets, replicas=count) as replicas:
            if wire is not None:
                wire.port_to = peer.port
                replicas.workers[FROZEN].write_secret(
                    SECRET, {**peer.secret, "host": "127.0.0.1", "port": str(wire.port)}
                )
            await asyncio.to_thread(replicas.start_all, {FROZEN: flags})
            sender = Sender(replicas.urls, Scenario(events, 0, seed), answer_within_s=2.0)
            sending = asyncio.create_task(sender.run())
            yield Run(peer, desk, replicas, sender, sending)
            for name, worker in replicas.workers.items():
                if not worker.exited():
                    assert await asyncio.to_thread(worker.terminate) == 0, name


async def test_three_replicas_survive_a_kill_a_freeze_and_a_crash_of_their_server(
    tmp_path: Path, seed: int, fault_runs: str
) -> None:
    """F90, F94, F95: 0 lost, 0 doubled, order kept, lanes taken over in 15 s, late writes refused."""
    now = tmp_path / "now"
    async with running(
        EVENTS[fault_runs], seed, 3, *FREEZE, "--hit", "20", "--once", str(now)
    ) as run:
        replicas = run.replicas
        await run.load(0.2)
        replicas.workers["replica-0"].kill()
        await run.load(0.1)
        killed = await asyncio.to_thread(replicas.wait_taken_over, "replica-0")
        replicas.start("replica-0")

        run.desk.set_faults(latency_s=0.3)
        now.touch()  # with twenty requests and sixteen at a time, some wait for their answer
        await run.load(0.2)
        await asyncio.to_thread(replicas.wait_frozen, FROZEN)
        await run.load(0.1)
        frozen = await asyncio.to_thread(replicas.wait_taken_over, FROZEN)
        run.desk.set_faults(latency_s=0.0)
        replicas.thaw(FROZEN)
        refused = await asyncio.to_thread(replicas.wait_refused, FROZEN)

        await run.load(0.1)
        run.peer.crash()
        await asyncio.sleep(1.0)
        await asyncio.to_thread(run.peer.start)
        verdict = await run.finish()

        print(f"taken over after {killed:.1f} s and {frozen:.1f} s, {refused} late writes refused")
        assert verdict.acknowledged == EVENTS[fault_runs]
        assert verdict.clean, verdict
        assert max(killed, frozen) <= TAKEN_OVER_WITHIN_S
        assert {"a late write was refused", "a late request was not sent"} <= replicas.told(FROZEN)
        assert run.peer.sql(OUT_OF_ORDER) == "0"
        assert run.peer.sql(MISCOUNTED) == "0"
        chain = await chain_of(run.peer, run.replicas.plan.flow.name)
        assert problems(chain) == []
        assert told_once(chain) == {"delivered": int(run.peer.sql(DECIDED_DONE))}


async def test_f98_a_replica_cut_off_from_the_server_refuses_and_the_other_goes_on(
    seed: int, fault_runs: str
) -> None:
    """Nobody tells it: bytes stop. It answers 503 and sends nothing; what it had in hand is done once."""
    async with Wire() as wire, running(EVENTS[fault_runs], seed, 2, wire=wire) as run:
        await run.load(0.3)
        wire.cut()
        await run.load(0.3)
        lost = await asyncio.to_thread(run.replicas.wait_taken_over, FROZEN)
        url = run.replicas.workers[FROZEN].capture_url(run.replicas.plan)
        answer = await asyncio.to_thread(ask, url)
        await run.load(0.1)
        wire.mend()
        back = await asyncio.to_thread(
            run.replicas.wait_for,
            lambda lanes: lanes.get(FROZEN, 0) > 100,
            what="it has lanes again",
        )
        verdict = await run.finish()

        print(f"taken over after {lost:.1f} s, back after {back:.1f} s")
        assert answer == httpx.codes.SERVICE_UNAVAILABLE
        assert lost <= TAKEN_OVER_WITHIN_S
        assert verdict.acknowledged == EVENTS[fault_runs]
        assert verdict.clean, verdict
        assert run.peer.sql(OUT_OF_ORDER) == "0"
        assert run.peer.sql(MISCOUNTED) == "0"


def ask(url: str) -> int:
    """What a sender is told."""
    headers = {"Authorization": f"Bearer {SOURCE_TOKEN}"}
    return httpx.post(
        url, json={"version": "4", "alerts": []}, headers=headers, timeout=15
    ).status_code


async def test_without_the_fence_a_replica_that_wakes_up_doubles_a_ticket(
    seed: int,
) -> None:
    """The control: the request that it was about to send is sent, though others have made the ticket."""
    async with running(
        40, seed, 2, *FREEZE, "--hit", "3", "--intents-only", "--without", "fence"
    ) as run:
        await run.load(1.0)
        await asyncio.to_thread(run.replicas.wait_frozen, FROZEN)
        await asyncio.to_thread(run.replicas.wait_taken_over, FROZEN)
        await asyncio.to_thread(wait_until, lambda: run.unfinished() == 0, what="another does it")
        run.replicas.thaw(FROZEN)

        await asyncio.to_thread(wait_until, run.duplicates, what="a ticket is doubled")
        await run.sending
