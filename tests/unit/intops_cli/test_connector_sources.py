"""Where the test of a Connector takes its manifests and credentials from, and what it may not read is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from intops_api.kinds import KINDS
from intops_cli.cluster_access import ClusterAccess
from intops_cli.connector_sources import Source, from_cluster, from_folder
from intops_core.catalog import shipped
from intops_runtime.connector_trial import Tried
from support.lists_api import kubeconfig, lists_api
from support.runtime.flows import REPOSITORY

EXAMPLE = REPOSITORY / "examples" / "04-alerts-to-jira"
SECRET = "/api/v1/namespaces/itsm/secrets/jira-user"


def objects() -> dict[str, list[dict[str, Any]]]:
    """The example in namespace itsm, by the path of its list."""
    found: dict[str, list[dict[str, Any]]] = {}
    raws = [one for f in EXAMPLE.glob("*.yaml") for one in yaml.safe_load_all(f.read_text("utf-8"))]
    for kind in KINDS:
        place = "/namespaces/itsm" if kind.namespaced else ""
        path = f"/apis/intops.io/v1alpha1{place}/{kind.plural}"
        found[path] = [one for one in [*shipped(), *raws] if one and one["kind"] == kind.name]
        for one in found[path]:
            one["metadata"] |= {"namespace": "itsm"} if kind.namespaced else {}
    return found


@contextmanager
def cluster(tmp_path: Path, lists: dict[str, Any], *refused: str) -> Iterator[Source]:
    """The source for Connector jira where the API server has these lists and refuses these paths."""
    with lists_api(lists, refused=refused) as server:
        config = kubeconfig(tmp_path / "config", server, current="one", contexts={"one": "itsm"})
        yield from_cluster(ClusterAccess(config, None, None), "jira", "https://jira.example.com")


def tried(source: Source) -> Tried:
    """What it gives for Connector jira."""
    found = source.tried("jira")
    assert isinstance(found, Tried), found
    return found


def test_a_secret_that_may_not_be_read_is_told_with_the_right_that_it_takes(tmp_path: Path) -> None:
    """That it is missing is another sentence."""
    with cluster(tmp_path, objects(), SECRET) as source:
        forbidden = tried(source)
    with cluster(tmp_path, objects()) as source:
        missing = tried(source)

    assert "it takes `get` on this Secret" in forbidden.secret.unread
    assert forbidden.secret.held is missing.secret.held is forbidden.values is None
    assert missing.secret.unread == ""


def test_a_cluster_allows_no_loopback_and_says_from_where_it_is_asked(tmp_path: Path) -> None:
    """The endpoint that was given takes the place of the Connector's, and Flows are known."""
    with cluster(tmp_path, objects()) as source:
        found = tried(source)

    assert source.policy.refusal("127.0.0.1") is not None
    assert "not from a worker" in source.note
    assert found.spec.endpoint == "https://jira.example.com"
    assert [one.mapping for one in found.uses.sent] == ["incident-to-jira"]
    assert found.uses.flows == ("alerts-to-jira",)


def test_a_folder_gives_its_secrets_and_allows_loopback() -> None:
    """As `intops run` does."""
    source = from_folder(EXAMPLE, namespace="default", endpoints={})
    found = tried(source)

    assert found.secret.held == {"username", "password"}
    assert source.policy.refusal("127.0.0.1") is None
    assert source.note == ""
