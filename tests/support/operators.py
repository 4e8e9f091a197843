"""A real operator process against a real API server, and workers that exist only as reports.

Used by tests/cluster/test_operator_*.py. Pods need a kubelet; here a pod is the object that the
controllers made, marked as running at 127.0.0.1, where one small HTTP server answers for all.
"""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from intops_api.report import LastWords
from support.cluster.controlplane import ControlPlane
from support.cluster.polling import HarnessError, until

NAMESPACE = "intops-system"

TREE = Path(__file__).resolve().parents[2]
EXAMPLE = TREE / "examples" / "01-alerts-to-helpdesk"
FLOW = "alerts-to-helpdesk"
CHILD = f"intops-{FLOW}"

QUICK = (
    "--lease-duration=4", "--lease-renew=2.5", "--lease-retry=0.3", "--report-interval=0.5",
    "--no-report-after=5", "--status-rate=50", "--counters-interval=2", "--drain=0",
)  # fmt: skip
"""Flags that make a test quick; the defaults are tested by what they mean, not by waiting."""


RUNNING: dict[str, Any] = {
    "phase": "Running",
    "podIP": "127.0.0.1",
    "podIPs": [{"ip": "127.0.0.1"}],
    "startTime": "2026-01-01T00:00:00Z",
    "conditions": [{"type": "Ready", "status": "True"}],
    "containerStatuses": [
        {
            "name": "worker",
            "image": "test",
            "imageID": "",
            "ready": True,
            "started": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
        }
    ],
}
"""The status of a pod that kubelet runs, at the address of the report server."""


class ReportServer:
    """Answers `/report` for every fake worker with what the test put into `plans`."""

    def __init__(self) -> None:
        self.plans: dict[tuple[str, str], dict[str, Any]] = {}
        self.left: dict[str, int] = {}
        self.asked = 0
        self.silent = False
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                if outer.silent or self.path != "/report":
                    self.send_error(503)
                    return
                body = json.dumps(outer.report()).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing to say."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def report(self) -> dict[str, Any]:
        """The FlowReport as it is now."""
        return {
            "schema": 1,
            "worker": "w",
            "version": "test",
            "startedAt": "2026-01-01T00:00:00Z",
            "at": "2026-01-01T00:00:00Z",
            "plans": list(self.plans.values()),
            "left": self.left,
        }

    def say(self, namespace: str, flow: str, **plan: Any) -> None:
        """Report `plan` for one Flow from now on."""
        self.plans[namespace, flow] = {"flow": {"namespace": namespace, "name": flow}, **plan}

    def leave(self, namespace: str, flow: str, left: int) -> None:
        """Report from now on that a Flow is not run any more, and what its store holds."""
        del self.plans[namespace, flow]
        self.left[f"{namespace}/{flow}"] = left

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@dataclass(slots=True)
class OperatorProcess:
    """One replica."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    ports: dict[str, int] = field(default_factory=dict)

    def fetch(self, path: str) -> tuple[int, str]:
        """Status and text of one of its health endpoints; status 0 if nobody listens."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.ports['health']}{path}", timeout=5
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        total = 0.0
        for line in self.fetch("/metrics")[1].splitlines():
            if line.startswith((f"{name} ", f"{name}{{")):
                total += float(line.rpartition(" ")[2])
        return total

    def leads(self) -> bool:
        """Whether it says that it leads."""
        return self.metric("intops_operator_leader") == 1.0

    def events(self) -> list[dict[str, Any]]:
        """What it logged."""
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def tail(self) -> str:
        """The last of its log, for an error message."""
        return self.log.read_text()[-3000:]

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """End it orderly; its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(timeout=20)


@contextmanager
def operator(
    plane: ControlPlane,
    folder: Path,
    name: str,
    *flags: str,
    kubeconfig: Path | None = None,
    times: Sequence[str] = QUICK,
    ready_s: float = 60.0,
) -> Iterator[OperatorProcess]:
    """Run a replica until the block ends; it is ready when the block begins. Without `times`: with the defaults."""
    log, ports = folder / f"{name}.log", folder / f"{name}.ports"
    ports.unlink(missing_ok=True)
    command = [
        sys.executable, "-W", "error::ResourceWarning", "-m", "intops_operator",
        f"--kubeconfig={kubeconfig or plane.kubeconfig}", f"--namespace={NAMESPACE}",
        f"--identity={name}", "--admission-host=127.0.0.1", "--admission-port=0",
        "--health-host=127.0.0.1", "--health-port=0", f"--ports-file={ports}",
        "--certificate-hosts=127.0.0.1", "--webhook-configuration=intops",
        "--worker-image=example.com/intops-worker:test", *times, *flags,
    ]  # fmt: skip
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=dict(os.environ))
    replica = OperatorProcess(name, process, log)

    def ready() -> bool:
        if process.poll() is not None:
            raise HarnessError(f"operator {name} ended\n{replica.tail()}")
        if not ports.exists():
            return False
        replica.ports = json.loads(ports.read_text())
        return replica.fetch("/readyz")[0] == 200

    try:
        until(ready, f"operator {name} to be ready", timeout_s=ready_s, explain=replica.tail)
        yield replica
    finally:
        replica.stop()


def running_pod(plane: ControlPlane, namespace: str, of: str, *, kind: str = "flow") -> str:
    """Wait for the pod of a Flow or of a pool and mark it as running where the report server is; its name."""
    kubectl = plane.kubectl
    selector = f"intops.io/{kind}={of}"

    def found() -> str | None:
        pods = kubectl.get("pods", "-n", namespace, "-l", selector)["items"]
        living = [p for p in pods if not p["metadata"].get("deletionTimestamp")]
        return str(living[0]["metadata"]["name"]) if living else None

    name = until(found, f"the pod of {kind} {of}", timeout_s=60, every_s=0.2)
    kubectl.run(
        "patch", "pod", name, "-n", namespace, "--subresource=status", "--type=merge",
        "-p", json.dumps({"status": RUNNING}),
    )  # fmt: skip
    return name


def run_pod(plane: ControlPlane, space: str, selector: str, to: str) -> str:
    """Mark the one pod of a selector as running on a node, where the report server is; its name."""

    def found() -> str | None:
        pods = plane.kubectl.get("pods", "-n", space, "-l", selector)["items"]
        living = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
        return str(living[0]["metadata"]["name"]) if living else None

    name = until(found, f"a pod of {selector}", timeout_s=60, every_s=0.2)
    bind(plane, space, name, to)
    plane.kubectl.run(
        "patch", "pod", name, "-n", space, "--subresource=status", "--type=merge",
        "-p", json.dumps({"status": RUNNING}),
    )  # fmt: skip
    return name


def documents(name: str) -> list[dict[str, Any]]:
    """Manifests of one file of the example."""
    return [doc for doc in yaml.safe_load_all((EXAMPLE / name).read_text()) if doc]


def namespace(name: str) -> dict[str, Any]:
    """A Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def install_kinds(plane: ControlPlane) -> None:
    """Make our kinds and the operator's namespace, where they are not there yet."""
    for crd in sorted((TREE / "crds").glob("*.yaml")):
        plane.kubectl.run("apply", "--server-side", "-f", str(crd))
    plane.kubectl.run("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    plane.kubectl.apply(namespace(NAMESPACE))


def apply(plane: ControlPlane, space: str, *files: str) -> None:
    """Apply files of the example into a namespace, as a person would."""
    for file in files:
        for doc in documents(file):
            placed = {**doc, "metadata": {**doc["metadata"], "namespace": space}}
            plane.kubectl.apply(placed)


def condition(found: dict[str, Any], kind: str) -> dict[str, Any]:
    """One condition of an object; empty if it has none."""
    listed = found.get("status", {}).get("conditions", [])
    return next((c for c in listed if c["type"] == kind), {})


def await_condition(
    plane: ControlPlane,
    space: str,
    kind: str,
    status: str,
    reason: str,
    *,
    of: str = f"flow/{FLOW}",
) -> dict[str, Any]:
    """Wait for a condition and return the object."""

    def holds(found: dict[str, Any]) -> bool:
        now = condition(found, kind)
        return (now.get("status"), now.get("reason")) == (status, reason)

    return plane.kubectl.wait(
        holds, of, "-n", space, what=f"{kind} {status} {reason} of {of}", timeout_s=40
    )


def healthy(
    plane: ControlPlane, workers: ReportServer, space: str, **report: Any
) -> dict[str, Any]:
    """Bring the example to a running worker that reports `report`; the Flow."""
    apply(plane, space, "connectors.yaml", "mappings.yaml", "flow.yaml")
    running_pod(plane, space, FLOW)
    flow = plane.kubectl.wait(
        lambda found: bool(found.get("status", {}).get("configHash")),
        f"flow/{FLOW}", "-n", space, what="a plan",
    )  # fmt: skip
    workers.say(space, FLOW, active=flow["status"]["configHash"], **report)
    return flow


def node(name: str) -> dict[str, Any]:
    """A Node that no kubelet serves."""
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}


def bind(plane: ControlPlane, space: str, pod: str, to: str) -> None:
    """Give a pod a node, as a scheduler does: from then on its deletion takes its grace time."""
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": pod, "namespace": space},
        "target": {"apiVersion": "v1", "kind": "Node", "name": to},
    }
    plane.kubectl.run(
        "create", "--raw", f"/api/v1/namespaces/{space}/pods/{pod}/binding", "-f", "-",
        given=json.dumps(binding),
    )  # fmt: skip


def end(plane: ControlPlane, space: str, pod: str, words: LastWords) -> None:
    """Say what a worker has said at its end, as kubelet does."""
    terminated = {
        "exitCode": 0,
        "startedAt": "2026-01-01T00:00:00Z",
        "finishedAt": "2026-01-01T01:00:00Z",
        "message": words.model_dump_json(),
    }
    container = {
        "name": "worker", "image": "test", "imageID": "", "ready": False, "restartCount": 0,
        "state": {"terminated": terminated},
    }  # fmt: skip
    plane.kubectl.run(
        "patch", "pod", pod, "-n", space, "--subresource=status", "--type=merge",
        "-p", json.dumps({"status": {"phase": "Succeeded", "containerStatuses": [container]}}),
    )  # fmt: skip
