"""Put the product into a running cluster: images of this tree, the chart, the first example.

`up` calls both; cluster tests call them one by one with values of their own.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from support.cluster import binaries, images, paths
from support.cluster.kubectl import tail_of_events
from support.cluster.onenode import OneNode
from support.cluster.polling import HarnessError, until

RELEASE = "intops"
NAMESPACE = "intops-system"
SYSTEM_NAMESPACES = frozenset(
    {"default", "kube-node-lease", "kube-public", "kube-system", NAMESPACE}
)
"""Those that are there whatever a test does."""
EXAMPLE = paths.TREE / "examples" / "01-alerts-to-helpdesk"

Say = Callable[[str], None]


def load_images(cluster: OneNode, say: Say = print) -> dict[str, str]:
    """Build the images of this tree and import them; returns plane → reference."""
    built = images.ensure_product(say)
    cluster.load(archive for _, archive in built.values())
    return {plane: reference for plane, (reference, _) in built.items()}


def helm(cluster: OneNode, *arguments: str) -> str:
    """Run helm against the cluster.

    Raises:
        HarnessError: It failed; carries its message and the cluster's latest events.
    """
    done = subprocess.run(
        [str(binaries.path("helm")), "--kubeconfig", str(cluster.kubeconfig), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={
            "PATH": "/usr/bin:/bin",
            # Its own cache and plugins, whatever the person has.
            **{f"HELM_{kind}_HOME": str(cluster.state / "helm") for kind in
               ("CACHE", "CONFIG", "DATA")},
        },
    )  # fmt: skip
    if done.returncode != 0:
        raise HarnessError(
            f"helm {arguments[0]} failed: {done.stderr.strip()[-2000:]}\n"
            f"{tail_of_logs(cluster)}\n{tail_of_events(cluster.kubectl)}"
        )
    return done.stdout


def tail_of_logs(cluster: OneNode) -> str:
    """The operator's last words, for an error message."""
    shown = cluster.kubectl.try_run(
        "logs", "--namespace", NAMESPACE, "--selector", "app.kubernetes.io/part-of=intops",
        "--prefix", "--tail=15", "--ignore-errors",
    )  # fmt: skip
    return shown.stdout or shown.stderr


def install(
    cluster: OneNode, values: Mapping[str, str] | None = None, *, say: Say = print
) -> dict[str, str]:
    """Install or upgrade the operator from helm/intops and wait until it is ready.

    Args:
        cluster: A started one.
        values: More `--set` values, dotted name → value.
        say: Takes a sentence about what is being done.

    Returns:
        The references of the images, by plane.
    """
    references = load_images(cluster, say)
    say("installing helm/intops")
    upgrade(cluster, references, values)
    return references


def upgrade(
    cluster: OneNode, references: Mapping[str, str], values: Mapping[str, str] | None = None
) -> None:
    """Install or upgrade from helm/intops with images that the node has, and wait until it is ready.

    Args:
        cluster: A started one.
        references: Of the images, by plane, as `load_images` gives them.
        values: More `--set` values, dotted name → value; those of an earlier call are forgotten.
    """
    put(cluster, paths.TREE / "helm" / "intops", references, values)


def put(
    cluster: OneNode,
    chart: Path,
    references: Mapping[str, str],
    values: Mapping[str, str] | None = None,
    *,
    wait: bool = True,
) -> None:
    """Install or upgrade the operator from a chart with these images, and wait until it is ready.

    Args:
        cluster: It has the images.
        chart: Folder of the chart.
        references: Of the images, by plane.
        values: More `--set` values, dotted name → value.
        wait: Whether to wait.
    """
    operator, worker = (references[plane].rsplit(":", 1) for plane in ("operator", "worker"))
    settings = {
        "image.repository": operator[0],
        "image.tag": operator[1],
        "image.pullPolicy": "Never",
        "worker.image.repository": worker[0],
        "worker.image.tag": worker[1],
        "worker.image.pullPolicy": "Never",
        **(values or {}),
    }
    # As a string "false" would be true to a template.
    chosen = [
        f"--set{'' if value in {'true', 'false'} else '-string'}={name}={value}"
        for name, value in settings.items()
    ]
    helm(
        cluster, "upgrade", "--install", RELEASE, str(chart),
        "--namespace", NAMESPACE, "--create-namespace", "--timeout", "120s", *(["--wait"] if wait else []),
        *chosen,
    )  # fmt: skip


def apply_example(cluster: OneNode, folder: Path = EXAMPLE) -> None:
    """Apply the manifests of one example.

    A ready operator answers admission only once kube-proxy has written its address into the
    kernel's rules, a second or so later; until then the API server refuses, and it is asked again.

    Raises:
        HarnessError: A manifest was refused, or nobody answered admission.
    """
    refusals: list[str] = []

    def applied() -> bool:
        done = cluster.kubectl.try_run("apply", "--server-side", "-f", str(folder))
        refusals[:] = [done.stderr.strip()[-2000:]]
        if done.returncode != 0 and "failed calling webhook" not in done.stderr:
            raise HarnessError(f"{folder.name} cannot be applied: {refusals[0]}")
        return done.returncode == 0

    until(
        applied,
        f"{folder.name} to be admitted",
        every_s=0.5,
        explain=lambda: "\n".join([*refusals, tail_of_logs(cluster)]),
    )
