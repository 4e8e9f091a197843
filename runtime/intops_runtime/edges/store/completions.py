"""Messages that were delivered without all that could be known: found again when the rest can be asked for.

Run on the store's own thread. Such a message is done and names the binding that did not answer (`held_for`) and when
to ask again (`due_at`).
"""

from typing import Final

import apsw

from intops_runtime.core.messages import COMPLETING, State
from intops_runtime.edges.store.lanes import come_back
from intops_runtime.edges.store.tally import FORGOTTEN, Tally

INCOMPLETE: Final = (
    "SELECT id, key FROM messages INDEXED BY messages_incomplete "
    "WHERE state = 'done' AND held_for = ? AND due_at <= ? ORDER BY due_at, id LIMIT ?"
)
HOW_MANY: Final = (
    "SELECT held_for, count(*) FROM messages INDEXED BY messages_incomplete "
    "WHERE state = 'done' AND held_for IS NOT NULL GROUP BY held_for"
)
TAKE_UP: Final = (
    "UPDATE messages SET state = 'waiting', stage = ?, held_for = NULL, ended_at = NULL, due_at = ?, tries = 0 "
    "WHERE id = ?"
)


def take_up(db: apsw.Connection, tally: Tally, binding: str, now: float, limit: int) -> int:
    """Incomplete messages of a binding that are due wait again; returns how many.

    To be completed is a passage of its own: it is counted as received and will be counted as done once more.
    """
    found = db.execute(INCOMPLETE, (binding, now, limit)).fetchall()
    for number, key in found:
        db.execute(TAKE_UP, (COMPLETING, now, number))
        db.execute(
            "INSERT INTO transitions VALUES(?, ?, 'done', 'waiting', ?, 0)",
            (number, now, COMPLETING),
        )
        tally.add("received")
        tally.moved(None, State.WAITING.value, COMPLETING)
        tally.add(FORGOTTEN + State.DONE.value)
        come_back(db, str(key), int(str(number)))
    return len(found)


def how_many(db: apsw.Connection) -> dict[str, int]:
    """How many messages are incomplete, by the binding that has not answered."""
    return {str(name): int(str(count)) for name, count in db.execute(HOW_MANY)}
