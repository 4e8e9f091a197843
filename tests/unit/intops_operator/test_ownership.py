"""What is ours of a live object tells whether it is as it was applied, whoever leads now."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from intops_api import names
from intops_operator.core.ownership import applied_hash, owned, owned_hash

SENT: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {
        "name": "intops-x",
        "namespace": "itsm",
        "labels": {"app.kubernetes.io/managed-by": "intops"},
        "ownerReferences": [{"apiVersion": "intops.io/v1alpha1", "kind": "Flow", "name": "x", "uid": "u"}],
    },
    "spec": {
        "selector": {"intops.io/flow": "x"},
        "ports": [{"name": "capture", "port": 8080}, {"name": "operations", "port": 8081}],
    },
}  # fmt: skip
FIELDS: dict[str, Any] = {
    "f:metadata": {
        "f:labels": {"f:app.kubernetes.io/managed-by": {}},
        "f:ownerReferences": {'k:{"uid":"u"}': {}},
    },
    "f:spec": {
        "f:selector": {},
        "f:ports": {
            'k:{"port":8080,"protocol":"TCP"}': {".": {}, "f:name": {}, "f:port": {}},
            'k:{"port":8081,"protocol":"TCP"}': {".": {}, "f:name": {}, "f:port": {}},
        },
    },
}


def live(fields: dict[str, Any] = FIELDS, **entry: Any) -> dict[str, Any]:
    """The Service as an API server keeps it: with defaults, bookkeeping, and a label of somebody else."""
    body = copy.deepcopy(SENT)
    body["metadata"] |= {
        "uid": "1", "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {"app.kubernetes.io/managed-by": "intops", "team": "desk"},
        "managedFields": [
            {"manager": "kubectl-label", "operation": "Update", "fieldsV1": {"f:spec": {"f:team": {}}}},
            {"manager": names.FIELD_MANAGER, "operation": "Apply", "fieldsV1": fields, **entry},
        ],
    }  # fmt: skip
    body["spec"] |= {"clusterIP": "10.0.0.1", "sessionAffinity": "None"}
    for port in body["spec"]["ports"]:
        port |= {"protocol": "TCP", "targetPort": port["port"]}
    body["status"] = {"loadBalancer": {}}
    return body


def test_what_is_ours_of_an_untouched_object_is_what_was_sent() -> None:
    """Neither defaults, nor status, nor what others added."""
    assert owned(live()) == SENT
    assert owned_hash(live()) == applied_hash(SENT)


def taken_over() -> dict[str, Any]:
    """Somebody changed a port's name: the API server gives the field to them."""
    fields = copy.deepcopy(FIELDS)
    del fields["f:spec"]["f:ports"]['k:{"port":8081,"protocol":"TCP"}']["f:name"]
    body = live(fields)
    body["spec"]["ports"][1]["name"] = "theirs"
    return body


def removed() -> dict[str, Any]:
    """Somebody took a port away."""
    fields = copy.deepcopy(FIELDS)
    del fields["f:spec"]["f:ports"]['k:{"port":8081,"protocol":"TCP"}']
    body = live(fields)
    del body["spec"]["ports"][1]
    return body


def made_by_others() -> dict[str, Any]:
    """Somebody made the very same object."""
    return live(manager="kubectl")


def of_the_status() -> dict[str, Any]:
    """What we applied to a status says nothing of the object."""
    return live(subresource="status")


def patched() -> dict[str, Any]:
    """What we patched is no apply."""
    return live(operation="Update")


@pytest.mark.parametrize("body", [taken_over, removed, made_by_others, of_the_status, patched])
def test_what_others_changed_is_not_ours_any_more(body: Any) -> None:
    """So it is applied again."""
    assert owned_hash(body()) != applied_hash(SENT)


def test_an_element_of_a_set_is_found_by_its_value() -> None:
    """Finalizers are such a set; an element that others took away is missed."""
    sent: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "X",
        "metadata": {"name": "x", "finalizers": ["a/b"]},
    }
    entry = {
        "manager": names.FIELD_MANAGER, "operation": "Apply",
        "fieldsV1": {"f:metadata": {"f:finalizers": {".": {}, 'v:"a/b"': {}}}},
    }  # fmt: skip
    there = copy.deepcopy(sent)
    there["metadata"] |= {"finalizers": ["c/d", "a/b"], "managedFields": [entry]}
    gone = copy.deepcopy(there)
    gone["metadata"]["finalizers"] = ["c/d"]

    assert owned(there) == sent
    assert owned(gone) != sent


@pytest.mark.parametrize("fields", [None, {}, {"f:spec": {"f:gone": {"f:x": {}}}}])
def test_bookkeeping_that_fits_nothing_is_no_error(fields: Any) -> None:
    """Then the object is applied, which puts it right."""
    assert owned_hash(live(fields)) != applied_hash(SENT)
