"""The feed keeps nothing of what it brings: the cache does that, in a small part of the room."""

from __future__ import annotations

import asyncio

import kopf

from intops_operator.handlers import feed


def test_an_object_that_was_brought_is_not_remembered() -> None:
    """With ten thousand Flows there are a hundred thousand objects, and most of them never change."""
    memories = feed._NoMemories()
    body = kopf.RawBody(apiVersion="v1", kind="Service", metadata={"uid": "u", "name": "x"})

    first = asyncio.run(memories.recall(body, noticed_by_listing=True))
    again = asyncio.run(memories.recall(body))

    assert first is not again
    assert list(memories.iter_all_memories()) == []
