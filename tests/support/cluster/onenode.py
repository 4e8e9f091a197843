"""A whole Kubernetes of one node, in a network namespace of its own.

`python -m support.cluster up` and the fixture `node` start one. State is one directory below the
cache; a start after a crash repairs or replaces what is there, and `down` leaves nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from support.cluster import cleanup, images, network, paths
from support.cluster.controlplane import CONTROLLERS, ControlPlane, Place, Ports
from support.cluster.kubectl import Kubectl
from support.cluster.network import Network
from support.cluster.node import Node
from support.cluster.polling import HarnessError
from support.cluster.services import Service, stop, take

PORTS = Ports(api=6443, etcd=2379, etcd_peer=2380, controllers=10257, scheduler=10259)
"""The usual ones: inside the namespace nobody else has them."""

Say = Callable[[str], None]


def why_not() -> str | None:
    """Why this machine cannot have a node, None if it can try."""
    if sys.platform != "linux":
        return "a node needs Linux: containers are a feature of its kernel"
    if os.geteuid() != 0:
        return "a node needs root: it makes network namespaces, mounts and containers"
    return None


@dataclass(frozen=True, slots=True)
class OneNode:
    """One cluster, by name. Every method may be repeated."""

    network: Network

    @property
    def name(self) -> str:
        """The name it was made with."""
        return self.network.name

    @property
    def state(self) -> Path:
        """Its directory."""
        return paths.clusters() / self.name

    @property
    def plane(self) -> ControlPlane:
        """Its control plane."""
        place = Place(
            address=self.network.node,
            ports=PORTS,
            enter=self.network.enter,
            services=self.network.services,
            pods=self.network.pods,
        )
        return ControlPlane(self.state, place, scheduler=True)

    @property
    def node(self) -> Node:
        """Its node."""
        return Node(self.plane, self.network)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.plane.kubeconfig

    @property
    def kubectl(self) -> Kubectl:
        """kubectl as the administrator."""
        return self.plane.kubectl

    @property
    def machine_address(self) -> str:
        """Where pods reach a server that a test runs on this machine."""
        return self.network.machine

    def start(self, say: Say = print) -> None:
        """Bring the cluster up and wait until it takes pods.

        Raises:
            HarnessError: The machine cannot have a node, or a part did not start; carries the last
                lines of its log.
        """
        refusal = why_not()
        if refusal is not None:
            raise HarnessError(refusal)
        # First of all: a cluster without an owner would be taken for abandoned.
        take(self.state)
        base, pause = images.ensure_base(say), images.ensure_pause(say)
        self.network.create()
        node = self.node
        node.start_containerd()
        with ThreadPoolExecutor(max_workers=1) as beside:
            imported = [beside.submit(node.import_image, image) for image in (pause, base)]
            self.plane.start()
            for one in imported:
                one.result()
        node.start()

    def load(self, archives: Iterable[Path]) -> None:
        """Import image archives, so that pods can use them with `imagePullPolicy: Never`."""
        for archive in archives:
            self.node.import_image(archive)

    def stop(self) -> None:
        """End everything and leave nothing.

        Raises:
            HarnessError: Something could not be removed; says what is left.
        """
        stop(self.state, "kubelet", "kube-proxy", *CONTROLLERS)
        cleanup.end_containers(self.node.socket, self.state / "containerd-run")
        stop(self.state, "kube-apiserver", "containerd")
        stop(self.state, "etcd")
        cleanup.forget_files_elsewhere(self.state)
        self.network.remove()
        if self.state.exists():
            cleanup.delete_directory(self.state)
        left = self.leftovers()
        if left:
            raise HarnessError("after the end of the cluster there is still:\n" + "\n".join(left))
        network.release(self.network)
        if not network.claimed():
            cleanup.forget_shared_places()

    def leftovers(self) -> list[str]:
        """What of it is on the machine, in words; empty after `stop`."""
        return cleanup.leftovers(self.network, self.state)

    def status(self) -> dict[str, int | None]:
        """Process id by started program; None for one that has ended since."""
        records = sorted((self.state / "run").glob("*.json"))
        return {one.stem: Service(one.stem, (), self.state).pid() for one in records}


def named(name: str) -> OneNode:
    """The cluster of this name; claims addresses for it if it is new.

    Raises:
        HarnessError: The name is no DNS label of at most 40 characters, or no addresses are left.
    """
    # 40: the namespace's name and the socket's path are made from it.
    if not name or len(name) > 40 or not all(one.isalnum() or one == "-" for one in name):
        raise HarnessError(f"{name!r} is no name for a cluster; use letters, digits and hyphens")
    return OneNode(network.claim(name))


def all_named(prefix: str = "") -> list[OneNode]:
    """The clusters that exist, running or left behind."""
    return [OneNode(one) for one in network.claimed() if one.name.startswith(prefix)]
