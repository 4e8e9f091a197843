"""What a manifest is to a cluster: null is absent, metadata has its forms, a number is no text."""

from __future__ import annotations

from typing import Any

import pytest

from intops_core.resources import Resource, parse_resource
from intops_core.rules.single_object import single_object_breaches
from support.conformance import manifests


def flow(**spec: Any) -> dict[str, Any]:
    """The Flow of the first example with a changed spec."""
    (raw,) = [raw for raw in manifests() if raw["kind"] == "Flow"]
    return {**raw, "spec": {**raw["spec"], **spec}}


def named(**metadata: Any) -> dict[str, Any]:
    """The Flow of the first example with changed metadata."""
    raw = flow()
    return {**raw, "metadata": {**raw["metadata"], **metadata}}


def told(raw: dict[str, Any]) -> list[tuple[str, str]]:
    """Path and sentence of everything that is wrong with the shape."""
    found = parse_resource(raw)
    return [] if isinstance(found, Resource) else [(f.path, f.message) for f in found]


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"slo": None}, id="a map of fields"),
        pytest.param({"suspend": None}, id="a value with a default"),
        pytest.param({"errors": {"timeout": None}}, id="an entry of a map"),
        pytest.param({"routes": [{"name": "all", "set": None}]}, id="within a list"),
    ],
)
def test_null_is_a_field_that_is_not_there(spec: dict[str, Any]) -> None:
    """A key with nothing behind its colon is taken by a cluster, so it is taken here."""
    resource = parse_resource(flow(**spec))

    assert isinstance(resource, Resource), resource
    assert resource.raw["spec"] != flow(**spec)["spec"]


def test_null_where_a_value_has_no_schema_is_kept() -> None:
    """The input of an example may hold it: a tool sends null."""
    (raw, *_) = [raw for raw in manifests() if raw["kind"] == "Mapping"]
    raw["spec"]["examples"][0]["input"] = {"endsAt": None}

    resource = parse_resource(raw)

    assert isinstance(resource, Resource), resource
    assert resource.raw["spec"]["examples"][0]["input"] == {"endsAt": None}


def test_null_as_an_element_of_a_list_is_refused() -> None:
    """There it is no field that could be absent."""
    assert told(flow(routes=[None])) == [("spec.routes[0]", '"routes" must be a map of fields.')]


def test_a_whole_number_may_be_written_with_a_point() -> None:
    """kubectl sends 1.0 as 1."""
    assert told(flow(runtime={"replicas": {"min": 1.0, "max": 1}})) == []


@pytest.mark.parametrize(
    ("value", "ending"),
    [
        pytest.param("1", "must be a whole number without quotes.", id="in quotes"),
        pytest.param(True, "must be a whole number.", id="a yes"),
        pytest.param(2**63, "must be a whole number.", id="beyond 64 bits"),
        pytest.param(10**400, "must be a whole number.", id="beyond all bounds"),
    ],
)
def test_what_is_no_number_to_a_cluster_is_none_here(value: Any, ending: str) -> None:
    """It would be refused there."""
    ((path, message),) = told(flow(runtime={"replicas": {"min": value, "max": 1}}))

    assert path == "spec.runtime.replicas.min"
    assert message.endswith(ending)


@pytest.mark.parametrize(
    ("metadata", "path", "part"),
    [
        pytest.param({"name": "Desk"}, "metadata.name", "lower-case letters", id="a capital"),
        pytest.param({"name": "x" * 254}, "metadata.name", "at most 253", id="a long name"),
        pytest.param({"namespace": "a.b"}, "metadata.namespace", "dashes, at most 63", id="a dot"),
        pytest.param({"lables": {}}, "metadata.lables", 'mean "labels"', id="a misspelt field"),
        pytest.param({"labels": {"a b": "x"}}, "metadata.labels", '"a b" is not a key', id="a key"),
        pytest.param({"labels": {"a": "x" * 64}}, "metadata.labels", "an annotation", id="a value"),
        pytest.param(
            {"annotations": {"-": "x"}}, "metadata.annotations", '"-" is not a key', id="a note"
        ),
        pytest.param(
            {"annotations": {"a": "x" * 262144}},
            "metadata.annotations",
            "262145 bytes",
            id="a book",
        ),
    ],
)
def test_metadata_that_no_cluster_takes_is_refused(
    metadata: dict[str, Any], path: str, part: str
) -> None:
    """With the field, and with what may be written."""
    ((where, message),) = told(named(**metadata))

    assert where == path
    assert part in message


def test_metadata_as_a_cluster_shows_it_is_taken() -> None:
    """`kubectl get -o yaml` can be judged as it is."""
    shown = {
        "uid": "5d3c1a9e-0000-0000-0000-000000000000",
        "resourceVersion": "7",
        "generation": 3,
        "creationTimestamp": "2026-11-25T12:00:00Z",
        "labels": {"example.com/team": "desk", "empty": None},
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
        "managedFields": [{"manager": "kubectl", "operation": "Apply"}],
    }

    assert told({**named(**shown), "status": {"conditions": []}}) == []


def test_an_object_that_no_cluster_keeps_is_refused() -> None:
    """The API server would only say that a request is too large."""
    (raw, *_) = [raw for raw in manifests() if raw["kind"] == "Mapping"]
    raw["spec"]["examples"][0]["input"] = {"pad": "x" * 1536 * 1024}
    resource = parse_resource(raw)
    assert isinstance(resource, Resource)

    (breach,) = single_object_breaches(resource)

    assert breach.path == "spec"
    assert "a cluster keeps at most 1572864 of one" in breach.message


def test_a_list_that_is_too_long_is_told_with_its_bound() -> None:
    """In our words, not in those of a library."""
    routes = [{"name": f"r{number}"} for number in range(65)]

    assert told(flow(routes=routes)) == [
        ("spec.routes", '"routes" should have at most 64 items, not 65.')
    ]
