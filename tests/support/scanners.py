"""kube-score, built once a machine from its pinned Go module: what it says of manifests, less what is answered.

Used by tests/cluster/test_scanners.py; `support.provision` calls `ensure`. A finding that does not apply has its
reason in `ANSWERED`; one that does not occur any more has to go from there.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import yaml

from support.cluster import paths, toolchain
from support.cluster.polling import HarnessError

MODULE: Final = paths.MODULES / "kube-score"
PACKAGE: Final = "github.com/zegl/kube-score/cmd/kube-score"
BAD: Final = 7
"""Grades above are fine: 1 is critical, 5 a warning, 7 almost, 10 all well."""

ANSWERED: Final[dict[tuple[str, str], str]] = {
    ("*", "CPU limit is not set"): (
        "A limit would hold the process back in the middle of a commit although the node has time to spare, and "
        "senders wait for that commit; the request says what it gets in any case."
    ),
    ("*", "Ephemeral Storage limit is not set"): (
        "The root is read-only, and each emptyDir has a sizeLimit: nothing is left that could grow."
    ),
    ("*", "Ephemeral Storage request is not set"): "See the limit.",
    ("*", "ImagePullPolicy is not set to Always"): (
        "A value of the chart; released images are named by version and never change, so a node that has one needs "
        "no registry to start a worker again."
    ),
    ("intops-test", "The pod does not have a matching NetworkPolicy"): (
        "The pod of `helm test` lives for seconds, listens on nothing and asks the API server once."
    ),
    ("intops-alerts-to-helpdesk", "Deployment few replicas"): (
        "The embedded store has one writer; with PostgreSQL there are more."
    ),
    ("intops-alerts-to-helpdesk", "Deployment update strategy"): (
        "Recreate, for the same reason: two pods on one volume would be two writers."
    ),
}
"""Name of an object, or `*`, and words of a finding → why it stays."""


def binary() -> Path:
    """Where the program of this tree's pin is, built or not."""
    pins = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        pins.update((MODULE / name).read_bytes())
    return paths.cache() / "scanners" / pins.hexdigest()[:12] / "kube-score"


def ensure() -> Path:
    """Build it if it is missing; half a minute, once.

    Raises:
        HarnessError: The build failed; carries the last lines of the compiler.
    """
    wanted = binary()
    wanted.parent.mkdir(parents=True, exist_ok=True)
    with (wanted.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not wanted.exists():
            partial = wanted.with_name(".partial")
            done = subprocess.run(
                [str(toolchain.go()), "build", "-ldflags", "-s -w", "-o", str(partial), PACKAGE],
                cwd=MODULE, capture_output=True, text=True, check=False,
                env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"},
            )  # fmt: skip
            if done.returncode != 0:
                raise HarnessError(f"kube-score: {done.stderr.strip()[-1500:]}")
            partial.rename(wanted)
    return wanted


def findings(manifests: Iterable[dict[str, Any]]) -> list[tuple[str, str]]:
    """Name of the object and words of each finding that kube-score has of manifests."""
    given = yaml.safe_dump_all(list(manifests))
    done = subprocess.run(
        [
            str(ensure()), "score", "--output-format", "json",
            "--enable-optional-test", "container-seccomp-profile", "-",
        ],
        input=given, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode not in (0, 1):
        raise HarnessError(f"kube-score ended with {done.returncode}: {done.stderr[-500:]}")
    found = set()
    for scored in json.loads(done.stdout):
        name = scored["object_meta"]["name"]
        for check in scored["checks"]:
            if check["skipped"] or check["grade"] >= BAD:
                continue
            words = [comment["summary"] for comment in check["comments"] or []]
            found |= {(name, said) for said in words or [check["check"]["name"]]}
    return sorted(found)


def answer(finding: tuple[str, str]) -> tuple[str, str] | None:
    """The entry of `ANSWERED` that says why a finding stays; None if nothing does."""
    name, words = finding
    return next((key for key in ((name, words), ("*", words)) if key in ANSWERED), None)
