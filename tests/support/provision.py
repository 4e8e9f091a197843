"""Give a fresh machine what the suite needs: Debian packages, Kubernetes binaries, images.

`PYTHONPATH=tests python -m support.provision` is what `make test` runs first; it may be repeated
and then takes a second. What the machine cannot have is told by `why_not`, which is also what a
test prints that cannot run here.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from support import scanners
from support.cluster import binaries, foreign_kinds, gitops, images, onenode
from support.cluster.polling import HarnessError
from support.peers.postgresql import binaries as binaries_of_pg

NODE_PACKAGES = (
    "buildah", "ca-certificates", "conntrack", "containerd", "containernetworking-plugins",
    "debootstrap", "fuse-overlayfs", "git", "iproute2", "iptables", "nftables", "openssl", "procps",
    "runc", "util-linux",
)  # fmt: skip
"""Debian packages of a node and of its images."""

PEER_PACKAGES = (
    "duktape", "e2fsprogs", "icinga2-bin", "icinga2-common", "postgresql", "prometheus", "prometheus-alertmanager",
    "request-tracker5", "rt5-db-sqlite", "rt5-standalone", "starman", "strace",
)  # fmt: skip
"""Debian packages of the real systems that tests talk to, and of the tools that make faults."""

SHELL_PACKAGES = ("bash", "fish", "zsh")
"""Debian packages of the shells for which `intops completion` has a script."""

PRESEED = """\
request-tracker5 request-tracker5/dbconfig-install boolean true
request-tracker5 request-tracker5/database-type select sqlite3
request-tracker5 request-tracker5/handle-siteconfig-permissions boolean true
"""
"""Answers to the questions of Request Tracker's package: a database that needs no server."""

NODE_COMMANDS = ("containerd", "ctr", "runc", "ip", "nft", "nsenter", "buildah", "debootstrap")
PEER_COMMANDS = (
    "duk", "icinga2", "initdb", "prometheus", "prometheus-alertmanager", "starman", "rt-setup-database-5",
)  # fmt: skip

POLICY = Path("/usr/sbin/policy-rc.d")
"""Asked by Debian packages whether their services may start; 101 means no."""

PARTS = ("apt", "kube", "images")


def why_not(level: str) -> str | None:
    """Why this machine cannot run a level of tests, None if it can.

    Args:
        level: `api` (API server alone), `node` (a whole cluster), `peers` (real ITSM systems), `shells`.
    """
    match level:
        case "api":
            return _why_no_commands(("openssl", "git"))
        case "node":
            return onenode.why_not() or _why_no_commands(NODE_COMMANDS)
        case "peers":
            return _why_no_commands(PEER_COMMANDS)
        case "shells":
            return _why_no_commands(SHELL_PACKAGES)
        case _:
            raise HarnessError(f"there is no level {level!r}; there are api, node, peers, shells")


def _why_no_commands(commands: tuple[str, ...]) -> str | None:
    missing = [name for name in commands if _which(name) is None]
    if not missing:
        return None
    remedy = _why_no_apt() or "`PYTHONPATH=tests python -m support.provision --what apt` installs"
    return f"not installed: {', '.join(missing)} ({remedy})"


def _which(name: str) -> str | None:
    """Find a command, also where an unprivileged PATH does not look."""
    places = [
        os.environ.get("PATH", ""),
        "/usr/local/sbin",
        "/usr/sbin",
        "/sbin",
        *binaries_of_pg(),
    ]
    return shutil.which(name, path=":".join(places))


def _why_no_apt() -> str | None:
    if shutil.which("apt-get") is None:
        return "this machine has no apt; install them by its own means"
    if os.geteuid() != 0:
        return "installing Debian packages needs root"
    return None


def missing_packages(wanted: tuple[str, ...]) -> list[str]:
    """Those of the packages that dpkg does not know as installed."""
    done = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *wanted],
        capture_output=True,
        text=True,
        check=False,
    )
    installed = {
        line.split()[0] for line in done.stdout.splitlines() if line.split()[1:] == ["installed"]
    }
    return [name for name in wanted if name not in installed]


def provide_packages() -> None:
    """Install the Debian packages that are missing.

    Raises:
        HarnessError: apt failed; carries its last lines.
    """
    refusal = _why_no_apt()
    if refusal is not None:
        print(f"Debian packages: not installed, {refusal}")
        return
    missing = missing_packages(NODE_PACKAGES + PEER_PACKAGES + SHELL_PACKAGES)
    if not missing:
        print("Debian packages: all are there")
        return
    print(f"Debian packages: installing {', '.join(missing)}; one to three minutes")
    with services_kept_from_starting():
        _run(["debconf-set-selections"], given=PRESEED)
        _run(["apt-get", "update", "--quiet"])
        _run(["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *missing])


@contextlib.contextmanager
def services_kept_from_starting() -> Iterator[None]:
    """Keep packages from starting their services: the suite starts its own, on its own ports."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def _run(argv: list[str], *, given: str | None = None) -> None:
    done = subprocess.run(
        argv,
        input=given,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )
    if done.returncode != 0:
        shown = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise HarnessError(f"{argv[0]} failed:\n{shown}")


def provide_binaries() -> None:
    """Build the Kubernetes, etcd, helm, Flux and kube-score binaries that are missing; fetch kinds of others."""
    binaries.ensure()
    gitops.ensure()
    foreign_kinds.fetch()
    print(f"Kubernetes {binaries.version()}: {binaries.directory()}")
    print(f"kube-score: {scanners.ensure()}")


def provide_images() -> None:
    """Make the base and pause images if this machine can have a node."""
    refusal = why_not("node")
    if refusal is not None:
        print(f"images: not made, {refusal}")
        return
    print(f"images: {images.ensure_base()}, {images.ensure_pause()}")


PROVIDERS: dict[str, Callable[[], None]] = {
    "apt": provide_packages,
    "kube": provide_binaries,
    "images": provide_images,
}


def main(arguments: list[str] | None = None) -> int:
    """Provide the chosen parts and say what this machine cannot run; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m support.provision", description=__doc__)
    parser.add_argument(
        "--what", default=",".join(PARTS), help="parts, separated by commas; default: all"
    )
    chosen = parser.parse_args(arguments).what.split(",")
    unknown = [part for part in chosen if part not in PROVIDERS]
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}; there are {', '.join(PARTS)}")
    for part in chosen:
        began = time.monotonic()
        try:
            PROVIDERS[part]()
        except HarnessError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        print(f"{part}: done in {time.monotonic() - began:.0f} s")
    for level in ("api", "node", "peers", "shells"):
        refusal = why_not(level)
        print(f"tests of level {level}: {'can run' if refusal is None else refusal}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
