"""The operator is removed and comes back, with its kinds and without: workers run on, and no message is lost."""

from __future__ import annotations

import pytest

from support.cluster import paths, product
from support.cluster.onenode import OneNode
from support.cluster.polling import until
from support.cluster.scenario import FLOW, await_admission
from support.cluster.tenants import tenant

pytestmark = [pytest.mark.cluster, pytest.mark.peers]

CLAIM = f"persistentvolumeclaim/intops-{FLOW}"


def remove_operator(cluster: OneNode) -> None:
    """`helm uninstall`, until both replicas are gone."""
    product.helm(
        cluster, "uninstall", product.RELEASE, "--namespace", product.NAMESPACE,
        "--wait", "--timeout", "120s",
    )  # fmt: skip
    chosen = ("-n", product.NAMESPACE, "-l", "app.kubernetes.io/name=intops-operator")
    until(
        lambda: not cluster.kubectl.get("pods", *chosen)["items"], "both operators to end",
        timeout_s=60, every_s=0.5,
    )  # fmt: skip


def install_again(cluster: OneNode) -> None:
    """The same chart, until it judges."""
    product.install(cluster)
    await_admission(cluster.kubectl)


def kinds() -> list[str]:
    """Names of our CustomResourceDefinitions."""
    return [
        ".".join(reversed(file.stem.split("_"))) for file in (paths.TREE / "crds").glob("*.yaml")
    ]


def uids(cluster: OneNode) -> dict[str, str]:
    """Uid of each of our kinds that is there."""
    found = cluster.kubectl.get("customresourcedefinitions")["items"]
    return {
        one["metadata"]["name"]: one["metadata"]["uid"]
        for one in found
        if one["spec"]["group"] == "intops.io"
    }


def test_f77_an_operator_that_is_removed_leaves_kinds_and_workers_and_finds_them_again(
    operators: OneNode,
) -> None:
    """F77: no Flow and no kind goes with the chart; messages arrive meanwhile; no worker restarts when it is back."""
    with tenant(operators, "uninstalled") as found, found.sender() as sender:
        before, pods = uids(operators), found.lives()
        try:
            remove_operator(operators)
            made = found.desk.ledger(entries=False)["tickets"]
            sender.await_more(5)
            until(
                lambda: found.desk.ledger(entries=False)["tickets"] >= made + 5,
                "tickets to be made without an operator",
            )
            assert uids(operators) == before
        finally:
            install_again(operators)
        found.await_ready()
        sender.stop()
        assert set(sender.answers) == {200}, sender.answers
        assert found.lives() == pods
        assert uids(operators) == before
        found.await_agreement()


def test_f77_kinds_that_are_deleted_take_workers_but_no_message(operators: OneNode) -> None:
    """F77: who deletes the kinds deletes all Flows; their volumes stay and are used by Flows of the same name."""
    space = "kindless"
    with tenant(operators, space) as found:
        try:
            with found.desk_away():
                with found.sender() as sender:
                    sender.await_more(5)
                kept = operators.kubectl.get(CLAIM, "-n", space)["metadata"]["uid"]
                remove_operator(operators)
                assert sorted(uids(operators)) == sorted(kinds())
                operators.kubectl.run("delete", "customresourcedefinitions", *kinds())
                until(
                    lambda: found.children(FLOW) == [f"PersistentVolumeClaim/intops-{FLOW}"],
                    "all but the volume to go", timeout_s=90, every_s=0.5,
                    explain=lambda: str(found.children(FLOW)),
                )  # fmt: skip
        finally:
            install_again(operators)
        found.apply_example()
        found.await_ready(timeout_s=120)
        claim = operators.kubectl.get(CLAIM, "-n", space)["metadata"]
        assert (claim["uid"], claim.get("deletionTimestamp")) == (kept, None)
        assert len(sender.kept) >= 5
        found.await_agreement()
