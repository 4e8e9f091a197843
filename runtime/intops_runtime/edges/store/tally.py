"""Counts of one store: changed in the same transaction as the rows, mirrored in memory after the commit.

So a report costs nothing and never tells of what is not on disk. Belongs to the store's own thread;
only `report` and `[]` are called from elsewhere, and read the counts of one commit as a whole.
"""

import time
from collections import Counter
from typing import Final

import apsw

from intops_api.report import StoreReport
from intops_runtime.core.reporting import rfc3339

_DROPPED = "dropped."
_COUNT: Final = (
    "INSERT INTO counters VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET n = n + excluded.n"
)
FORGOTTEN = "forgotten."
"""Before the name of a count: how many of it ended so long ago that their rows are gone."""
IN_FLIGHT = ("pending", "waiting", "held", "sending")
"""Counts of what is neither ended nor in review."""
LOOK_EVERY_S = 0.5

OLDEST: Final = (
    "SELECT min(received_at) FROM messages INDEXED BY messages_flight "
    "WHERE state IN ('waiting', 'held', 'sending') AND stage <> 'completing'"
)
PENDING: Final = "SELECT at FROM deliveries WHERE state = 'pending' ORDER BY id LIMIT 1"
USED: Final = (
    "SELECT (page_count - freelist_count) * page_size "
    "FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
)
FIRST_REVIEW: Final = (
    "SELECT min(review_at) FROM messages INDEXED BY messages_review WHERE state = 'review'"
)


def counter_of(state: str, reason: str) -> str:
    """Name of the count that a message in this state is in; dropped ones are counted by reason."""
    return _DROPPED + reason if state == "dropped" else state


def report_of(
    known: Counter[str],
    now: float,
    *,
    oldest_at: float | None,
    review_due_at: float | None,
    failed: str | None,
    full: bool,
    fill: float | None = None,
) -> StoreReport:
    """A report made from counts by name. Times are epoch seconds."""
    due = review_due_at if known["review"] else None
    return StoreReport(
        received=known["received"],
        done=known["done"],
        dropped={
            name.removeprefix(_DROPPED): count
            for name, count in known.items()
            if name.startswith(_DROPPED) and count
        },
        waiting=known["waiting"],
        held=known["held"],
        sending=known["sending"],
        review=known["review"],
        discarded=known["discarded"],
        captured=known["captured"],
        split=known["split"],
        pending=known["pending"],
        malformed=known["malformed"],
        oldest_at=rfc3339(oldest_at) if any(known[name] for name in IN_FLIGHT) else None,
        review_oldest_due_at=rfc3339(due),
        review_overdue=1 if due is not None and due < now else 0,
        failed=failed,
        full=full,
        fill=fill,
    )


class Tally:
    """How many messages and deliveries are in which state."""

    def __init__(self) -> None:
        self._known: Counter[str] = Counter()
        self._change: Counter[str] = Counter()
        self._oldest_at: float | None = None
        self._review_due_at: float | None = None
        self._look_at = 0.0
        self._stale = False
        self.used_bytes = 0
        """What the file holds, without its free pages: as of the last look, and the bodies that came since."""

    def load(self, db: apsw.Connection) -> None:
        """Read what the file says."""
        self._known = Counter(
            {str(n): int(str(c)) for n, c in db.execute("SELECT * FROM counters")}
        )
        self._look(db)

    def add(self, name: str, count: int = 1) -> None:
        """Count deliveries or messages within the running transaction."""
        self._change[name] += count

    def moved(self, old: str | None, new: str, reason: str) -> None:
        """A message left one state for another."""
        if old is not None:
            self._change[old] -= 1
        self._change[counter_of(new, reason)] += 1

    def before_commit(self, db: apsw.Connection) -> None:
        """Write the change into the transaction."""
        changed = [(name, count) for name, count in self._change.items() if count]
        if changed:
            db.executemany(_COUNT, changed)
        self._stale |= bool(self._change)
        # The oldest message is a matter of seconds; under load it is not looked for at every commit.
        # An idle worker asks its store once a second, so that a skipped look is made up for.
        if self._begins() or (self._stale and time.monotonic() >= self._look_at):
            self._look(db)
            self._look_at = time.monotonic() + LOOK_EVERY_S
            self._stale = False

    def after(self, *, committed: bool) -> None:
        """Take the change over, or forget it with the transaction."""
        if committed and self._change:
            # A new object, put in place at once: a report on another thread never sees half a commit.
            known = self._known.copy()
            for name, count in self._change.items():
                known[name] += count
            self._known = known
        self._change.clear()

    def __getitem__(self, name: str) -> int:
        return self._known[name]

    def report(self, now: float, *, failed: str | None, full: bool, fill: float) -> StoreReport:
        """The numbers of the report; `now` is epoch seconds."""
        return report_of(
            self._known,
            now,
            oldest_at=self._oldest_at,
            review_due_at=self._review_due_at,
            failed=failed,
            full=full,
            fill=fill,
        )

    def _begins(self) -> bool:
        """Whether something waits, or is in review, where nothing was: its age is never left unsaid."""
        waits = self._oldest_at is None and any(self._change[name] > 0 for name in IN_FLIGHT)
        return waits or (self._change["review"] > 0 and not self._known["review"])

    def _look(self, db: apsw.Connection) -> None:
        found = [at for at in (db.execute(OLDEST).get, db.execute(PENDING).get) if at is not None]
        self._oldest_at = min(found) if found else None
        self._review_due_at = db.execute(FIRST_REVIEW).get
        self.used_bytes = int(db.execute(USED).get)
