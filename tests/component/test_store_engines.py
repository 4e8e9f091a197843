"""What a store must do whichever engine is behind it: every test runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import random
import time
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from intops_runtime.core.messages import Episode, IntakeResult, Link, Settlement, State
from intops_runtime.edges.store.queries import Filter
from intops_runtime.edges.store.tally import LOOK_EVERY_S
from support.runtime.store_engines import (
    Engine,
    PostgresEngine,
    SqliteEngine,
    message,
    put,
    told,
    whole,
)

pytestmark = pytest.mark.component


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    """Each engine in turn."""
    if request.param == "sqlite":
        return SqliteEngine(tmp_path)
    return PostgresEngine(request.getfixturevalue("peer"), f"flow-{uuid.uuid4().hex[:8]}")


async def test_only_the_oldest_unfinished_message_of_a_key_runs(engine: Engine) -> None:
    """Keys overlap, a key does not; a message in review no longer blocks it."""
    store = await engine.open()
    await put(store, message("a"), message("b"))
    await put(store, message("a"))

    first = await store.lease(time.time(), 10)
    assert [leased.message.key for leased in first] == ["a", "b"]
    assert await store.lease(time.time(), 10) == []

    settled = Settlement(first[0].message.id, State.REVIEW, "act", "validation")
    await store.settle(settled, time.time())
    (second,) = await store.lease(time.time(), 10)
    assert (second.message.key, second.message.id > first[1].message.id) == ("a", True)
    await store.close()


async def test_an_attempt_without_an_outcome_is_told_after_a_restart(engine: Engine) -> None:
    """What a killed worker was about to send is looked up before it is repeated."""
    store = await engine.open()
    await put(store, message("a"))
    (leased,) = await store.lease(time.time(), 1)
    attempt = await store.intend(leased.message.id, "create", "desk", "idem", "hash", time.time())
    await store.close()

    store = await engine.open()
    (again,) = await store.lease(time.time(), 1)
    assert again.message.state is State.SENDING
    assert again.open_attempt is not None
    assert (again.open_attempt.id, again.open_attempt.idem_key) == (attempt, "idem")
    await store.close()


async def test_an_attempt_keeps_why_nobody_knew_what_it_did(engine: Engine) -> None:
    """Class, rule and words of the failure stay with the attempt; how it ended is added to them."""
    store = await engine.open()
    await put(store, message("a"))
    (leased,) = await store.lease(time.time(), 1)
    number = leased.message.id
    attempt = await store.intend(number, "create", "desk", "idem", "hash", time.time())
    seen = {"rule": "transport:timeout", "detail": "no \0 answer", "status": 504}
    waits = Settlement(
        number, State.WAITING, "act", "timeout", error_class="timeout", attempt_id=attempt, evidence=seen
    )  # fmt: skip
    await store.settle(waits, time.time())

    (kept,) = (await whole(store, number))["attempts"]
    assert (kept["outcome"], kept["outcomeAt"], kept["errorClass"]) == (None, None, "timeout")
    seen["detail"] = kept["detail"]  # one engine knows no NUL
    assert kept["evidence"] == seen
    await store.close()
    store = await engine.open()
    (again,) = await store.lease(time.time(), 1)
    assert again.open_attempt is not None
    assert again.open_attempt.id == attempt

    await store.close_attempt(attempt, "absent", {"lookup": "nothing found"}, time.time())
    (closed,) = (await whole(store, number))["attempts"]
    assert (closed["outcome"], closed["errorClass"], closed["rule"]) == (
        "absent", "timeout", "transport:timeout",
    )  # fmt: skip
    assert closed["outcomeAt"] is not None
    assert closed["evidence"] == {**seen, "lookup": "nothing found"}
    await store.close()


async def test_an_attempt_that_ends_with_its_message_keeps_what_was_known_of_it(
    engine: Engine,
) -> None:
    """What was seen first is not written over by what the look-up saw."""
    store = await engine.open()
    await put(store, message("a"))
    (leased,) = await store.lease(time.time(), 1)
    number = leased.message.id
    attempt = await store.intend(number, "create", "desk", "idem", "hash", time.time())
    seen = {"rule": "status:503", "detail": "HTTP 503", "status": 503}
    waits = Settlement(
        number, State.WAITING, "act", "transientNetwork", error_class="transientNetwork",
        attempt_id=attempt, evidence=seen,
    )  # fmt: skip
    await store.settle(waits, time.time())
    await store.lease(time.time(), 1)
    differs = Settlement(
        number, State.REVIEW, "confirm", "notKept", error_class="validation",
        attempt_id=attempt, outcome="mismatch", evidence={"differs": ["Subject"], "rule": "readBack"},
    )  # fmt: skip
    await store.settle(differs, time.time())

    found = await whole(store, number)
    (ended,) = found["attempts"]
    assert (found["errorClass"], ended["errorClass"]) == ("validation", "transientNetwork")
    assert ended["outcome"] == "mismatch"
    assert ended["evidence"] == {**seen, "differs": ["Subject"]}
    await store.close()


async def test_counts_are_the_rows_whatever_happens(engine: Engine, seed: int) -> None:
    """Random deliveries, copies, settlements, holds and restarts: every message in one state."""
    draw = random.Random(seed)
    store = await engine.open()
    ends = (State.DONE, State.DROPPED, State.REVIEW, State.WAITING, State.HELD, State.DISCARDED)
    for _ in range(150):
        await put(store, message(f"k{draw.randrange(20)}", dedup=f"d{draw.randrange(60)}"))
        for leased in await store.lease(time.time(), draw.randrange(4)):
            number = leased.message.id
            attempt = None
            if draw.random() < 0.5:
                attempt = await store.intend(number, "create", "desk", "i", "h", time.time())
            state = draw.choice(ends)
            reason = "repeat" if state is State.DROPPED else "because"
            await store.settle(
                Settlement(
                    number, state, "act", reason, attempt_id=attempt, outcome="ok",
                    held_for="desk" if state is State.HELD else None,
                ),
                time.time(),
            )  # fmt: skip
        if draw.random() < 0.1:
            await store.unhold("desk", time.time(), 3)
        if draw.random() < 0.05:
            await store.close()
            store = await engine.open()
        rows, report = await store.recount(), await told(store)
        assert report.imbalance == 0
        for state in ("waiting", "held", "sending", "review", "done", "discarded"):
            assert getattr(report, state) == rows.get(state, 0), state
        for reason, count in report.dropped.items():
            assert rows[f"dropped.{reason}"] == count
        assert report.captured == report.split + report.pending + report.malformed
    await store.close()


async def test_what_waits_has_an_age_from_its_first_moment(engine: Engine) -> None:
    """However soon after a look that found nothing: else a status says "6 wait" and not since when."""
    store = await engine.open()
    await put(store, message("a"))
    (leased,) = await store.lease(time.time(), 10)
    await store.settle(Settlement(leased.message.id, State.DONE, "act", ""), time.time())
    looked = time.monotonic() + LOOK_EVERY_S
    while time.monotonic() < looked:
        assert not await store.lease(time.time(), 10)
    assert (await told(store)).oldest_at is None

    await put(store, message("b"))
    assert (await told(store)).oldest_at is not None
    await store.close()


async def test_a_delivery_is_kept_once_and_a_copy_is_told(engine: Engine) -> None:
    """The sender gets its 2xx both times; there is one delivery, with its body and headers."""
    store = await engine.open()
    first = await store.accept("source", "d-1", {"x": "y"}, b'{"a": "\\u0000"}', time.time())
    second = await store.accept("source", "d-1", {}, b"other", time.time())
    other = await store.accept("another", "d-1", {}, b"{}", time.time())

    assert (first.duplicate, second.duplicate, other.duplicate) == (False, True, False)
    assert second.id == first.id
    kept = {d.id: d for d in await store.next_intake(10)}
    assert sorted(kept) == sorted([first.id, other.id])
    assert (kept[first.id].body, kept[first.id].headers) == (b'{"a": "\\u0000"}', {"x": "y"})
    assert not kept[first.id].damaged
    await store.close()


async def test_kept_deliveries_are_read_again_newest_first_and_page_by_page(
    engine: Engine,
) -> None:
    """As they came, split or not; for comparing what another Mapping would make of them."""
    store = await engine.open()
    began = time.time()
    for number in range(5):
        await store.accept("source", f"d{number}", {"x": "y"}, b"%d" % number, began + number)

    first = await store.deliveries(began - 60, None, 2)
    second = await store.deliveries(began - 60, first[-1].id, 10)

    assert [one.body for one in (*first, *second)] == [b"4", b"3", b"2", b"1", b"0"]
    assert (first[0].source, first[0].headers, first[0].damaged) == ("source", {"x": "y"}, False)
    assert [one.body for one in await store.deliveries(began + 2.5, None, 10)] == [b"4", b"3"]
    await store.close()


async def test_intake_comes_in_the_order_of_arrival_and_only_once(engine: Engine) -> None:
    """A delivery that is settled twice, as after a lost answer, makes its messages once."""
    store = await engine.open()
    numbers = [(await store.accept("s", None, {}, b"{}", time.time())).id for _ in range(5)]

    waiting = await store.next_intake(3)
    assert [d.id for d in waiting] == numbers[:3]
    results = [IntakeResult(d.id, (message(f"k{d.id}"),)) for d in waiting]
    await store.settle_intake(results, time.time())
    await store.settle_intake(results, time.time())

    assert [d.id for d in await store.next_intake(10)] == numbers[3:]
    assert (await told(store)).waiting == 3
    await store.close()


async def test_a_message_that_came_before_is_dropped_as_a_duplicate(engine: Engine) -> None:
    """Within one delivery and across deliveries, counted and found by its reason."""
    store = await engine.open()
    await put(store, message("a", "copy"), message("b", "copy"))
    await put(store, message("c", "copy"), message("d", "other"))

    report = await told(store)
    assert (report.waiting, report.dropped) == (2, {"duplicate": 2})
    assert [leased.message.key for leased in await store.lease(time.time(), 9)] == ["a", "d"]
    await store.close()


async def test_links_and_episodes_are_there_for_the_next_message_of_the_key(engine: Engine) -> None:
    """What one message settled is what the next one decides by."""
    store = await engine.open()
    await put(store, message("a"))
    (leased,) = await store.lease(time.time(), 1)
    link = Link("a", "desk", "helpdesk", "ticket", "7", "#7", "http://x/7", "v1", {"Subject": "s"})
    changed_at = time.time()
    episode = Episode("a", "open", 1, changed_at, {"n": 1})
    await store.settle(
        Settlement(leased.message.id, State.DONE, "link", "created", link=link, episode=episode),
        time.time(),
    )
    await put(store, message("a"))

    (again,) = await store.lease(time.time(), 1)
    assert again.links == (link,)
    assert again.episode is not None
    assert (again.episode.state, again.episode.data) == ("open", {"n": 1})
    assert abs(again.episode.changed_at - changed_at) < 1.0
    trace = await store.trace("#7")
    assert trace is not None
    assert [m["state"] for m in trace["messages"]] == ["done", "waiting"]
    await store.close()


async def test_held_messages_wait_again_and_back_offs_end_when_a_gate_opens(engine: Engine) -> None:
    """Oldest first; what waits out a back-off for the same binding is due at once."""
    store = await engine.open()
    await put(store, message("a"), message("b"), message("c"))
    a, b, c = await store.lease(time.time(), 9)
    later = time.time() + 600
    for leased in (a, b):
        held = Settlement(leased.message.id, State.HELD, "act", "closed", held_for="desk")
        await store.settle(held, time.time())
    waits = Settlement(
        c.message.id, State.WAITING, "act", "again", due_at=later, count_try=True, held_for="desk"
    )
    await store.settle(waits, time.time())

    assert await store.held_bindings() == ["desk"]
    assert await store.lease(time.time(), 9) == []
    due = await store.next_due()
    assert due is not None
    assert abs(due - later) < 1.0
    assert await store.unhold("desk", time.time(), 1) == 1
    assert await store.unhold("desk", time.time(), 9) == 1
    await store.hasten("desk", time.time())
    running = await store.lease(time.time() + 0.1, 9)
    assert sorted(leased.message.key for leased in running) == ["a", "b", "c"]
    assert {leased.message.key: leased.message.tries for leased in running}["c"] == 1
    await store.close()


async def test_people_find_a_message_by_any_of_its_names(engine: Engine) -> None:
    """By state, key, number, and what its event is about; with its story and its original."""
    store = await engine.open()
    accepted = await store.accept("source", "d-1", {"h": "v"}, b'{"raw": 1}', time.time())
    await store.next_intake(9)
    new = message("key-1")
    assert new.record is not None
    new.record["identityKey"] = "fingerprint-1"
    await store.settle_intake([IntakeResult(accepted.id, (new,))], time.time())
    (leased,) = await store.lease(time.time(), 1)
    number = leased.message.id
    attempt = await store.intend(number, "create", "desk", "idem", "hash", time.time())
    await store.settle(
        Settlement(
            number, State.REVIEW, "act", "validation", error_class="validation", detail="no \0 such",
            path="/x", attempt_id=attempt, outcome="refused", evidence={"detail": "HTTP 422"},
        ),
        time.time(),
    )  # fmt: skip

    (row,) = await store.messages(Filter(state="review", error_class="validation"), time.time())
    assert (row["id"], row["key"], row["title"]) == (number, "key-1", "key-1")
    assert await store.messages(Filter(state="done"), time.time()) == []
    assert await store.messages(Filter(older_s=600), time.time()) == []
    found = await store.message(number)
    assert found is not None
    assert (found["payload"], found["headers"]) == ('{"raw": 1}', {"h": "v"})
    assert [t["to"] for t in found["transitions"]] == ["waiting", "sending", "review"]
    assert [a["outcome"] for a in found["attempts"]] == ["refused"]
    for name in ("key-1", str(number), "fingerprint-1"):
        trace = await store.trace(name)
        assert trace is not None, name
        assert [m["id"] for m in trace["messages"]] == [number]
    assert await store.trace("nobody") is None
    await store.close()


async def test_what_was_delivered_incomplete_is_found_again_when_it_is_due(engine: Engine) -> None:
    """It leads its key until it is done again, is counted as a passage of its own, and ages nothing."""
    store = await engine.open()
    await put(store, message("a"), message("b"))
    for leased in await store.lease(time.time(), 10):
        kept = Settlement(leased.message.id, State.DONE, "linked", "created", time.time() + 30)
        marked = replace(kept, held_for="ci") if leased.message.key == "a" else kept
        await store.settle(marked, time.time())
    assert await store.incomplete() == {"ci": 1}
    assert await store.complete("ci", time.time(), 9) == 0  # not yet due
    assert await store.complete("other", time.time() + 60, 9) == 0
    await put(store, message("a"))

    assert await store.complete("ci", time.time() + 60, 9) == 1

    (first,) = await store.lease(time.time() + 61, 10)
    assert (first.message.key, first.message.stage) == ("a", "completing")
    assert first.message.state is State.WAITING
    assert await store.incomplete() == {}
    report = await told(store)
    assert (report.received, report.done, report.waiting, report.imbalance) == (4, 2, 2, 0)
    await store.settle(Settlement(first.message.id, State.DONE, "linked", "completed"), time.time())
    (second,) = await store.lease(time.time(), 10)
    assert (second.message.key, second.message.stage) == ("a", "mapped")
    report = await told(store)
    assert (report.done, report.imbalance) == (3, 0)
    whole_ = await store.message(first.message.id)
    assert whole_ is not None
    moves = [(move["from"], move["to"]) for move in whole_["transitions"]]
    assert ("done", "waiting") in moves
    await store.close()


async def test_only_what_is_being_completed_waits_without_an_age(engine: Engine) -> None:
    """It was delivered in time, so no backlog is late because of it."""
    store = await engine.open()
    await put(store, message("a"))
    (leased,) = await store.lease(time.time(), 1)
    marked = Settlement(leased.message.id, State.DONE, "linked", "created", held_for="ci")
    await store.settle(marked, time.time())
    assert await store.complete("ci", time.time() + 1, 9) == 1
    give_up_at = time.monotonic() + 20 * LOOK_EVERY_S  # an idle worker asks its store, too
    while (report := await told(store)).oldest_at is not None and time.monotonic() < give_up_at:
        await store.lease(time.time() - 60, 1)
    assert (report.waiting, report.oldest_at) == (1, None)
    await store.close()
