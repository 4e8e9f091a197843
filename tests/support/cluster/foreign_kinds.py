"""Kinds of other operators, as their authors publish them: to see that real ones take what our chart makes.

`support.provision` calls `monitoring_kinds`, and so do tests. The module and its hash are pinned here; Go
keeps what it has fetched, so all but the first call need no network.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from support.cluster import paths, toolchain
from support.cluster.polling import HarnessError

MODULE = "github.com/prometheus-operator/prometheus-operator"
VERSION = "v0.79.2"
SUM = "h1:H/HCiMS4dXQyiFHw28PFlWMh15YUraL3MFe8u7k7dGA="
KINDS = ("podmonitors", "prometheusrules", "servicemonitors")


def monitoring_kinds() -> list[Path]:
    """Files with the CRDs of the Prometheus Operator that our chart uses.

    Raises:
        HarnessError: The module cannot be had, or is not the one that is pinned.
    """
    home = paths.cache()
    home.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [str(toolchain.go()), "mod", "download", "-json", f"{MODULE}@{VERSION}"],
        cwd=home,
        env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise HarnessError(f"{MODULE} cannot be fetched: {(done.stderr or done.stdout)[-1000:]}")
    told = json.loads(done.stdout)
    if told["Sum"] != SUM:
        raise HarnessError(f"{MODULE} {VERSION} has the hash {told['Sum']}, not {SUM}")
    folder = Path(told["Dir"]) / "example" / "prometheus-operator-crd"
    return [folder / f"monitoring.coreos.com_{kind}.yaml" for kind in KINDS]
