"""The network namespace a node lives in, and the wire between it and the machine.

One cluster takes one slot: a number that fixes its addresses, so that clusters side by side never
share one. Nothing of a cluster listens outside its namespace, and deleting the namespace takes
every bridge, rule and pod interface with it.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.cluster import paths
from support.cluster.polling import HarnessError

SLOTS = 16
"""A /16 of pods and one of Services, cut into /20: 16 pieces."""


def run(*argv: str, check: bool = True) -> str:
    """Run a command of the system and return its output.

    Raises:
        HarnessError: It failed (unless `check` is false), or does not exist.
    """
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError as cause:
        raise HarnessError(
            f"{argv[0]} is not installed; run "
            "`PYTHONPATH=tests python -m support.provision --what apt`"
        ) from cause
    if check and done.returncode != 0:
        raise HarnessError(f"{' '.join(argv)} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Network:
    """Names and addresses of one cluster."""

    name: str
    slot: int

    @property
    def namespace(self) -> str:
        """The name below /run/netns."""
        return f"intops-{self.name}"

    @property
    def enter(self) -> tuple[str, ...]:
        """What is put before a command to run it inside.

        Not `ip netns exec`: that mounts another /sys and hides the control groups.
        """
        return ("nsenter", f"--net=/run/netns/{self.namespace}")

    @property
    def machine(self) -> str:
        """The machine's address on the wire: where pods reach peers that a test runs."""
        return f"10.99.{self.slot}.1"

    @property
    def node(self) -> str:
        """The node's address on the wire: API server, kubelet, node ports."""
        return f"10.99.{self.slot}.2"

    @property
    def pods(self) -> str:
        """Range of the pods, routed from the machine."""
        return f"10.244.{16 * self.slot}.0/20"

    @property
    def node_pods(self) -> str:
        """The part of `pods` that the one node hands out."""
        return f"10.244.{16 * self.slot}.0/24"

    @property
    def services(self) -> str:
        """Range of the ClusterIPs, routed from the machine."""
        return f"10.96.{16 * self.slot}.0/20"

    @property
    def wire(self) -> str:
        """The machine's end; 15 characters is the kernel's limit for a name."""
        return f"intops{self.slot}"

    def exists(self) -> bool:
        """Whether the namespace is there."""
        return Path("/run/netns", self.namespace).exists()

    def create(self) -> None:
        """Make namespace, wire and routes; nothing if they are there.

        Raises:
            HarnessError: An address range of this slot is used by something else.
        """
        if self.exists():
            return
        for taken in self._routes_in_use():
            raise HarnessError(
                f"the route {taken!r} of this machine overlaps with cluster {self.name!r} "
                f"(slot {self.slot}); remove it, or what made it, first"
            )
        inside = f"{self.wire}n"
        run("ip", "netns", "add", self.namespace)
        run("ip", "link", "add", self.wire, "type", "veth", "peer", inside, "netns", self.namespace)
        run("ip", "address", "add", f"{self.machine}/24", "dev", self.wire)
        run("ip", "link", "set", self.wire, "up")
        for arguments in (
            ("link", "set", "lo", "up"),
            ("address", "add", f"{self.node}/24", "dev", inside),
            ("link", "set", inside, "up"),
            ("route", "add", "default", "via", self.machine),
        ):
            run("ip", "-n", self.namespace, *arguments)
        for network in (self.pods, self.services):
            run("ip", "route", "add", network, "via", self.node)
        run(*self.enter, "sysctl", "-qw", "net.ipv4.ip_forward=1")

    def remove(self) -> None:
        """Delete the namespace, the wire and with it the routes; nothing if they are gone."""
        run("ip", "link", "delete", self.wire, check=False)
        if self.exists():
            run("ip", "netns", "delete", self.namespace)

    def leftovers(self) -> Iterator[str]:
        """What is still there, in words."""
        if self.exists():
            yield f"network namespace {self.namespace}"
        links = json.loads(run("ip", "-json", "link", "show") or "[]")
        yield from (f"interface {one['ifname']}" for one in links if one["ifname"] == self.wire)
        yield from (f"route {one}" for one in self._routes_in_use())

    def _routes_in_use(self) -> list[str]:
        """Routes of the machine into this slot's ranges, whoever made them."""
        ours = {self.pods, self.services, f"10.99.{self.slot}.0/24"}
        routes = json.loads(run("ip", "-json", "route", "show") or "[]")
        return [one["dst"] for one in routes if one["dst"] in ours]


def claim(name: str) -> Network:
    """The network of a cluster: its own slot if it has one, else the lowest free one.

    Raises:
        HarnessError: Sixteen clusters exist already.
    """
    slots = paths.clusters() / ".slots"
    slots.mkdir(parents=True, exist_ok=True)
    found = lookup(name)
    if found is not None:
        return found
    for slot in range(SLOTS):
        try:
            taken = os.open(slots / str(slot), os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            continue
        with os.fdopen(taken, "w") as file:
            file.write(name)
        return Network(name, slot)
    raise HarnessError(
        f"{SLOTS} clusters exist, which is all there are addresses for; "
        "`python -m support.cluster status` lists them, `down --name NAME` removes one"
    )


def lookup(name: str) -> Network | None:
    """The network of a cluster that has a slot."""
    return next((one for one in claimed() if one.name == name), None)


def claimed() -> list[Network]:
    """The networks of all clusters that exist, running or half removed."""
    return [
        Network(file.read_text(), int(file.name))
        for file in sorted((paths.clusters() / ".slots").glob("[0-9]*"))
    ]


def release(network: Network) -> None:
    """Give the slot back; the last thing `down` does."""
    (paths.clusters() / ".slots" / str(network.slot)).unlink(missing_ok=True)
