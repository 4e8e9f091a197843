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
    scripts = Path(sys.executable).parent
    return subprocess.run(
        [str(binaries.path("kubectl")), "intops", *arguments],
        capture_output=True, text=True, timeout=120, check=False, cwd=folder,
        env={**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}", "KUBECONFIG": str(kubeconfig)},
    )  # fmt: skip
