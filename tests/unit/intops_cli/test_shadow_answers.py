"""What `intops shadow` makes of the answers of several workers."""

from __future__ import annotations

from typing import Any

from intops_cli.commands.shadow import agrees, together, trial_page


def trial(**given: Any) -> dict[str, Any]:
    """What one worker answers about one binding."""
    counts = dict.fromkeys(("differing", "drift", "unmapped", "error", "skipped", "further"), 0)
    return {
        "binding": "prometheus", "mapping": "new", "since": "2026-11-25T12:00:00Z", "same": 3,
        "fields": [], **counts, **given,
    }  # fmt: skip


def field(**given: Any) -> dict[str, Any]:
    """One field over which the Mappings disagree."""
    return {
        "path": "event.severity", "result": "differs", "messages": 1, "now": "minor",
        "candidate": "major", "detail": "", "example": 7, "since": "2026-11-25T12:00:00Z", **given,
    }  # fmt: skip


def test_answers_of_replicas_are_added_up() -> None:
    """Each replica counts what it has split itself."""
    early = "2026-11-25T11:00:00Z"
    one = trial(differing=1, fields=[field()])
    two = trial(differing=3, since=early, fields=[field(messages=2, since=early, example=9)])

    (found,) = together([{"plan": "a", "shadows": [one]}, {"plan": "a", "shadows": [two]}])

    assert (found["same"], found["differing"], found["since"]) == (6, 4, early)
    assert found["fields"] == [field(messages=3, since=early)]


def test_workers_of_another_plan_are_no_part_of_it() -> None:
    """What the Mapping was before the change says nothing about it now."""
    old, new = trial(differing=1, fields=[field()]), trial()

    found = together([{"plan": "a", "shadows": [old]}, {"plan": "b", "shadows": [new]}])

    assert [one["differing"] for one in found] == [1, 0]


def test_only_messages_that_were_compared_speak_for_a_mapping() -> None:
    """Silence is no agreement, and neither is a trial that is over."""
    assert agrees(trial())
    assert not agrees(trial(same=0))
    assert not agrees(trial(stopped="It died."))
    assert not any(
        agrees(trial(**{name: 1})) for name in ("differing", "drift", "unmapped", "error")
    )


def test_a_page_ends_with_what_to_do() -> None:
    """Take over, mend, or wait."""
    assert "write mapping: new and remove shadow" in trial_page([trial()], wide=False)
    assert "no message has come" in trial_page([trial(same=0)], wide=False)
    differs = trial_page([trial(differing=1, fields=[field()], further=2)], wide=True)
    assert "Else mend new" in differs
    assert "2 more disagreements" in differs
    assert "2026-11-25T12:00:00Z" in differs.splitlines()[4]
