"""`intops run` as a process with a state folder of its own, and the commands beside it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[3]
EXAMPLE = REPOSITORY / "examples" / "01-alerts-to-helpdesk"
# Tokens of the example's Secret manifests.
SECRETS = [
    next(iter(found["stringData"].values()))
    for found in yaml.safe_load_all((EXAMPLE / "secrets.yaml").read_text(encoding="utf-8"))
]
SOURCE_TOKEN, DESK_TOKEN = SECRETS
PLAIN = {
    key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "INTOPS_SESSION")
}


def intops(*arguments: str, state: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run one command to its end, its output in pipes."""
    extra = {} if state is None else {"INTOPS_SESSION": str(state)}
    return subprocess.run(
        [sys.executable, "-m", "intops_cli", *arguments],
        capture_output=True, text=True, timeout=60, check=False, env={**PLAIN, **extra},
    )  # fmt: skip


class LocalRun:
    """One `intops run` with a state folder of its own."""

    def __init__(self, *arguments: str, folder: Path = EXAMPLE, state: Path | None = None) -> None:
        # A socket's path is short, and pytest's own folders are not.
        self.state = state or Path(tempfile.mkdtemp(prefix="intops-run-"))
        self.log = self.state / "run.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-m", "intops_cli", "run", str(folder),
                    "--session", str(self.state), "--port", "0", *arguments,
                ],
                stdout=log, stderr=log, env=PLAIN,
            )  # fmt: skip

    def marker(self) -> dict[str, Any] | None:
        """What the run notes about itself once it is up; fails with its output where it ended."""
        if self.process.poll() is not None:
            pytest.fail(f"`intops run` ended with {self.process.returncode}:\n{self.said()}")
        try:
            found: dict[str, Any] = json.loads((self.state / "worker.json").read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return found

    def said(self) -> str:
        """Everything that it printed."""
        return self.log.read_text(encoding="utf-8")

    def post(self, sample: str) -> int:
        """Deliver a captured webhook as Alertmanager would; returns the status."""
        return self.post_body((EXAMPLE / "samples" / sample).read_bytes())

    def post_body(self, body: bytes) -> int:
        """Deliver a body as Alertmanager would; returns the status."""
        port = (self.marker() or {})["capture_port"]
        answer = httpx.post(
            f"http://127.0.0.1:{port}/in/default/alerts-to-helpdesk/prometheus",
            content=body,
            headers={"Authorization": f"Bearer {SOURCE_TOKEN}"},
            timeout=10.0,
        )
        return answer.status_code

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One command about this run."""
        return intops(*arguments, state=self.state)

    def messages(self) -> list[dict[str, Any]]:
        """Messages by id."""
        found: list[dict[str, Any]] = json.loads(self.ask("messages", "-o", "json").stdout)
        return sorted(found, key=lambda message: int(message["id"]))

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it with a signal; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(40)

    def close(self) -> None:
        """End it and take its folder away."""
        try:
            self.end()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.state, ignore_errors=True)
