"""References are names of the same namespace: no field leads into another one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from intops_api.kinds import KINDS, Kind
from intops_api.schema.crd import crd

TREE = Path(__file__).parents[3]
ELSEWHERE = [
    "other/secret",
    "../secret",
    "other.svc/secret",
    "a b",
    "A",
    "",
    "x" * 254,
    "secret\n",
    "%2e%2e",
    "a..b",
]


def spec_of(kind: Kind) -> dict[str, Any]:
    """The schema of the spec that the API server judges by."""
    version = crd(kind)["spec"]["versions"][0]
    spec: dict[str, Any] = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return spec


def fields(schema: dict[str, Any], path: str = "spec") -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every field with its path, name and schema."""
    for name, below in schema.get("properties", {}).items():
        yield f"{path}.{name}", name, below
        yield from fields(below, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from fields(schema[key], f"{path}[]")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_s42_no_field_names_a_namespace(kind: Kind) -> None:
    """Who has no field for it cannot be confused by one."""
    found = [path for path, name, _ in fields(spec_of(kind)) if "namespace" in name.lower()]
    assert found == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_s42_the_name_of_a_secret_is_one_name(kind: Kind) -> None:
    """No slash, no dots in a row, nothing that a path could be made of."""
    for path, name, schema in fields(spec_of(kind)):
        if not name.lower().endswith("secretname"):
            continue
        for text in ELSEWHERE:
            fits = len(text) <= schema["maxLength"] and re.search(schema["pattern"], text)
            assert not fits or "\n" in text, (path, text)
        assert re.search(schema["pattern"], "helpdesk-token")


def test_s42_there_are_names_of_secrets_to_look_at() -> None:
    """The control."""
    found = {
        path
        for kind in KINDS
        for path, name, _ in fields(spec_of(kind))
        if name.endswith("ecretName")
    }
    assert {"spec.credentials.secretName", "spec.runtime.store.postgres.secretName"} <= found


# How OAuth 2 calls the way in which a client gets its token, and rights in a system; nothing between namespaces.
OAUTH = "spec.auth.oauth2.grant"
RIGHTS = "spec.selfTest.rights.needs[].granted"


def test_s43_nothing_grants_one_namespace_what_is_in_another() -> None:
    """No kind and no field could, and the operator may not even read the grants of others."""
    words = re.compile(r"grant|namespace|tenant|shared|sharing|allowedfrom", re.IGNORECASE)
    found = {
        path for kind in KINDS for path, name, _ in fields(spec_of(kind)) if words.search(name)
    }
    assert found == {OAUTH, RIGHTS}
    assert [kind.name for kind in KINDS if words.search(kind.name)] == []

    roles = "".join(
        file.read_text(encoding="utf-8").lower()
        for file in (TREE / "helm" / "intops" / "templates").glob("*.yaml")
    )
    assert "clusterrole" in roles
    assert "referencegrants" not in roles
    assert "gateway.networking.k8s.io" not in roles
