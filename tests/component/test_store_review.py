"""Review and audit in both stores: one transaction, once, whatever happens in between."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from pathlib import Path

import apsw
import pytest

from intops_runtime.core.auditing import Entry, Row, shown
from intops_runtime.core.decisions import Answer, Decision, Resolution, Select
from intops_runtime.core.messages import IntakeResult, NewMessage, Settlement, State
from intops_runtime.edges.store import audits, pruning
from intops_runtime.edges.store.base import Store
from intops_runtime.edges.store.queries import Filter
from intops_runtime.edges.store.reviews import Wanted
from intops_runtime.edges.store.schema import APPLICATION_ID, STEPS
from support.peers.process import wait_until
from support.runtime.store_engines import Engine, PostgresEngine, SqliteEngine, problems, told

pytestmark = pytest.mark.component


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    """Each engine in turn."""
    if request.param == "sqlite":
        return SqliteEngine(tmp_path)
    return PostgresEngine(request.getfixturevalue("peer"), f"flow-{uuid.uuid4().hex[:8]}")


async def put(store: Store, key: str, *, in_review: str | None = None) -> int:
    """One message of a key, waiting or in review with an error; its number."""
    state = State.REVIEW if in_review else State.WAITING
    new = NewMessage(
        0, key, None, state, "mapped", "review" if in_review else "", "hash", {"title": key},
        {"a": 1}, error_class="validation" if in_review else None, detail=in_review, path="f",
    )  # fmt: skip
    accepted = await store.accept("source", None, {}, b"{}", time.time())
    await store.next_intake(100)
    await store.settle_intake([IntakeResult(accepted.id, (new,))], time.time())
    (newest,) = await store.messages(Filter(limit=1), time.time())
    return int(newest["id"])


def decision(name: str = "d", verb: str = "retry") -> Decision:
    return Decision(name, verb, Select(all=True), "because", "jo")  # type: ignore[arg-type]


async def chain(store: Store) -> list[Row]:
    """The whole audit."""
    rows: list[Row] = []
    while page := await store.decisions.audit_page(rows[-1].seq if rows else 0, 500):
        rows += page
    return rows


async def test_a_decision_that_was_cut_in_the_middle_goes_on_after_a_restart(
    engine: Engine,
) -> None:
    """Half of the messages decided, then the power goes: the rest follows, and nothing twice."""
    store = await engine.open()
    numbers = [await put(store, f"k{number}", in_review="no") for number in range(6)]
    began, known = await store.decisions.begin_decision("d", time.time())
    first = [Resolution(n, discard=True) for n in numbers[:3]]
    await store.decisions.decide(decision(verb="discard"), first, time.time())
    await store.close()
    assert known is None

    store = await engine.open()
    again, known = await store.decisions.begin_decision("d", time.time() + 5)
    assert (again, known) == (pytest.approx(began, abs=0.1), None)
    every = [Resolution(n, discard=True) for n in numbers]
    applied = await store.decisions.decide(decision(verb="discard"), every, time.time())
    answer = await store.decisions.end_decision(decision(verb="discard"), Answer(), time.time())
    repeated = (await store.decisions.begin_decision("d", time.time()))[1]

    assert applied.messages == tuple(numbers[3:])
    assert answer.applied == 6
    assert repeated == answer
    report = await told(store)
    assert (report.discarded, report.review, report.imbalance) == (6, 0, 0)
    discards = [row for row in await chain(store) if '"action":"discard"' in row.body]
    assert len(discards) == 6
    await store.close()


async def test_messages_that_come_after_a_decision_are_not_meant_by_it(engine: Engine) -> None:
    """ "All in review" is what the person saw."""
    store = await engine.open()
    await put(store, "a", in_review="no")
    since, _ = await store.decisions.begin_decision("d", time.time())
    await put(store, "b", in_review="no")

    found = await store.decisions.review_items(Wanted(since=since))
    assert [item.key for item in found] == ["a"]
    await store.close()


async def test_equal_errors_are_grouped_and_the_one_due_first_leads(engine: Engine) -> None:
    """The queue begins with what is most urgent."""
    store = await engine.open()
    causes = (("a", "record 1"), ("b", 'no "x"'), ("c", "record 2"))
    a, b, c = [await put(store, key, in_review=words) for key, words in causes]

    first, second = await store.decisions.review_groups(10)
    assert (first.ids, first.count, second.ids) == ((a, c), 2, (b,))
    assert first.newest_at >= first.received_at
    await store.close()


async def test_a_message_that_comes_back_leads_its_key_again(engine: Engine) -> None:
    """Order within a record holds, also for what a person has looked at."""
    store = await engine.open()
    first = await put(store, "a", in_review="no")
    await put(store, "a")
    await store.decisions.decide(decision(), [Resolution(first, discard=False)], time.time())

    leased = await store.lease(time.time(), 10)
    assert [item.message.id for item in leased] == [first]
    assert (leased[0].message.tries, leased[0].message.reason) == (0, "retry")
    await store.close()


async def test_an_attempt_of_unknown_effect_is_open_again_after_a_retry(engine: Engine) -> None:
    """The lane looks it up before it repeats it: a retry by hand makes no second ticket."""
    store = await engine.open()
    number = await put(store, "a")
    await store.lease(time.time(), 1)
    attempt = await store.intend(number, "create", "desk", "idem", "hash", time.time())
    gave_up = Settlement(
        number, State.REVIEW, "act", "timeout", error_class="timeout", attempt_id=attempt,
        outcome="unknown",
    )  # fmt: skip
    await store.settle(gave_up, time.time())
    (item,) = await store.decisions.review_items(Wanted())
    applied = await store.decisions.decide(
        decision(), [Resolution(number, discard=False, reopen=True)], time.time()
    )
    (leased,) = await store.lease(time.time(), 1)

    assert item.unknown == "desk"
    assert set(applied.reopened) == {attempt}
    assert leased.open_attempt is not None
    assert leased.open_attempt.id == attempt
    await store.close()


async def test_an_edited_message_is_delivered_with_its_own_checksum(engine: Engine) -> None:
    """What a person wrote is protected like what came; the new key has its own lane."""
    store = await engine.open()
    number = await put(store, "review:1", in_review="no")
    edited = Resolution(
        number,
        discard=False,
        record={"title": "new"},
        key="iop1:k",
        plan_hash="other",
        variant="v4",
    )
    await store.decisions.decide(decision(), [edited], time.time())
    (leased,) = await store.lease(time.time(), 1)

    assert (leased.message.key, leased.message.record) == ("iop1:k", {"title": "new"})
    assert (leased.message.plan_hash, leased.message.variant) == ("other", "v4")
    await store.close()


async def test_the_chain_holds_through_everything_that_happens(engine: Engine, seed: int) -> None:
    """Random deliveries, outcomes, decisions, erasures and restarts, verified with an earlier head."""
    draw = random.Random(seed)
    store = await engine.open()
    heads: list[tuple[int, str]] = []
    for number in range(120):
        await put(store, f"k{draw.randrange(9)}", in_review=draw.choice([None, "no", 'no "x"']))
        for leased in await store.lease(time.time(), 2):
            state = draw.choice((State.DONE, State.REVIEW, State.DROPPED, State.WAITING))
            await store.settle(
                Settlement(leased.message.id, state, "act", "because", detail="words"), time.time()
            )
        if draw.random() < 0.3:
            found = await store.decisions.review_items(Wanted(limit=3))
            resolutions = [Resolution(i.id, discard=draw.random() < 0.5) for i in found]
            await store.decisions.decide(decision(f"d{number}"), resolutions, time.time())
        if draw.random() < 0.05:
            await store.decisions.erase(
                f"k{draw.randrange(9)}", Entry("erased", {}, {}), time.time()
            )
        if draw.random() < 0.05:
            rows = await chain(store)
            heads.append((rows[-1].seq, rows[-1].hash))
            await store.close()
            store = await engine.open()
        assert (await told(store)).imbalance == 0

    rows = await chain(store)
    assert problems(rows, *heads) == []
    assert len(rows) > 100
    await store.close()


async def test_whatever_stands_in_an_entry_is_kept_and_verifies(engine: Engine) -> None:
    """Words of other systems hold characters that a database refuses or no decoder knows."""
    store = await engine.open()
    odd = {"detail": "a\0b\ud800ü", "changes": {"n": 2**70}}
    await store.decisions.audit(Entry("discard", {"key": "k\0"}, odd), time.time())
    (row,) = await chain(store)
    assert problems([row]) == []
    assert shown(row)["values"] == odd
    assert shown(row)["key"] == "k\0"
    await store.close()


async def test_the_oldest_entries_are_forgotten_and_the_rest_verifies(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy Flow does not fill its volume with what it did years ago."""
    monkeypatch.setattr(audits, "KEEP_ENTRIES", 50)
    store = await engine.open()
    for number in range(200):
        await store.decisions.audit(
            Entry("delivered", {"message": number}, {"detail": "x"}), time.time()
        )
    before = await chain(store)
    await store.prune(time.time())
    kept = await chain(store)

    assert len(kept) == 51
    assert problems(kept, (200, before[199].hash), (100, before[99].hash)) == []
    assert problems(kept[1:])
    await store.prune(time.time())
    assert await chain(store) == kept
    await store.close()


async def test_a_plan_is_recorded_when_it_is_taken_into_use_only(engine: Engine) -> None:
    """A restart decides nothing."""
    store = await engine.open()
    for plan in ("a", "a", "b", "a"):
        await store.decisions.audit(Entry("planLoaded", {"plan": plan}), time.time())
    await store.close()
    store = await engine.open()
    await store.decisions.audit(Entry("planLoaded", {"plan": "a"}), time.time())

    assert len(await chain(store)) == 3
    await store.close()


async def test_a_file_of_the_version_before_shows_its_review_queue(tmp_path: Path) -> None:
    """An upgrade loses no question: messages that waited before are grouped and can be decided."""
    path = tmp_path / "store.sqlite"
    db = apsw.Connection(str(path))
    db.execute("PRAGMA journal_mode=wal")
    for step in STEPS[:2]:
        db.execute(step)
    db.execute(f"PRAGMA application_id={APPLICATION_ID}")
    db.execute("PRAGMA user_version=2")
    db.execute("INSERT INTO counters VALUES('review', 2), ('received', 2)")
    for number in (1, 2):
        db.execute(
            "INSERT INTO messages(id, delivery_id, item, source, key, state, stage, reason, due_at, "
            "plan_hash, error_class, detail, received_at, review_at) "
            "VALUES(?, 1, 0, 's', ?, 'review', 'act', 'validation', 0, 'h', 'validation', ?, 5, 9)",
            (number, f"k{number}", f"record {number} is odd"),
        )
    db.close()

    store = await SqliteEngine(tmp_path).open()
    (group,) = await store.decisions.review_groups(10)
    applied = await store.decisions.decide(
        decision(verb="discard"), [Resolution(n, discard=True) for n in group.ids], time.time()
    )
    assert (group.count, group.newest_at, applied.messages) == (2, 5.0, (1, 2))
    assert store.counts(time.time()).imbalance == 0
    await store.close()


def left(folder: Path, words: bytes) -> list[str]:
    """Files of the embedded store in which these bytes stand."""
    return [file.name for file in sorted(folder.iterdir()) if words in file.read_bytes()]


async def gone(folder: Path, words: bytes) -> None:
    """Wait until they stand nowhere: the writer empties its log when it has answered."""
    await asyncio.to_thread(
        wait_until, lambda: left(folder, words) == [], what="the bytes are gone"
    )


async def test_s39_what_is_forgotten_or_erased_is_in_no_byte_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Payloads after their time, and values of the audit when they are erased: file and log are searched."""
    monkeypatch.setattr(pruning, "KEEP_ENDED_S", 0.0)
    payload, value = b"canary-payload-" + b"p" * 20_000, b"canary-value-" + b"v" * 9_000
    store = await SqliteEngine(tmp_path).open()
    for number, body in enumerate((payload, b"{}")):
        text = body.decode()
        accepted = await store.accept("source", str(number), {}, body, time.time())
        await store.next_intake(100)
        ended = NewMessage(
            0, "k", None, State.DROPPED, "mapped", "repeat", "hash", {"title": text}, {"a": text}
        )
        await store.settle_intake([IntakeResult(accepted.id, (ended,))], time.time())
    await store.decisions.audit(
        Entry("discard", {"key": "k"}, {"detail": value.decode()}), time.time()
    )
    assert left(tmp_path, payload[:300]) != []
    assert left(tmp_path, value[:300]) != []

    await store.decisions.erase("k", Entry("erased", {"key": "k"}, {}), time.time())
    await gone(tmp_path, b"v" * 300)
    await store.prune(time.time())
    await gone(tmp_path, b"p" * 300)
    await store.close()
    assert left(tmp_path, b"p" * 300) == []
