"""Kinds of other operators, as their authors publish them: to see that real ones take what our chart makes.

`support.provision` calls `fetch`, and tests call the rest. The modules and their hashes are pinned here; Go
keeps what it has fetched, so all but the first call need no network.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from support.cluster import paths, toolchain
from support.cluster.polling import HarnessError


@dataclass(frozen=True, slots=True)
class Published:
    """A Go module with CRDs: its version, its hash, and the files in it."""

    module: str
    version: str
    sum: str
    folder: str
    files: tuple[str, ...]


MONITORING = Published(
    "github.com/prometheus-operator/prometheus-operator",
    "v0.79.2",
    "h1:H/HCiMS4dXQyiFHw28PFlWMh15YUraL3MFe8u7k7dGA=",
    "example/prometheus-operator-crd",
    tuple(
        f"monitoring.coreos.com_{kind}.yaml"
        for kind in ("podmonitors", "prometheusrules", "servicemonitors")
    ),
)
CERT_MANAGER = Published(
    "github.com/cert-manager/cert-manager",
    "v1.19.1",
    "h1:Txh8L/nLWTDcb7ZnXuXbTe15BxQnLbLirXmbNk0fGgY=",
    "deploy/crds",
    ("cert-manager.io_certificates.yaml", "cert-manager.io_issuers.yaml"),
)


def fetch() -> None:
    """Have everything that is published below.

    Raises:
        HarnessError: A module cannot be had, or is not the one that is pinned.
    """
    monitoring_kinds()
    certificate_kinds()


def monitoring_kinds() -> list[Path]:
    """Files with the CRDs of the Prometheus Operator that our chart uses.

    Raises:
        HarnessError: The module cannot be had, or is not the one that is pinned.
    """
    return _files(MONITORING)


def certificate_kinds() -> list[Path]:
    """Files with the CRDs of cert-manager that our chart uses. Its controllers are in no module that is served.

    Raises:
        HarnessError: The module cannot be had, or is not the one that is pinned.
    """
    return _files(CERT_MANAGER)


def _files(published: Published) -> list[Path]:
    where = f"{published.module}@{published.version}"
    home = paths.cache()
    home.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [str(toolchain.go()), "mod", "download", "-json", where],
        cwd=home,
        env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise HarnessError(f"{where} cannot be fetched: {(done.stderr or done.stdout)[-1000:]}")
    told = json.loads(done.stdout)
    if told["Sum"] != published.sum:
        raise HarnessError(f"{where} has the hash {told['Sum']}, not {published.sum}")
    return [Path(told["Dir"]) / published.folder / file for file in published.files]
