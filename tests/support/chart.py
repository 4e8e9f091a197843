"""Render helm/intops with values, as `helm template` does; the cluster level has helm."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import yaml

from support.cluster import binaries, paths
from support.cluster.polling import HarnessError

Manifest = dict[str, Any]
NAMESPACE = "intops-system"


def render(**values: Any) -> list[Manifest]:
    """Manifests of the chart with these values over its own.

    Raises:
        HarnessError: The values are refused, or a template fails; carries what helm says.
    """
    command = [
        str(binaries.path("helm")), "template", "intops", str(paths.TREE / "helm" / "intops"),
        "--namespace", NAMESPACE, "--kube-version", binaries.version(), "--values", "-",
    ]  # fmt: skip
    done = subprocess.run(
        command, input=json.dumps(values), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise HarnessError(done.stderr.strip()[-2000:])
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    """Those of one kind."""
    return [manifest for manifest in manifests if manifest["kind"] == kind]
