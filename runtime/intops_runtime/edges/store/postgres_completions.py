"""Messages in PostgreSQL that were delivered without all that could be known; see `completions`.

Batches of equal jobs for a `postgres_writer.Writer`; only lanes that are held are looked at.
"""

from typing import Final

from intops_runtime.core.messages import COMPLETING, State
from intops_runtime.edges.store.postgres_lanes import held_of
from intops_runtime.edges.store.postgres_leasing import Hurry
from intops_runtime.edges.store.postgres_writer import Unit
from intops_runtime.edges.store.tally import FORGOTTEN

TAKE_UP: Final = """
WITH found AS (
  SELECT id FROM intops.messages WHERE flow = $1 AND state = 'done' AND held_for = $2 AND due_at <= $5
    AND lane = ANY($3::smallint[]) ORDER BY due_at, id LIMIT $4 FOR UPDATE SKIP LOCKED),
taken AS (
  UPDATE intops.messages m SET state = 'waiting', stage = $6, held_for = NULL, ended_at = NULL, due_at = $5,
    tries = 0, head = NULL, edition = edition + 1 FROM found WHERE m.flow = $1 AND m.id = found.id
  RETURNING m.id)
INSERT INTO intops.transitions(flow, message_id, at, from_state, to_state, reason)
SELECT $1::int, id, $5::float8, 'done', 'waiting', $6::text FROM taken
"""
HOW_MANY: Final = """
SELECT held_for, count(*) AS n FROM intops.messages
WHERE flow = $1 AND state = 'done' AND held_for IS NOT NULL GROUP BY held_for
"""


async def take_up(unit: Unit, hurries: list[Hurry]) -> list[int]:
    """Incomplete messages of a binding that are due wait again, in the lanes that are ours."""
    answers = []
    for hurry in hurries:
        lanes = sorted(await held_of(unit, hurry.tenancy, set(hurry.tenancy.lanes)))
        status = await unit.db.execute(
            TAKE_UP, unit.flow, hurry.binding, lanes, hurry.limit, hurry.now, COMPLETING
        )
        count = int(status.rpartition(" ")[2])
        unit.moved(None, "received", count)
        unit.moved(None, State.WAITING.value, count)
        unit.moved(None, FORGOTTEN + State.DONE.value, count)
        answers.append(count)
    return answers
