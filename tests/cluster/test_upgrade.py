"""Versions change under load, by helm, forth and back: nothing is lost, nothing doubled, nobody refused.

Versions before this tree are commits of this repository (support/cluster/older.py). What is promised is in
docs/upgrading.md.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest

from support.cluster import older
from support.cluster.older import Version
from support.cluster.onenode import OneNode
from support.cluster.polling import until
from support.cluster.scenario import first_within
from support.cluster.upgrading import Site, differences
from support.simulators.launcher import HelpdeskSimulator

pytestmark = pytest.mark.cluster

LONGEST_SILENCE_S = 30.0
"""Far above what is measured: a pod that ends, one that starts, and a machine that does other things."""


@pytest.fixture(scope="module")
def now(node: OneNode) -> Version:
    """This tree."""
    return older.this_tree(node)


@pytest.fixture(scope="module")
def before(node: OneNode) -> Version:
    """A version before, whose stores are the same and whose operators end slowly."""
    return older.load(node, older.ENDS_SLOWLY)


@pytest.fixture(scope="module")
def other(node: OneNode) -> Version:
    """A version before with more differences, whose stores are the same."""
    return older.load(node, older.SAME_SCHEMA)


@pytest.fixture(scope="module")
def long_before(node: OneNode) -> Version:
    """A version whose stores have to be migrated."""
    return older.load(node, older.BEFORE_SCHEMA_6)


@pytest.fixture
def site(node: OneNode) -> Iterator[Site]:
    """The cluster with an empty desk."""
    with HelpdeskSimulator(bind=node.machine_address) as desk:
        yield Site(node, desk)


def test_f78_an_upgrade_and_its_rollback_lose_and_double_nothing_and_refuse_nobody(
    site: Site, before: Version, now: Version
) -> None:
    """F78: one version, this one, the one before, this one again, while alerts arrive and people apply things."""
    with site.alone(before):
        with site.load(before.examples) as load:
            load.await_more()
            with load.step("upgrade"):
                site.put(now)
                site.await_ready(now)
            load.await_more()
            with load.step("rollback"):
                site.roll_back()
                site.await_ready(before)
            with load.step("upgrade again"):
                site.put(now)
                site.await_ready(now)
            load.await_more()

        assert differences(site, load) == []
        assert load.asked.failed == []
        assert load.asked.slipped == 0
        assert load.asked.times > 100
        assert "404" not in load.sender.answers
        assert max(load.silences.values()) < LONGEST_SILENCE_S


def test_f78_a_worker_before_refuses_a_migrated_store_and_what_it_holds_waits(
    site: Site, long_before: Version, now: Version
) -> None:
    """F78: back behind a migration nothing is delivered and nothing is lost; forward again all of it arrives."""
    with site.alone(long_before):
        with site.load(long_before.examples) as load:
            load.await_more()
            with load.step("upgrade with migration"):
                site.put(now)
                site.await_ready(now)
            load.await_more()

            site.roll_back()
            site.await_worker(long_before)
            until(
                lambda: site.found.condition("Programmed").get("reason") == "StoreFailed",
                "the Flow to say that the store is too new",
                timeout_s=60,
                explain=site.explain,
            )
            said = site.found.condition("Programmed")["message"]
            assert "a newer intops wrote this file (schema 6, this one knows 5)" in said, said
            refused = load.sender.answers["503"]
            until(
                lambda: load.sender.answers["503"] > refused + 20,
                "senders to be told to come again",
            )

            with load.step("forward again"):
                site.put(now)
                site.await_ready(now)
            load.await_more()

        assert differences(site, load) == []
        assert "404" not in load.sender.answers


PARTS = ("kinds", "operators", "workers")
HALVES = tuple(itertools.product((False, True), repeat=len(PARTS)))
"""Which parts are of this tree, in every way: 2³, of which two are whole versions."""
DRAWN = {"short": 2, "full": len(HALVES)}
KILLS = {"short": 1, "full": 5}


def test_f79_every_half_of_an_upgrade_delivers(
    site: Site, other: Version, now: Version, fault_runs: str, seed: int
) -> None:
    """F79: kinds, operators and workers of two versions in every mixture: messages arrive and changes take effect."""
    mixed = [half for half in HALVES if len(set(half)) > 1]
    halves = HALVES if fault_runs == "full" else random.Random(seed).sample(mixed, DRAWN["short"])
    with site.alone(other):
        with site.load(other.examples) as load:
            load.await_more()
            for number, half in enumerate(halves):
                kinds, operators, workers = (now if part else other for part in half)
                new = [name for name, part in zip(PARTS, half, strict=True) if part]
                with load.step(f"new are {', '.join(new) or 'none'}"):
                    site.apply_kinds(kinds)
                    site.put(
                        operators, crds__install="false",
                        **site.worker_image(workers),
                    )  # fmt: skip
                    site.await_ready(workers)
                site.change_flow(f"Team-{number}")
                load.await_more()

        assert differences(site, load) == []
        assert load.asked.slipped == 0


def test_f79_an_operator_killed_within_an_upgrade_leaves_no_half(
    site: Site, other: Version, now: Version, fault_runs: str, seed: int
) -> None:
    """F79: the leader dies while it applies the catalogue or rolls the workers; the next one ends it."""
    draw = random.Random(f"{seed} upgrade")
    with site.alone(other):
        with site.load(other.examples) as load:
            load.await_more()
            for _ in range(KILLS[fault_runs]):
                moment_s = draw.uniform(0.0, 6.0)
                with load.step(f"upgrade whose leader dies {moment_s:.1f} s into it (seed {seed})"):
                    site.put(now, wait=False)
                    site.await_new_leader(now)
                    first_within(moment_s, lambda: False, every_s=0.05)
                    site.found.kill_leader()
                    site.await_ready(now)
                    site.await_catalogue()
                if fault_runs == "full":
                    site.put(other)
                    site.await_ready(other)

        assert differences(site, load) == []
        assert load.asked.slipped == 0
