"""What of a listing is a message whose webhook was lost, and what is said about it.

Pure. Whoever asks a source hands over each listing; one `Listed` a source remembers what it saw before. It
begins anew with the worker: what was lost while that was down is found all the same, only later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from intops_api.report import Finding, PollReport
from intops_runtime.core.gates import Gate
from intops_runtime.core.limits import CAPTURED_BY
from intops_runtime.core.reporting import rfc3339

# A source that lost nothing for a day is not told about any more.
FORGET_S: Final = 24 * 3600.0
HEADERS: Final = {"content-type": "application/json", CAPTURED_BY: "poll"}


class Unusable(Exception):
    """What the class made of an answer is no body of a webhook; the text is a sentence."""


@dataclass(slots=True)
class Listed:
    """What is known of the listings of one source. Moments are seconds of one steady clock."""

    first_at: dict[str, float] = field(default_factory=dict)
    """When each item was listed first, by what tells it apart; only of what the last listing held."""
    brought: set[str] = field(default_factory=set)
    """Items that are in the store already, because they were brought from here."""

    def late(self, ids: Sequence[str | None], now: float, patience_s: float) -> list[int]:
        """Places of items that have been listed for so long that their webhook must be lost.

        What is listed no more is forgotten: if it comes back, its webhook has time again. An item that
        nothing tells apart is never late, because its copies could not be told either.

        >>> Listed({"a": 0.0}).late(["a", "b"], 60.0, 60.0)
        [0]
        """
        self.first_at = {name: self.first_at.get(name, now) for name in ids if name is not None}
        self.brought &= self.first_at.keys()
        return [
            place
            for place, name in enumerate(ids)
            if name is not None
            and name not in self.brought
            and now - self.first_at[name] >= patience_s
        ]


def items_in(body: Any, path: str) -> list[Any]:
    """The list at a dotted path of a body.

    Raises:
        Unusable: there is none.
    """
    found = body
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    if not isinstance(found, list):
        raise Unusable(f"capture.poll.body gives no list at {path}, where the class has its items")
    return found


def only(body: Mapping[str, Any], path: str, places: Sequence[int]) -> dict[str, Any]:
    """A body with some items of its list alone.

    >>> only({"version": "4", "alerts": ["a", "b"]}, "alerts", [1])
    {'version': '4', 'alerts': ['b']}
    """
    name, _, rest = path.partition(".")
    inner = body[name]
    kept = only(inner, rest, places) if rest else [inner[place] for place in places]
    return {**body, name: kept}


@dataclass(slots=True)
class PollCounts:
    """What asking one source has found since the worker started. Moments are epoch seconds."""

    source: str
    ok: int = 0
    failed: int = 0
    recovered: int = 0
    recovered_since: float | None = None
    recovered_at: float | None = None
    failing: str | None = None
    """Why the last listing did not come; None where it did."""
    failing_since: float | None = None

    def listed(self) -> None:
        """A listing came whole."""
        self.ok += 1
        self.failing = self.failing_since = None

    def missed(self, why: str, now: float) -> None:
        """No listing came, or it could not be read. It proves nothing about the messages."""
        self.failed += 1
        self.failing = why
        self.failing_since = self.failing_since or now

    def brought(self, count: int, now: float) -> None:
        """So many messages came only by asking."""
        if count:
            self.recovered += count
            self.recovered_since = self.recovered_since or now
            self.recovered_at = now

    def report(self) -> PollReport:
        """The counts as they are reported."""
        return PollReport(
            source=self.source, ok=self.ok, failed=self.failed, recovered=self.recovered
        )

    def findings(self, gate: Gate, now: float) -> list[Finding]:
        """What a person should know. The sentences hold no counts that grow, so that a status stays still."""
        found = []
        if self.recovered_at is not None and now - self.recovered_at < FORGET_S:
            found.append(
                Finding(
                    kind="gap",
                    reason="WebhooksLost",
                    message=(
                        f"Messages of source {self.source} came only by asking; its webhook loses messages. "
                        "Check its address, its token and the sender's log."
                    ),
                    count=self.recovered,
                    severity="warning",
                    since=rfc3339(self.recovered_since),
                )
            )
        if self.failing is not None:
            why = gate.detail or self.failing
            found.append(
                Finding(
                    kind="gap",
                    reason="PollFailing",
                    message=(
                        f"Source {self.source} cannot be asked what is active ({why}), so a lost webhook would "
                        "not be noticed. Webhooks are taken as before."
                    ),
                    severity="warning",
                    since=rfc3339(self.failing_since),
                )
            )
        return found
