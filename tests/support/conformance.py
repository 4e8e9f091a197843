"""Resources for tests about rules and plans: the shipped catalogue, the first example, and changes to them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from intops_api.kinds import BY_NAME
from intops_core.catalog import shipped
from intops_core.resources import Resource, Resources, parse_resource

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "examples" / "01-alerts-to-helpdesk"
NAMESPACE = "itsm"

Raw = dict[str, Any]


def read(file: Path) -> list[Raw]:
    """The intops manifests of a file, in the namespace of the tests."""
    found = []
    for raw in yaml.safe_load_all(file.read_text(encoding="utf-8")):
        if isinstance(raw, dict) and str(raw.get("apiVersion", "")).startswith("intops.io/"):
            known = BY_NAME.get(raw["kind"])
            if known is None or known.namespaced:
                raw["metadata"]["namespace"] = NAMESPACE
            found.append(raw)
    return found


@lru_cache(maxsize=1)
def _manifests() -> tuple[Raw, ...]:
    example = [raw for file in sorted(EXAMPLE.glob("*.yaml")) for raw in read(file)]
    return (*shipped(), *example)


def manifests() -> list[Raw]:
    """Manifests of the catalogue and of the first example, free to be changed."""
    return copy.deepcopy(list(_manifests()))


def parsed(raw: Raw) -> Resource:
    """A manifest that has the right shape."""
    resource = parse_resource(copy.deepcopy(raw))
    assert isinstance(resource, Resource), resource
    return resource


def load(raws: Iterable[Raw]) -> tuple[Resources, list[Resource]]:
    """Manifests as resources."""
    resources = Resources()
    found = [parsed(raw) for raw in raws]
    for resource in found:
        resources.add(resource)
    return resources, found


def world(*changes: tuple[str, str, Callable[[Raw], object]]) -> tuple[Resources, list[Resource]]:
    """Catalogue and first example with changes, each a kind, a name and what is done to the spec."""
    raws = manifests()
    for kind, name, change in changes:
        (raw,) = [r for r in raws if r["kind"] == kind and r["metadata"]["name"] == name]
        change(raw["spec"])
    return load(raws)


def catalogue_and_example() -> Resources:
    """Everything that the examples may name."""
    return world()[0]


def flow_of(resources: Resources) -> Resource:
    """The Flow of the first example."""
    flow = resources.get("Flow", NAMESPACE, "alerts-to-helpdesk")
    assert flow is not None
    return flow
