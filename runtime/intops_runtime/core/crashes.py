"""Messages whose handling crashes: tried again, then set aside, so that none blocks its key for ever.

Pure but for its own counts; one belongs to each plan runner. What ended the whole process is counted by the
black box, which outlives it, and read from there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from intops_runtime.core.messages import Settlement, State

# Domain reference 3.1, class 14.
TRIES: Final = 3


@dataclass(slots=True)
class Crashes:
    """How often each message has brought its lane down in a row."""

    deaths: dict[int, int] = field(default_factory=dict)
    """How often the process has died of a message, by its id."""
    drops: bool = False
    """What the Flow's policies say of poison: dropped; else a person looks."""
    _counts: dict[int, int] = field(default_factory=dict)

    def crashed(self, message_id: int, kind: str, now: float) -> Settlement:
        """What becomes of a message after a crash; `kind` names the error, `now` is epoch seconds."""
        count = self._counts.get(message_id, 0) + 1
        self._counts[message_id] = count
        words = f"Handling this message crashed {count} times ({kind}); see the worker's log."
        if count >= TRIES:
            return self._aside(message_id, words)
        return Settlement(
            message_id,
            State.WAITING,
            "act",
            "poison",
            due_at=now + count,
            error_class="poison",
            detail=words,
        )

    def deadly(self, message_id: int) -> Settlement | None:
        """What becomes of a message that the process has died of too often; None where it may be tried."""
        deaths = self.deaths.get(message_id, 0)
        return self._aside(message_id, death_words("message", deaths)) if deaths >= TRIES else None

    def ended(self, message_id: int) -> None:
        """A turn of the message came to its end: what was before counts no more."""
        self._counts.pop(message_id, None)
        self.deaths.pop(message_id, None)

    def _aside(self, message_id: int, words: str) -> Settlement:
        state = State.DROPPED if self.drops else State.REVIEW
        return Settlement(message_id, state, "act", "poison", error_class="poison", detail=words)


def death_words(what: str, deaths: int) -> str:
    """What a person reads about a delivery or a message that the process died of."""
    return (
        f"The worker died {deaths} times while it handled this {what}: out of memory, hung, or crashed. "
        "It is not tried again."
    )


def deadly_deliveries(deaths: Mapping[int, int]) -> dict[int, str]:
    """Deliveries that are no longer split, by id, with the words for whoever looks."""
    return {
        number: death_words("delivery", count) for number, count in deaths.items() if count >= TRIES
    }
