"""End what a node leaves behind: containers, mounts, control groups, entries of the CNI cache.

onenode.py calls this after kubelet has stopped, and again to prove that nothing is left.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

from support.cluster.network import Network, run
from support.cluster.polling import until

CNI_RESULTS = Path("/var/lib/cni/results")
"""The CNI library's cache; its place cannot be configured in containerd 1.6."""

POD_LOG_LINKS = Path("/var/log/containers")
"""kubelet's symbolic links for log collectors; its place cannot be configured."""

KUBELET_SOCKET = Path("/var/lib/kubelet/device-plugins/kubelet.sock")
"""kubelet's socket for device plugins; its place cannot be configured."""

SHARED = (
    CNI_RESULTS,
    CNI_RESULTS.parent,
    POD_LOG_LINKS,
    KUBELET_SOCKET.parent,
    KUBELET_SOCKET.parent.parent,
    Path("/run/containerd/s"),
    Path("/run/containerd"),
)
"""Directories outside a cluster's own, inner before outer."""


def _processes() -> Iterator[tuple[int, int, str]]:
    """Every process as (id, parent, command line)."""
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((directory / "stat").read_text().rpartition(")")[2].split()[1])
            command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, ValueError):
            continue
        yield int(directory.name), parent, command


def shims(socket: Path) -> list[int]:
    """The containerd shims of one node, found by the address of its containerd."""
    return [
        pid
        for pid, _, command in _processes()
        if "containerd-shim-runc-v2" in command and f"-address {socket} " in command + " "
    ]


def end_containers(socket: Path, run_directory: Path) -> None:
    """Kill the containers of a node, then their shims, and remove their control groups.

    kubelet must have stopped, or it would start them again.

    Args:
        socket: Where the node's containerd listens.
        run_directory: containerd's `state`, which names the shims' sockets.
    """
    ours = shims(socket)
    groups: set[Path] = set()
    dying = [pid for pid, parent, _ in _descendants(ours)]
    for pid in dying:
        groups |= control_groups(pid)
        _kill(pid)
    # A shim reaps its containers: they have to be gone before it is.
    until(lambda: not any(map(_runs, dying)), "the containers to end", timeout_s=10)
    for pid in ours:
        _kill(pid)
    until(lambda: not shims(socket), "the containers' shims to end", timeout_s=10)
    for address in run_directory.glob("io.containerd.runtime.v2.task/*/*/address"):
        Path(address.read_text().removeprefix("unix://")).unlink(missing_ok=True)
    for group in groups:
        _remove_group(group)


def _descendants(roots: list[int]) -> list[tuple[int, int, str]]:
    everything = list(_processes())
    family = set(roots)
    while True:
        more = {pid for pid, parent, _ in everything if parent in family} - family
        if not more:
            return [one for one in everything if one[0] in family - set(roots)]
        family |= more


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def control_groups(pid: int) -> set[Path]:
    """The directories of a container process's own control groups, one a hierarchy."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return set()
    found = set()
    for line in lines:
        _, controllers, group = line.split(":", 2)
        # Only what a container runtime made: 64 hexadecimal digits are a container's id.
        if not re.search(r"/[0-9a-f]{64}$", group):
            continue
        name = controllers.removeprefix("name=") or "unified"
        for root in (Path("/sys/fs/cgroup") / name, Path("/sys/fs/cgroup")):
            if (root / group.lstrip("/")).is_dir():
                found.add(root / group.lstrip("/"))
    return found


def _remove_group(group: Path) -> None:
    def removed() -> bool:
        # Whoever is quicker: containerd removes groups of dead containers too.
        with contextlib.suppress(OSError):
            group.rmdir()
        return not group.exists()

    until(removed, f"the control group {group} to be empty", timeout_s=5)


def mounts_below(directory: Path) -> list[str]:
    """Mount points inside a directory, deepest first."""
    points = [point for point in _mount_points() if point.startswith(f"{directory}/")]
    return sorted(points, key=len, reverse=True)


def _mount_points() -> list[str]:
    """Every mount point of the machine; octal escapes as in proc(5) are resolved."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [
        re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), line.split()[4])
        for line in lines
    ]


def unmount_below(directory: Path) -> None:
    """Unmount everything inside a directory.

    Raises:
        HarnessError: Something stays mounted; the directory must not be deleted then.
    """

    def unmounted() -> bool:
        for point in mounts_below(directory):
            run("umount", point, check=False)
        return not mounts_below(directory)

    until(
        unmounted,
        f"everything below {directory} to be unmounted",
        timeout_s=15,
        every_s=0.2,
        explain=lambda: "still mounted: " + ", ".join(mounts_below(directory)),
    )


def forget_files_elsewhere(state: Path) -> None:
    """Remove what CNI, containerd and kubelet keep in fixed places of the machine."""
    for file in _files_elsewhere(state):
        file.unlink(missing_ok=True)


def forget_shared_places() -> None:
    """Remove directories that every cluster uses, once the last has gone.

    Only empty ones go: another container runtime of this machine may use them too.
    """
    KUBELET_SOCKET.unlink(missing_ok=True)
    groups = Path("/sys/fs/cgroup").glob("*/k8s.io")
    for directory in (*SHARED, *groups, Path("/sys/fs/cgroup/k8s.io")):
        with contextlib.suppress(OSError):
            directory.rmdir()
    # `ip netns add` mounts the directory on itself, and does so again when it needs it.
    names = Path("/run/netns")
    if str(names) in _mount_points() and not any(names.iterdir()):
        run("umount", str(names))


def _files_elsewhere(state: Path) -> list[Path]:
    # An entry names the pod's network namespace, which is mounted below the state directory.
    results = [file for file in CNI_RESULTS.glob("*") if f'"{state}/' in file.read_text()]
    links = [
        link
        for link in POD_LOG_LINKS.glob("*.log")
        if link.is_symlink() and os.readlink(link).startswith(f"{state}/")
    ]
    return results + links


def leftovers(network: Network, state: Path) -> list[str]:
    """Everything of a cluster that is still on the machine, in words; empty after `down`."""
    mine = os.getpid()
    found = [
        f"process {pid}: {command[:120]}"
        for pid, _, command in _processes()
        if f"{state}/" in command and pid != mine
    ]
    found += [f"mount {point}" for point in mounts_below(state)]
    found += [f"file {file}" for file in _files_elsewhere(state)]
    found += network.leftovers()
    if state.exists():
        found.append(f"directory {state}")
    return found


def delete_directory(state: Path) -> None:
    """Delete a cluster's directory, but never through a mount."""
    unmount_below(state)
    shutil.rmtree(state, ignore_errors=True)
    if state.exists():
        shutil.rmtree(state)
