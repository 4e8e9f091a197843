"""Talk to a cluster as one user: kubeconfig files, and kubectl with its errors made readable.

Used by the harness itself, by tests, and by whoever got a kubeconfig from `up`.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.cluster import binaries
from support.cluster.certificates import Authority, Pair
from support.cluster.polling import HarnessError, until

Manifest = dict[str, Any]


def write_kubeconfig(path: Path, server: str, authority: Authority, client: Pair) -> Path:
    """Write a kubeconfig that stands alone, certificates inside.

    It is JSON, which is YAML too; no YAML package is needed to make it.
    """

    def inline(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    cluster = {"server": server, "certificate-authority-data": inline(authority.ca.cert)}
    user = {
        "client-certificate-data": inline(client.cert),
        "client-key-data": inline(client.key),
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "intops",
        "clusters": [{"name": "intops", "cluster": cluster}],
        "users": [{"name": path.stem, "user": user}],
        "contexts": [{"name": "intops", "context": {"cluster": "intops", "user": path.stem}}],
    }
    text = json.dumps(config, indent=1)
    if not path.exists() or path.read_text() != text:
        # In one step: a program that is starting may read it at this moment.
        partial = path.with_name(f".{path.name}.partial")
        partial.touch(mode=0o600)
        partial.write_text(text)
        partial.replace(path)
    return path


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl as one user."""

    kubeconfig: Path

    def argv(self, *arguments: str) -> list[str]:
        """The command line, for those who run it themselves (`port-forward`, `logs -f`)."""
        return [str(binaries.path("kubectl")), "--kubeconfig", str(self.kubeconfig), *arguments]

    def try_run(
        self, *arguments: str, given: str | None = None, timeout_s: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """Run it and return whatever came out; for asking things that may be refused."""
        return subprocess.run(
            self.argv(*arguments),
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )

    def run(self, *arguments: str, given: str | None = None, timeout_s: float = 120.0) -> str:
        """Run it and return its output.

        Args:
            arguments: After `kubectl`.
            given: Standard input.
            timeout_s: Seconds.

        Raises:
            HarnessError: It failed; carries what it wrote to standard error.
        """
        done = self.try_run(*arguments, given=given, timeout_s=timeout_s)
        if done.returncode != 0:
            shown = " ".join(arguments)
            raise HarnessError(f"kubectl {shown} failed: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def get(self, *arguments: str) -> Manifest:
        """`kubectl get ... -o json`, parsed."""
        parsed: Manifest = json.loads(self.run("get", *arguments, "-o", "json"))
        return parsed

    def apply(self, *manifests: Manifest, field_manager: str = "harness") -> None:
        """Server-side apply of manifests given as values."""
        bundle = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.run(
            "apply",
            "--server-side",
            f"--field-manager={field_manager}",
            "-f",
            "-",
            given=json.dumps(bundle),
        )

    def wait(
        self,
        fact: Callable[[Manifest], bool],
        *arguments: str,
        what: str,
        timeout_s: float = 60.0,
    ) -> Manifest:
        """Wait until `kubectl get` of one object shows a fact, and return the object.

        Args:
            fact: True once the object is as awaited. It is not asked while there is no object.
            arguments: After `kubectl get`: kind, name, `-n namespace`.
            what: Ends the sentence "waited for ...".
            timeout_s: Seconds.

        Raises:
            HarnessError: Time is up; carries the last thing seen.
        """
        last: list[str] = []

        def seen() -> Manifest | None:
            done = self.try_run("get", *arguments, "-o", "json")
            last[:] = [(done.stdout or done.stderr)[-3000:]]
            if done.returncode != 0:
                return None
            found: Manifest = json.loads(done.stdout)
            return found if fact(found) else None

        return until(seen, what, timeout_s=timeout_s, every_s=0.2, explain=lambda: "".join(last))


def condition(kind: str, status: str = "True") -> Callable[[Manifest], bool]:
    """A fact for `wait`: the object has this condition, and about its present generation."""

    def holds(found: Manifest) -> bool:
        state = found.get("status", {})
        current = found["metadata"].get("generation")
        observed = state.get("observedGeneration", current)
        return observed == current and any(
            one["type"] == kind and one["status"] == status for one in state.get("conditions", [])
        )

    return holds


def tail_of_events(kubectl: Kubectl, arguments: Sequence[str] = ("-A",)) -> str:
    """The latest events, for an error message."""
    shown = kubectl.try_run("get", "events", *arguments, "--sort-by=.lastTimestamp").stdout
    return "\n".join(shown.splitlines()[-15:])
