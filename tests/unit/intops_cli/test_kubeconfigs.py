"""Contexts of a kubeconfig, as people have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from intops_cli.cluster_requests import ClusterRequests
from intops_cli.worker_client import WorkerUnavailable
from support.lists_api import kubeconfig

SERVER = "https://127.0.0.1:1"
CONTEXTS = {"one": "itsm", "two": ""}


@pytest.mark.parametrize("current", [None, "", "gone", "two"])
def test_a_context_that_is_named_needs_no_current_one(current: str | None, tmp_path: Path) -> None:
    """Files of several clusters are often written without one, and a deleted one leaves its name."""
    file = kubeconfig(tmp_path / "config", SERVER, current=current, contexts=CONTEXTS)

    asked = ClusterRequests(file, "one")

    assert (asked.namespace, asked.api.configuration.host) == ("itsm", SERVER)


def test_without_a_name_the_current_context_is_meant(tmp_path: Path) -> None:
    """Its namespace is `default` where it says none, as for kubectl."""
    for current, namespace in (("one", "itsm"), ("two", "default")):
        file = kubeconfig(tmp_path / "config", SERVER, current=current, contexts=CONTEXTS)
        assert ClusterRequests(file, None).namespace == namespace


@pytest.mark.parametrize(("current", "context"), [("gone", None), (None, None), ("one", "gone")])
def test_a_context_that_is_not_there_is_a_sentence(
    current: str | None, context: str | None, tmp_path: Path
) -> None:
    """Nothing else is asked instead."""
    file = kubeconfig(tmp_path / "config", SERVER, current=current, contexts=CONTEXTS)

    with pytest.raises(WorkerUnavailable, match="No cluster can be reached: "):
        ClusterRequests(file, context)


def test_a_file_that_is_no_kubeconfig_is_a_sentence(tmp_path: Path) -> None:
    """A path may be mistyped."""
    file = tmp_path / "config"
    file.write_text("a: [")

    with pytest.raises(WorkerUnavailable, match="No cluster can be reached: "):
        ClusterRequests(str(file), None)
