"""Forgets what ended long ago in a PostgreSQL store, a few rows at a time. Called when a worker is idle."""

from typing import Final

from intops_api.report import KEEP_ENDED_S
from intops_runtime.edges.store import audits, postgres_chain, postgres_reviews
from intops_runtime.edges.store.deliveries import DEDUP_HORIZON_S
from intops_runtime.edges.store.postgres_writer import Unit
from intops_runtime.edges.store.pruning import BATCH
from intops_runtime.edges.store.tally import FORGOTTEN, counter_of

# What another replica forgets at the moment is left to it.
OLD_MESSAGES: Final = """
DELETE FROM intops.messages WHERE flow = $1 AND id IN (
  SELECT id FROM intops.messages WHERE flow = $1 AND ended_at < extract(epoch FROM clock_timestamp()) - $2::float8
  ORDER BY ended_at LIMIT $3 FOR UPDATE SKIP LOCKED) RETURNING id, state, reason
"""
STORIES: Final = (
    "DELETE FROM intops.transitions WHERE flow = $1 AND message_id = ANY($2::bigint[])",
    "DELETE FROM intops.attempts WHERE flow = $1 AND message_id = ANY($2::bigint[])",
)
OLD_DELIVERIES: Final = """
DELETE FROM intops.deliveries WHERE flow = $1 AND id IN (
  SELECT id FROM intops.deliveries d WHERE flow = $1 AND state IN ('split', 'malformed')
    AND at < extract(epoch FROM clock_timestamp()) - $2::float8 AND NOT EXISTS(
      SELECT 1 FROM intops.messages m WHERE m.flow = d.flow AND m.delivery_id = d.id)
  ORDER BY at LIMIT $3 FOR UPDATE SKIP LOCKED) RETURNING state
"""
OLD_COPIES: Final = """
DELETE FROM intops.dedup WHERE flow = $1 AND (source, id) IN (
  SELECT source, id FROM intops.dedup WHERE flow = $1 AND at < extract(epoch FROM clock_timestamp()) - $2::float8
  LIMIT $3 FOR UPDATE SKIP LOCKED)
"""


async def prune(unit: Unit, asked: list[None]) -> list[None]:
    """Delete some of what may go."""
    db, flow = unit.db, unit.flow
    gone = await db.fetch(OLD_MESSAGES, flow, KEEP_ENDED_S, BATCH)
    numbers = [row["id"] for row in gone]
    if numbers:
        for statement in STORIES:
            await db.execute(statement, flow, numbers)
    for row in gone:
        unit.change[FORGOTTEN + counter_of(row["state"], row["reason"])] += 1
    for row in await db.fetch(OLD_DELIVERIES, flow, KEEP_ENDED_S, BATCH):
        unit.change[FORGOTTEN + row["state"]] += 1
    await db.execute(OLD_COPIES, flow, DEDUP_HORIZON_S, BATCH)
    await postgres_reviews.forget(db, flow)
    await postgres_chain.forget(db, flow, audits.KEEP_ENTRIES)
    return [None for _ in asked]
