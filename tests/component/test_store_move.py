"""Moving a Flow's messages from the embedded store to PostgreSQL: nothing lost, whenever it is killed."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from intops_cli.__main__ import main
from intops_runtime.core import failpoints
from intops_runtime.core.auditing import Entry
from intops_runtime.core.decisions import Answer, Decision, Resolution, Select
from intops_runtime.core.messages import Episode, IntakeResult, Link, Settlement, State
from intops_runtime.edges.store.base import StoreBusy, StoreError
from intops_runtime.edges.store.moving import STAYS, TABLES, Moved, move
from intops_runtime.edges.store.reviews import Wanted
from support.peers.postgresql import PostgreSQL
from support.runtime.store_engines import (
    NAMESPACE,
    PostgresEngine,
    SqliteEngine,
    message,
    problems,
    put,
    told,
)

pytestmark = pytest.mark.component


class Killed(BaseException):
    """What a test throws where a process would die."""


@pytest.fixture
def source(tmp_path: Path, engine: PostgresEngine) -> Path:
    """Where they come from: a folder named as a worker names it."""
    return tmp_path / f"{NAMESPACE}.{engine.flow}" / "store.sqlite"


async def filled(source: Path) -> dict[str, int]:
    """An embedded store in the middle of its work; returns its counts."""
    store = await SqliteEngine(source.parent).open()
    for number in range(30):
        await put(store, message(f"k{number % 20}", dedup=f"d{number}"))
    await put(store, message("k1", dedup="d1"))
    await store.accept("source", "waits", {"h": "v"}, b"\x00\xff", time.time())
    for number, leased in enumerate(await store.lease(time.time(), 9)):
        attempt = await store.intend(leased.message.id, "create", "desk", "i", "h", time.time())
        if number == 0:
            continue  # nobody knows what this one has done
        key = leased.message.key
        ended = Settlement(
            leased.message.id, (State.DONE, State.REVIEW, State.HELD)[number % 3], "act", "because",
            attempt_id=attempt, outcome="ok", held_for="desk", detail="with a \0 in it",
            link=Link(key, "desk", "helpdesk", "ticket", str(number)),
            episode=Episode(key, "open", 1, time.time()),
        )  # fmt: skip
        await store.settle(ended, time.time())
    counts = await store.recount()
    await store.close()
    return counts


async def moved(source: Path, engine: PostgresEngine) -> Moved:
    """One run of the move."""
    server = engine.server()
    try:
        return await move(source, server, namespace=NAMESPACE, flow=engine.flow, now=time.time())
    finally:
        await server.close()


async def test_everything_is_there_afterwards_and_work_goes_on(
    source: Path, engine: PostgresEngine
) -> None:
    """Same counts, same numbers, same store id, the open attempt; new numbers are higher."""
    counts = await filled(source)
    old = await SqliteEngine(source.parent).open()
    store_id, report = old.store_id, await told(old)
    await old.close()

    done = await moved(source, engine)

    assert done.rows["messages"] == 31
    store = await engine.open()
    assert await store.recount() == counts
    assert store.store_id == store_id
    ours = await told(store)
    assert (ours.imbalance, ours.captured, ours.dropped) == (0, report.captured, report.dropped)
    open_attempts = [
        one.open_attempt for one in await store.lease(time.time(), 99) if one.open_attempt
    ]
    assert len(open_attempts) == 1
    (waiting,) = await store.next_intake(9)
    assert (waiting.body, waiting.headers, waiting.damaged) == (b"\x00\xff", {"h": "v"}, False)
    await store.settle_intake([IntakeResult(waiting.id, (message("new"),))], time.time())
    fresh = [one for one in await store.lease(time.time(), 99) if one.message.key == "new"]
    assert fresh[0].message.id > 31
    again = await store.accept("source", "waits", {}, b"", time.time())
    assert again.duplicate
    await store.close()


async def test_decisions_and_audit_go_on_where_they_were(
    source: Path, engine: PostgresEngine
) -> None:
    """One chain before and after, a decision keeps its answer, and the same plan is no news."""
    await filled(source)
    old = await SqliteEngine(source.parent).open()
    plan = Entry("planLoaded", {"plan": "a"})
    await old.decisions.audit(plan, time.time())
    (first, *_) = await old.decisions.review_items(Wanted())
    decision = Decision("d", "discard", Select(messages=(first.id,)), "because", "jo")
    await old.decisions.begin_decision("d", time.time())
    await old.decisions.decide(decision, [Resolution(first.id, discard=True)], time.time())
    answer = await old.decisions.end_decision(decision, Answer(), time.time())
    rows = await old.decisions.audit_page(0, 500)
    groups = await old.decisions.review_groups(9)
    await old.close()

    await moved(source, engine)

    store = await engine.open()
    assert (await store.decisions.begin_decision("d", time.time()))[1] == answer
    await store.decisions.audit(plan, time.time())
    assert await store.decisions.audit_page(0, 500) == rows
    assert [g.ids for g in await store.decisions.review_groups(9)] == [g.ids for g in groups]
    (second, *_) = await store.decisions.review_items(Wanted())
    await store.decisions.decide(
        replace(decision, id="e"), [Resolution(second.id, discard=True)], time.time()
    )
    longer = await store.decisions.audit_page(0, 500)
    assert problems(longer, (rows[-1].seq, rows[-1].hash)) == []
    assert len(longer) == len(rows) + 1
    await store.close()


async def test_the_old_store_is_refused_afterwards(source: Path, engine: PostgresEngine) -> None:
    """Else both would deliver; the sentence says where the messages are."""
    await filled(source)
    await moved(source, engine)

    with pytest.raises(
        StoreError, match=r"has been moved to PostgreSQL .*runtime\.store\.postgres"
    ):
        await SqliteEngine(source.parent).open()
    with pytest.raises(StoreError, match=r"has been moved to .* already, and workers use it"):
        await moved(source, engine)


@pytest.mark.parametrize("point", ["M01", "M02", "M03", "M04"])
async def test_a_move_that_is_killed_is_run_again(
    source: Path, engine: PostgresEngine, point: str
) -> None:
    """F99: in between, at most one of the two stores can be opened, and nothing is lost."""
    counts = await filled(source)

    def kill(name: str) -> None:
        if name == point:
            raise Killed

    failpoints.install(kill)
    try:
        with pytest.raises(Killed):
            await moved(source, engine)
    finally:
        failpoints.install(None)
    store = engine.start()
    await store.refresh()
    assert "has not ended; run `intops store move` again" in (
        store.counts(time.time()).failed or ""
    )
    await store.close()
    if point != "M04":
        # The old one still counts, and may even have worked on.
        old = await SqliteEngine(source.parent).open()
        await put(old, message("meanwhile"))
        counts = await old.recount()
        await old.close()

    await moved(source, engine)

    new = await engine.open()
    assert await new.recount() == counts
    await new.close()


async def test_a_store_in_use_is_not_moved(source: Path, engine: PostgresEngine) -> None:
    """Neither away from under a worker, nor into what another worker has open or has filled."""
    await filled(source)
    old = await SqliteEngine(source.parent).open()
    with pytest.raises(StoreBusy, match="another worker has this store open"):
        await moved(source, engine)
    await old.close()

    new = await engine.open()
    with pytest.raises(StoreError, match="a worker has this store open; stop it"):
        await moved(source, engine)
    await put(new, message("a"))
    await new.close()
    with pytest.raises(StoreError, match="two stores cannot become one"):
        await moved(source, engine)
    await (await SqliteEngine(source.parent).open()).close()


async def test_a_copy_that_differs_is_not_taken(
    source: Path, engine: PostgresEngine, peer: PostgreSQL
) -> None:
    """Counts and digests of every table are compared before anything is switched."""
    await filled(source)

    def spoil(name: str) -> None:
        if name == "M02":
            peer.sql("UPDATE intops.messages SET record = replace(record, 'k', 'x') WHERE id = 7")

    failpoints.install(spoil)
    try:
        with pytest.raises(StoreError, match=r"copy of messages is not equal.*still counts"):
            await moved(source, engine)
    finally:
        failpoints.install(None)
    await (await SqliteEngine(source.parent).open()).close()


async def test_every_table_of_the_embedded_store_is_moved(source: Path) -> None:
    """A table that is forgotten here would be lost."""
    await filled(source)
    db = apsw.Connection(str(source))
    names = {
        str(row[0])
        for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        if not str(row[0]).startswith("sqlite_")
    }
    columns = {
        name: {str(row[1]) for row in db.execute(f"PRAGMA table_info({name})")} for name in names
    }
    db.close()
    assert names - STAYS == {table.name for table in TABLES}
    for name in ("links", "episodes"):
        columns[name] -= {"crc"}  # a check of the file's own rows
    assert {t.name: set(t.columns) for t in TABLES} == {n: columns[n] for n in names - STAYS}


async def test_the_command_moves_and_says_what(
    source: Path, engine: PostgresEngine, peer: PostgreSQL, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """`intops store move` reads a folder laid out as a mounted Secret; its exit code says how it went."""
    await filled(source)
    secret = tmp_path / "database"
    secret.mkdir()
    for key, value in peer.secret.items():
        (secret / key).write_text(value, encoding="utf-8")
    command = ["store", "move", "--store", str(source), "--secret", str(secret)]

    codes = [await run_command(command), await run_command(command)]

    shown = capsys.readouterr()
    assert codes == [0, 1]
    assert "messages" in shown.out
    assert "Moved and compared" in shown.err
    assert "has been moved to" in shown.err
    assert peer.password not in shown.out + shown.err


async def run_command(arguments: list[str]) -> int:
    """The command in a thread, because it has a loop of its own."""

    def run() -> int:
        try:
            main(arguments)
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    return await asyncio.to_thread(run)
