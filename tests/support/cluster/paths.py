"""Where the harness keeps things: the tree it tests, the cache it fills, the state of one cluster.

Every module of this package asks here; nothing else knows a directory name.
"""

from __future__ import annotations

import os
from pathlib import Path

TREE = Path(__file__).resolve().parents[3]
"""The root of the source tree this harness belongs to."""

MODULES = Path(__file__).resolve().parent
"""Holds the Go modules `kube` and `etcd-helm`, which pin what is built."""


def cache() -> Path:
    """The project's cache: binaries, images, wheels. Survives `down` and `make clean`."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "intops"


def clusters() -> Path:
    """One directory a running cluster; `down` removes it whole."""
    return cache() / "cluster"
