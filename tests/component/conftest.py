"""What component tests share: a PostgreSQL server for each file, and a Flow in it for each test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from support.peers.postgresql import PostgreSQL
from support.runtime.store_engines import PostgresEngine


@pytest.fixture(scope="module")
def peer() -> Iterator[PostgreSQL]:
    """One server for all tests of a file; each test is a Flow of its own."""
    with PostgreSQL() as running:
        yield running


@pytest.fixture
def engine(peer: PostgreSQL) -> PostgresEngine:
    """A Flow that no other test has; files that compare both stores have an `engine` of their own."""
    return PostgresEngine(peer, f"flow-{uuid.uuid4().hex[:8]}")
