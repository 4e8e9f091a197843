"""Objects that nobody meant: spoiled, copied from elsewhere, or as large as they may be.

A real API server with a real operator refuses what `intops validate` refuses and takes what it takes, and the
operator stands.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import pytest

from intops_core.conformance import judge
from intops_core.resources import Resources, parse_resource
from support.cluster.asking import Api
from support.cluster.controlplane import ControlPlane
from support.conformance import manifests
from support.judged import as_new, judged
from support.operators import OperatorProcess
from support.wrong import world, wrong_manifests

pytestmark = pytest.mark.cluster

Manifest = dict[str, Any]

SPOILED = 1200
ODD: tuple[Any, ...] = (
    None, "", " ", "x", "X" * 300, "ä/ö", "\0", "x" * 70_000, "1", "true", "null", "30s", "2027-01-01",
    0, 1, -1, 10**12, 2**63, 1.5, 1.0, True, [], ["x"], [None], {}, {"x": "y"}, {"": None},
)  # fmt: skip
"""What is put in the place of what belongs there."""


@pytest.fixture(scope="module")
def cluster(
    api_server: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Api, OperatorProcess]]:
    """An API server that asks an operator, and that operator."""
    with judged(api_server, tmp_path_factory.mktemp("bad")) as both:
        yield both


@pytest.fixture(scope="module")
def api(cluster: tuple[Api, OperatorProcess]) -> Api:
    """The API server that asks."""
    return cluster[0]


@pytest.fixture(scope="module")
def known() -> Resources:
    """What the command line knows."""
    return world()


def sound() -> list[Manifest]:
    """Sound manifests of every kind under names that are free."""
    found = [as_new(raw) for raw in (*manifests(), *(w.twin for w in wrong_manifests()))]
    for raw in found:
        raw["metadata"]["name"] = raw["metadata"]["name"].removesuffix("-again") + "-again"
        raw["metadata"]["labels"] = {"team": "desk", "example.com/tier": "gold"}
        raw["metadata"]["annotations"] = {"example.com/why": "Somebody asked for it."}
    return found


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every field and element below a value."""
    if at:
        yield at
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*at, key))


def spoiled(raw: Manifest, draw: random.Random) -> tuple[Manifest, str]:
    """A copy in which one place is replaced, removed, added or doubled; and what was done."""
    made = copy.deepcopy(raw)
    # Who acts is known to a cluster only, and where to is what was asked.
    spared = {("metadata",), ("metadata", "namespace"), ("spec", "actor"), ("spec",)}
    part = "metadata" if draw.random() < 0.2 else "spec"
    spots = [at for at in places({part: made[part]}) if at not in spared]
    *above, last = draw.choice(spots)
    holder: Any = made
    for key in above:
        holder = holder[key]
    odd = copy.deepcopy(draw.choice(ODD))
    match draw.choice(("put", "put", "remove", "add")):
        case "put":
            holder[last] = odd
        case "remove":
            del holder[last]
        case _ if isinstance(holder, list):
            holder.append(draw.choice((odd, copy.deepcopy(holder[last]))))
        case _:
            holder[draw.choice(("x", "X Y", "", "a.b", "name", "value"))] = odd
    return made, f"{raw['kind']} {(*above, last)} {str(odd)[:40]!r}"


def test_validate_and_a_cluster_take_and_refuse_the_same(
    api: Api, known: Resources, seed: int
) -> None:
    """Whatever is spoiled, nobody finds out only in the cluster, and nobody is kept from what it takes."""
    draw = random.Random(seed)
    base = sound()
    differ = []
    for _ in range(SPOILED):
        manifest, what = spoiled(draw.choice(base), draw)
        resource = parse_resource(copy.deepcopy(manifest))
        found = resource if isinstance(resource, list) else judge(resource, known)
        ours = [f"{f.path}: {f.message}" for f in found if f.severity == "deny"]
        answer = api.create(manifest)
        if (answer.status == 201) is bool(ours):
            differ.append((what, ours, answer.status, answer.message[:500]))

    assert differ == []
