"""Build kube-apiserver and its companions from their pinned Go modules, once a machine.

`path("kubectl")` is what everybody else asks; `support.provision` calls `ensure()`. What is built
is decided by go.mod and go.sum alone: their hash names the directory, so another pin is another
directory and an old one is never taken for a new one. `INTOPS_KUBERNETES=oldest` chooses the oldest
Kubernetes that intops supports instead of the newest; etcd and helm stay the same.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from support.cluster import paths, toolchain
from support.cluster.polling import HarnessError

CHOICES = {"newest": "kube", "oldest": "kube-oldest"}
"""What `INTOPS_KUBERNETES` may say → the module folder that pins that version."""
CHOSEN = os.environ.get("INTOPS_KUBERNETES", "newest")
if CHOSEN not in CHOICES:
    raise HarnessError(f"INTOPS_KUBERNETES={CHOSEN} is none of {', '.join(CHOICES)}")
NEWEST, KUBE = paths.MODULES / CHOICES["newest"], paths.MODULES / CHOICES[CHOSEN]
ETCD_HELM = paths.MODULES / "etcd-helm"

PACKAGES: dict[str, tuple[Path, str]] = {
    **{
        name: (KUBE, f"k8s.io/kubernetes/cmd/{name}")
        for name in (
            "kube-apiserver",
            "kubectl",
            "kube-controller-manager",
            "kube-scheduler",
            "kubelet",
            "kube-proxy",
        )
    },
    "etcd": (ETCD_HELM, "go.etcd.io/etcd/server/v3"),
    "helm": (ETCD_HELM, "helm.sh/helm/v3/cmd/helm"),
}
"""Binary → the module folder that pins it, and its main package. In the order of building."""


def version(kube: Path = KUBE) -> str:
    """The Kubernetes version that a module folder pins, as `v1.36.3`.

    Raises:
        HarnessError: go.mod names none.
    """
    found = re.search(
        r"^\s*(?:require\s+)?k8s\.io/kubernetes (v\S+)", (kube / "go.mod").read_text(), re.MULTILINE
    )
    if found is None:
        raise HarnessError(f"{kube / 'go.mod'} requires no k8s.io/kubernetes")
    return found[1]


def directory(kube: Path = KUBE) -> Path:
    """Where the binaries of the pins of a module folder are, built or not."""
    pins = hashlib.sha256()
    for module in (kube, ETCD_HELM):
        for name in ("go.mod", "go.sum"):
            pins.update((module / name).read_bytes())
    return paths.cache() / "kube" / f"{version(kube)}-{pins.hexdigest()[:12]}"


def _home(name: str) -> Path:
    """etcd and helm are built once, beside the newest Kubernetes."""
    return directory(KUBE if PACKAGES[name][0] == KUBE else NEWEST)


def missing() -> list[str]:
    """Names of the binaries that are not built yet."""
    return [name for name in PACKAGES if not (_home(name) / name).exists()]


def path(name: str) -> Path:
    """The path of one binary, e.g. `path("kubectl")`.

    Raises:
        HarnessError: It is not built, or is none of ours.
    """
    if name not in PACKAGES:
        raise HarnessError(f"{name} is not built by this harness; it has {', '.join(PACKAGES)}")
    found = _home(name) / name
    if not found.exists():
        raise HarnessError(
            f"{name} {version()} is not built yet; run "
            "`PYTHONPATH=tests python -m support.provision --what kube` (about 12 minutes, once)"
        )
    return found


def ensure(say: Callable[[str], None] = print) -> None:
    """Build what is missing; at once if nothing is.

    Two callers at a time do not build twice: the second waits for the first.

    Raises:
        HarnessError: A build failed; carries the last lines of the compiler.
    """
    if not missing():
        return
    home = directory()
    for name in PACKAGES:
        _home(name).mkdir(parents=True, exist_ok=True)
    with (home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = missing()
        if not wanted:
            return
        go = toolchain.go()
        say(
            f"building {len(wanted)} programs of Kubernetes {version()} into {home}; "
            "about 12 minutes on two cores the first time, never again for these versions"
        )
        for number, name in enumerate(wanted, start=1):
            began = time.monotonic()
            say(f"  [{number}/{len(wanted)}] {name} ...")
            _build(go, name, _home(name))
            say(f"  [{number}/{len(wanted)}] {name}: {time.monotonic() - began:.0f} s")


def _build(go: Path, name: str, home: Path) -> None:
    module, package = PACKAGES[name]
    flags = ["-s", "-w"]
    if module == KUBE:
        # Without these the server calls itself v0.0.0 and clients refuse the version skew.
        major, minor = version()[1:].split(".")[:2]
        for key, value in (
            ("gitVersion", version()),
            ("gitMajor", major),
            ("gitMinor", minor),
        ):
            flags += ["-X", f"k8s.io/component-base/version.{key}={value}"]
    partial = home / f".{name}.partial"
    done = subprocess.run(
        [str(go), "build", "-ldflags", " ".join(flags), "-o", str(partial), package],
        cwd=module,
        # The toolchain is what was chosen, not what some go.mod would like to download.
        env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise HarnessError(
            f"go build of {name} failed:\n" + "\n".join(done.stderr.splitlines()[-15:])
        )
    partial.rename(home / name)
