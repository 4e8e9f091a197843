"""Keys are the same after restarts, after re-creation of a Flow, and in a second cluster."""

from __future__ import annotations

from intops_runtime.core.keys import MAX_LENGTH, correlation_key, idempotency_key

EPISODE = ("itsm", "alertmanager", "event", "8b38/2026-11-23T20:23:39.119Z")


def test_a_correlation_key_never_changes_between_versions() -> None:
    """Tickets that carry a key must be found by a worker of any later version."""
    assert correlation_key(*EPISODE) == "iop1:oflqlsrjnru3ejgdpflketq5sx3g3in2"


def test_an_idempotency_key_never_changes_between_versions() -> None:
    """A write that was sent before an upgrade is repeated under the same key after it."""
    key = idempotency_key("s" * 32, 17, 1764072000.25, "create")

    assert key == "9f13829f2e2cab4b64e4b5c0f78ab0a1be3432d6"


def test_keys_fit_into_the_shortest_field_that_must_hold_them() -> None:
    """Whatever the parts are, the key is short."""
    long = "x" * 5000

    assert len(correlation_key(long, long, long, long)) <= MAX_LENGTH
    assert len(idempotency_key(long, 2**63, 1e12, long)) <= MAX_LENGTH


def _longer(part: int) -> tuple[str, str, str, str]:
    """The parts of the episode with one of them changed."""
    first, second, third, fourth = (
        text + "x" * (index == part) for index, text in enumerate(EPISODE)
    )
    return first, second, third, fourth


def test_every_part_counts_and_none_can_stand_for_another() -> None:
    """Text that moves from one part to the next makes another key."""
    keys = {correlation_key(*_longer(part)) for part in range(4)}
    moved = {correlation_key("ab", "c", "m", "k"), correlation_key("a", "bc", "m", "k")}

    assert len(keys | {correlation_key(*EPISODE)}) == 5
    assert len(moved) == 2


def test_steps_and_messages_have_keys_of_their_own() -> None:
    """A transition is no repetition of a create, and message 1 none of message 2."""
    keys = {
        idempotency_key("s", number, received_at, step)
        for number in (1, 2)
        for received_at in (1.0, 1.000001)
        for step in ("create", "transition")
    }

    assert len(keys) == 8
