"""The audit chain: what cannot be changed without being seen, and what can be erased."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import replace

import pytest

from intops_runtime.core.auditing import (
    GENESIS,
    Entry,
    Row,
    Verifier,
    exported,
    imported,
    packed,
    plan_entry,
    seal,
    shown,
    unpacked,
)
from support.runtime.flows import alerts_to_helpdesk, put_on_trial

AT = "2026-11-25T12:00:00Z"


def chain(*entries: Entry) -> list[Row]:
    """Entries in one chain."""
    rows: list[Row] = []
    salts = (f"salt{n}" for n in itertools.count())
    for entry in entries:
        previous = rows[-1].hash if rows else GENESIS
        rows.append(
            seal(entry, seq=len(rows) + 1, previous=previous, at=AT, salt=lambda: next(salts))
        )
    return rows


def example() -> list[Row]:
    """Five decisions, three of them with values."""
    return chain(
        Entry("planLoaded", {"plan": "abc", "mappings": {"m": "1"}}),
        Entry("toReview", {"message": 1, "key": "k1"}, {"detail": 'no entry for "odd"'}),
        Entry("edit", {"message": 1, "key": "k1"}, {"actor": "jo", "reason": "odd is major"}),
        Entry("delivered", {"message": 1, "key": "k1", "record": "42"}),
        Entry("discard", {"message": 2, "key": "k2"}, {"actor": "jo", "reason": "a test"}),
    )


def problems(rows: list[Row], *heads: tuple[int, str]) -> list[str]:
    """What verification says."""
    verifier = Verifier()
    verifier.await_heads(*heads)
    for row in rows:
        verifier.feed(row)
    return verifier.finish(*heads)


def test_a_chain_that_nobody_touched_verifies_also_after_an_export() -> None:
    """What is whole is called whole, and its head is found in it."""
    rows = example()
    again = [imported(json.loads(json.dumps(exported(row)))) for row in rows]

    assert problems(rows, (3, rows[2].hash), (5, rows[4].hash)) == []
    assert again == rows


def test_any_changed_sign_is_found(seed: int) -> None:
    """Of every stored text, whichever sign is changed, taken away or added."""
    draw = random.Random(seed)
    for number, name in itertools.product(range(5), ("body", "hash", "values")):
        rows = example()
        text = getattr(rows[number], name)
        if text is None:
            rows[number] = replace(rows[number], values='{"actor":["s","eve"]}')
            assert problems(rows), (number, name)
            continue
        for _ in range(40):
            at = draw.randrange(len(text))
            new = draw.choice(["", "x", "0", '"', text[at] + " "])
            changed = text[:at] + new + text[at + 1 :]
            if changed != text:
                broken = [*rows]
                broken[number] = replace(rows[number], **{name: changed})
                assert problems(broken), (number, name, changed)


def test_rows_that_are_gone_swapped_or_renumbered_are_found() -> None:
    """Whoever takes a decision away leaves a gap."""
    for number in range(1, 4):
        rows = example()
        del rows[number]
        assert problems(rows), number
    rows = example()
    rows[1], rows[2] = rows[2], rows[1]
    assert problems(rows)
    rows = example()
    assert problems(rows[1:])
    rows = example()
    rows[4] = replace(rows[4], seq=6)
    assert problems(rows)


def test_only_an_exported_head_shows_that_the_end_was_cut_off() -> None:
    """What an export is for; a chain made anew has other hashes."""
    rows = example()
    head = (5, rows[4].hash)
    anew = chain(*(Entry("delivered", {"message": n}) for n in range(6)))

    assert problems(rows[:4]) == []
    (cut,) = problems(rows[:4], head)
    (other,) = problems(anew, head)
    assert "cut off" in cut
    assert "made anew" in other


def test_erased_values_are_whole_only_where_an_entry_says_so() -> None:
    """Erasing is itself a decision that is recorded; taking values away silently is tampering."""
    rows = example()
    rows[2] = replace(rows[2], values=None)
    (wrong,) = problems(rows)
    said = seal(
        Entry("erased", {"key": "k1", "entries": [3]}), seq=6, previous=rows[4].hash, at=AT,
        salt=lambda: "s",
    )  # fmt: skip

    assert "no entry says that they were erased" in wrong
    assert problems([*rows, said]) == []
    assert shown(rows[2])["values"] == {}


def test_a_chain_whose_oldest_part_was_forgotten_hangs_on_its_anchor() -> None:
    """Keeping years of deliveries is not asked for; cutting them off by hand is seen."""
    rows = example()
    anchor = seal(
        Entry("forgotten", {"through": 2, "hash": rows[1].hash}), seq=6, previous=rows[4].hash,
        at=AT, salt=lambda: "s",
    )  # fmt: skip
    kept = [*rows[2:], anchor]

    assert problems(kept, (2, rows[1].hash), (1, rows[0].hash), (5, rows[4].hash)) == []
    assert problems(rows[2:])
    assert problems([*rows[3:], anchor])


def test_an_entry_that_waits_as_text_is_sealed_as_if_it_had_not_waited() -> None:
    """Whatever stands in it: characters that are none, numbers beyond 64 bits, dates without a form."""
    entry = Entry(
        "edit",
        {"key": "k\0\ud800ü", "n": 2**70, "none": None, "f": 0.1},
        {"actor": "jo", "changes": {"a": {"before": None, "after": "\0"}}, "reason": None},
    )
    found, at = unpacked(packed(entry, AT))
    (direct,) = chain(entry)
    (waited,) = chain(found)
    assert (waited, at) == (direct, AT)
    assert problems([waited]) == []


def test_what_was_changed_before_it_was_sealed_is_told() -> None:
    """Its place on the chain says so, and fails every verification from then on."""
    rows = chain(Entry("discard", {"message": 1}), Entry("damaged", {"pending": 7}))
    assert problems(rows) == ["Entry 2 stands for one that was changed before it was sealed."]


def test_equal_values_have_different_digests() -> None:
    """Nobody finds a name in the chain by hashing all names."""
    first, second = chain(*(Entry("retry", {}, {"actor": "jo"}) for _ in range(2)))

    assert json.loads(first.body)["digests"] != json.loads(second.body)["digests"]
    assert "jo" not in first.body


def test_a_loaded_plan_names_what_maps_by_hash() -> None:
    """Years later it is known under which Mapping a message was decided."""
    plan = alerts_to_helpdesk("https://desk.example.com")
    facts = plan_entry(plan).facts

    assert facts["plan"] == plan.hash
    assert set(facts["mappings"]) >= {"alertmanager-to-event", "incident-to-helpdesk"}
    assert set(facts["mappings"].values()) == set(plan.blobs.mappings)


@pytest.mark.parametrize("line", [{}, {"seq": "x", "body": "", "hash": "", "values": None}])
def test_a_line_that_is_no_entry_is_told(line: dict[str, str]) -> None:
    """A wrong file is no traceback."""
    with pytest.raises(ValueError, match=r"no entry|invalid literal"):
        imported(line)


def test_a_mapping_on_trial_is_named_apart_from_those_that_decide() -> None:
    """Whoever asks later what decided about a message must not find what only was compared."""
    source = "alertmanager-to-event"
    plan = alerts_to_helpdesk(
        "https://desk.example.com",
        edit=lambda manifests: put_on_trial(manifests, source, lambda spec: None),
    )

    facts = plan_entry(plan).facts

    assert sorted(facts["mappings"]) == [source, "event-to-incident", "incident-to-helpdesk"]
    assert facts["shadows"] == {"candidate": plan.bindings_of("source")[0].shadow}
