"""`kubectl intops ...` as a person types it: the real kubectl, which finds the plugin in PATH.

Used by tests/cluster.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.cluster import binaries


def kubectl_intops(
    *arguments: str, kubeconfig: Path, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """One command to its end, with the kubeconfig in the environment, as kubectl has it too."""
    return kubectl("intops", *arguments, kubeconfig=kubeconfig, folder=folder)


def kubectl(
    *arguments: str, kubeconfig: Path, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """kubectl with the plugin in its PATH."""
    scripts = Path(sys.executable).parent
    return subprocess.run(
        [str(binaries.path("kubectl")), *arguments],
        capture_output=True, text=True, timeout=120, check=False, cwd=folder,
        env={**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}", "KUBECONFIG": str(kubeconfig)},
    )  # fmt: skip


def as_plugin(*arguments: str, state: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The plugin as kubectl would start it, where no kubeconfig is."""
    extra = {} if state is None else {"INTOPS_SESSION": str(state)}
    return subprocess.run(
        [str(Path(sys.executable).parent / "kubectl-intops"), *arguments],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "KUBECONFIG": os.devnull, **extra},
    )  # fmt: skip
