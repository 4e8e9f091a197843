"""An operator that starts against an API server older than the truth deletes nothing that has come back since."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.cluster.api import Api
from support.cluster.api_story import CHILDREN, OURS, Story
from support.cluster.controlplane import ControlPlane
from support.cluster.polling import until
from support.cluster.scenario import first_within
from support.cluster.stale_proxy import StaleProxy
from support.operators import CHILD, FLOW, OperatorProcess, ReportServer, operator

pytestmark = pytest.mark.cluster

CLAIM = "PersistentVolumeClaim"
LOOKS_S = 5.0
"""How long an operator may act on what it was told; its first look comes within a second."""
FLAGS = ("--lease-name=stale-lists", "--certificate-secret=stale-lists")


class Past:
    """A namespace whose Flow was deleted, was listed like that, and was made again since."""

    def __init__(self, plane: ControlPlane, api: Api, workers: ReportServer, space: str) -> None:
        self.plane, self.api, self.space = plane, api, space
        self.flags = (*FLAGS, f"--operations-port={workers.port}")
        self.log = Path()
        self.story = Story(api, workers, space, lambda: self.log.read_text() if self.log else "")

    def happen(self, proxy: StaleProxy, folder: Path) -> None:
        """Make the Flow, delete it, have all lists remembered, make it again over a volume that is bound."""
        with operator(self.plane, folder, "first", *self.flags) as first:
            self.log = first.log
            self.story.create()
        self.api.delete("Flow", self.space, FLOW)
        until(
            lambda: not any(self.api.list(k, self.space, OURS) for k in (*CHILDREN[:-1], "Pod")),
            "all but the volume to go", timeout_s=60,
        )  # fmt: skip
        with (
            proxy.remembering(),
            operator(self.plane, folder, "observer", *self.flags, kubeconfig=proxy.kubeconfig),
        ):
            pass
        self.plane.kubectl.apply(volume(f"of-{self.space}"))
        until(lambda: self.claim()["status"]["phase"] == "Bound", "the claim to be bound")
        with operator(self.plane, folder, "second", *self.flags) as second:
            self.log = second.log
            self.story.create()
            self.story.settled()

    def claim(self) -> dict[str, Any]:
        """The claim, which is there."""
        found = self.api.get(CLAIM, self.space, CHILD)
        assert found is not None, "the claim is gone"
        return found


def volume(name: str) -> dict[str, Any]:
    """A volume that a claim without a class is bound to; no pod ever mounts it."""
    return {
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": "/nonexistent"}, "persistentVolumeReclaimPolicy": "Retain",
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def history(
    plane: ControlPlane, api: Api, workers: ReportServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Past, StaleProxy]]:
    """What has happened, and the server that knows only half of it."""
    folder = tmp_path_factory.mktemp("history")
    proxy = StaleProxy(plane, folder)
    try:
        told = Past(plane, api, workers, "stale-lists")
        told.happen(proxy, folder)
        yield told, proxy
    finally:
        proxy.stop()


@pytest.fixture
def past(history: tuple[Past, StaleProxy]) -> tuple[Past, StaleProxy]:
    """The same, with nothing asked yet and the server in the past."""
    _, proxy = history
    proxy.deletions.clear()
    proxy.looked_up.clear()
    proxy.stale = True
    return history


def await_bait(replica: OperatorProcess, past: Past, proxy: StaleProxy) -> None:
    """Wait until the operator leads and wonders whose the volume is."""
    path = f"/apis/intops.io/v1alpha1/namespaces/{past.space}/flows/{FLOW}"
    until(replica.leads, "the operator to lead", timeout_s=30, explain=replica.tail)
    until(lambda: path in proxy.looked_up, "the Flow to be looked up", explain=replica.tail)
    assert proxy.replayed > 0


def test_f66_old_lists_delete_nothing_and_the_truth_is_found_when_it_comes(
    past: tuple[Past, StaleProxy], tmp_path: Path
) -> None:
    """F66: lists from before the Flow came back; what it would delete is looked up first."""
    told, proxy = past
    before, picture = told.claim(), told.story.picture()
    with operator(
        told.plane, tmp_path, "third", *told.flags, kubeconfig=proxy.kubeconfig
    ) as replica:
        await_bait(replica, told, proxy)
        assert not first_within(LOOKS_S, lambda: proxy.deletions), proxy.deletions
        assert told.claim()["metadata"]["uid"] == before["metadata"]["uid"]

        proxy.stale = False
        told.log = replica.log
        told.story.await_ready()
        until(lambda: told.story.healed() == picture, "all to be as it was", timeout_s=60)
    assert proxy.deletions == []


# The control comes last: it takes away what the others look at.
@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "without its precondition"])
def test_f66_even_old_answers_delete_only_what_is_as_it_was_seen(
    past: tuple[Past, StaleProxy], tmp_path: Path, guarded: bool
) -> None:
    """F66: the server also denies that the Flow is there; without the version in the deletion the volume goes."""
    told, proxy = past
    proxy.unseen.add(f"/apis/intops.io/v1alpha1/namespaces/{told.space}/flows/{FLOW}")
    proxy.unguarded = not guarded
    with operator(
        told.plane, tmp_path, "third", *told.flags, kubeconfig=proxy.kubeconfig
    ) as replica:
        await_bait(replica, told, proxy)
        until(lambda: proxy.deletions, "a deletion to be tried", explain=replica.tail)
    path = f"/api/v1/namespaces/{told.space}/persistentvolumeclaims/{CHILD}"
    assert {where for where, _ in proxy.deletions} == {path}
    assert {status for _, status in proxy.deletions} <= ({409} if guarded else {200})
    kept = told.api.get(CLAIM, told.space, CHILD)
    assert (kept is not None and "deletionTimestamp" not in kept["metadata"]) is guarded
