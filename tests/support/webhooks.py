"""Manifests as the Helm chart renders them, for tests that have an API server but no node.

Used by tests/cluster: there no pod of the chart can run, so the operator is a process beside it and the API
server is told its address.
"""

from __future__ import annotations

import subprocess
from typing import Any

import yaml

from support.cluster import binaries, paths
from support.cluster.polling import HarnessError

Manifest = dict[str, Any]


def rendered(template: str, namespace: str, *flags: str) -> list[Manifest]:
    """What one file of the chart renders to.

    Args:
        template: Its name in `templates/`.
        namespace: Where the chart would be installed.
        flags: More flags of `helm template`, such as `--set-json=watchNamespaces=["itsm"]`.

    Raises:
        HarnessError: helm refused; carries what it said.
    """
    command = [
        str(binaries.path("helm")), "template", "intops", str(paths.TREE / "helm" / "intops"),
        "--namespace", namespace, "--kube-version", binaries.version(),
        "--show-only", f"templates/{template}", *flags,
    ]  # fmt: skip
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise HarnessError(f"helm template {template} failed: {done.stderr.strip()[-2000:]}")
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def webhook(name: str, port: int, space: str) -> Manifest:
    """The chart's ValidatingWebhookConfiguration, with an address instead of a Service.

    Args:
        name: Of the configuration, which the operator is told by a flag.
        port: Where the operator's admission endpoint listens on loopback.
        space: The one namespace whose objects are judged; cluster-scoped ones are judged always.
    """
    watched = f'--set-json=watchNamespaces=["{space}"]'
    found = rendered("admission.yaml", "intops-system", watched)
    (made,) = [one for one in found if one["kind"] == "ValidatingWebhookConfiguration"]
    made["metadata"]["name"] = name
    for hook in made["webhooks"]:
        path = hook["clientConfig"].pop("service")["path"]
        hook["clientConfig"]["url"] = f"https://127.0.0.1:{port}{path}"
    return made
