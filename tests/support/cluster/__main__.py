"""`python -m support.cluster up | down | status | control-plane`: a Kubernetes for people.

`make cluster` calls it. `up` prints where the kubeconfig is and, on request, installs the product.
"""

from __future__ import annotations

import argparse
import sys
import time

from support.cluster import binaries, network, onenode, product
from support.cluster.controlplane import ControlPlane, home
from support.cluster.polling import HarnessError
from support.cluster.services import Service


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m support.cluster", description=__doc__)
    parser.add_argument("command", choices=["up", "down", "status", "control-plane"])
    parser.add_argument("--name", default="intops", help="several clusters may stand side by side")
    parser.add_argument(
        "--bare", action="store_true", help="up: the cluster only, without operator and example"
    )
    parser.add_argument(
        "--stop", action="store_true", help="control-plane: stop and remove it instead"
    )
    chosen = parser.parse_args(arguments)
    try:
        match chosen.command:
            case "up":
                up(chosen.name, bare=chosen.bare)
            case "down":
                down(chosen.name)
            case "status":
                status()
            case _:
                control_plane(chosen.name, remove=chosen.stop)
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def up(name: str, *, bare: bool) -> None:
    """Start a cluster; install the product and its first example unless `bare`."""
    refusal = onenode.why_not()
    if refusal is not None:
        raise HarnessError(refusal)
    began = time.monotonic()
    binaries.ensure()
    cluster = onenode.named(name)
    cluster.start()
    print(f"node ready after {time.monotonic() - began:.1f} s")
    if not bare:
        product.install(cluster)
        product.apply_example(cluster)
        print(f"operator ready and example applied after {time.monotonic() - began:.1f} s")
    print(f"the machine is {cluster.machine_address} for pods; ClusterIPs answer from here")
    print(f"kubectl is {binaries.path('kubectl')}, helm is {binaries.path('helm')}")
    print(f"export KUBECONFIG={cluster.kubeconfig}")


def down(name: str) -> None:
    """End a cluster, running or half dead."""
    found = network.lookup(name)
    if found is None:
        print(f"there is no cluster {name!r}")
        return
    onenode.OneNode(found).stop()
    print(f"cluster {name!r} is gone")


def status() -> None:
    """Print what runs."""
    clusters = onenode.all_named()
    if not clusters:
        print("no cluster exists")
    for cluster in clusters:
        print(f"{cluster.name}: export KUBECONFIG={cluster.kubeconfig}")
        for program, pid in cluster.status().items():
            print(f"  {program}: {'does not run' if pid is None else f'process {pid}'}")


def control_plane(name: str, *, remove: bool) -> None:
    """Start, or stop and remove, a control plane on loopback that outlives this command."""
    state = home(name)
    if remove:
        ControlPlane(state).remove()
        print(f"control plane {name!r} is gone")
        return
    if Service("kube-apiserver", (), state).pid() is not None:
        raise HarnessError(
            f"a control plane {name!r} runs already (KUBECONFIG={state / 'kubeconfig'}); "
            "`control-plane --stop` ends it"
        )
    binaries.ensure()
    # Ports are chosen anew, so nothing of an earlier run fits.
    plane = ControlPlane(state)
    plane.remove()
    plane.start()
    print(f"export KUBECONFIG={plane.kubeconfig}")


if __name__ == "__main__":
    sys.exit(main())
