"""`make demo`: the main job on this machine, without a cluster: alerts in, tickets out, an outage survived.

Starts the helpdesk simulator and `intops run` as processes of their own, plays captured Alertmanager
webhooks against them, tells what happens, and leaves nothing running.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from intops_api.kinds import FLOW
from intops_api.report import FlowReport
from intops_cli.columns import object_table
from intops_cli.local_state import LocalState, local_state
from intops_cli.output import Table, render, uses_colour
from intops_cli.session import Session
from intops_cli.worker_client import WorkerClient, WorkerUnavailable
from support.ports import free_port
from support.simulators.launcher import HelpdeskSimulator

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "examples" / "01-alerts-to-helpdesk"
STATE = REPOSITORY / ".intops" / "demo"
# Tokens of the example's Secret manifests.
DESK_TOKEN = "change-me-to-the-token-of-the-desk"
SOURCE_TOKEN = "change-me-to-32-random-characters"
FLOW_NAME = "alerts-to-helpdesk"
LIMIT_S = 55.0


class DemoFailed(Exception):
    """Something did not happen in time; the text says what."""


class Demo:
    """One showing."""

    def __init__(self) -> None:
        self.colour = uses_colour(sys.stdout)
        self.session = Session(STATE)
        self.port = free_port("127.0.0.1")
        self.desk = HelpdeskSimulator(token=DESK_TOKEN)
        self.worker: subprocess.Popen[bytes] | None = None
        self.deadline = time.monotonic() + LIMIT_S
        self.known: LocalState | None = None
        self._shown = ""

    def say(self, words: str) -> None:
        """A heading of the story."""
        bold, plain = ("\x1b[1m", "\x1b[0m") if self.colour else ("", "")
        print(f"\n{bold}▸ {words}{plain}", flush=True)

    def play(self) -> None:
        """The whole story."""
        shutil.rmtree(STATE, ignore_errors=True)
        self.say(
            "A helpdesk (simulator of Request Tracker, a process of its own) and `intops run` start."
        )
        self.desk.start()
        self.start_worker()
        print(f"  $ intops run examples/01-alerts-to-helpdesk --endpoint helpdesk={self.desk.url}")
        self.show()

        self.say("Alertmanager reports: a target of the payments service is down.")
        self.post("01-firing.json")
        self.until(lambda: len(self.tickets()) == 1, "the ticket is there")
        self.show()
        self.tell_tickets()

        self.say(
            "Alertmanager repeats itself, as it does every few minutes. The repeat is recognised."
        )
        self.post("01-firing.json")
        self.until(lambda: self.dropped().get("duplicate", 0) == 1, "the repeat is recognised")
        print(f"  dropped as a duplicate: 1, tickets: {len(self.tickets())}")

        self.say("The target is back. The recovery resolves the ticket.")
        self.post("02-resolved.json")
        self.until(lambda: self.tickets()[0]["Status"] == "resolved", "the ticket is resolved")
        self.tell_tickets()

        self.say("The helpdesk goes down, and another alert fires. It is stored, then queued.")
        self.desk.stop()
        self.post("03-firing-other.json")
        self.until(self.is_not_ready, "the Flow says that the helpdesk is down")
        self.show()
        self.tell_ready()

        self.say("The helpdesk is back. The queue drains by itself.")
        self.desk.start()
        self.until(lambda: len(self.tickets()) == 2, "the queued ticket is there")
        self.until(lambda: not self.is_not_ready(), "the Flow is Ready again")
        self.show()
        self.tell_tickets()
        self.tell_ready()
        self.say("That was it. Nothing was lost:")
        self.tell_balance()

    def start_worker(self) -> None:
        """Start `intops run` and wait until its worker answers."""
        STATE.mkdir(parents=True, exist_ok=True)
        with (STATE / "run.log").open("wb") as log:
            self.worker = subprocess.Popen(
                [
                    sys.executable, "-m", "intops_cli", "run", str(EXAMPLE), "--quiet",
                    "--session", str(STATE), "--port", str(self.port),
                    "--endpoint", f"helpdesk={self.desk.url}",
                ],
                stdout=log, stderr=log,
            )  # fmt: skip
        self.until(lambda: self.state() is not None, "the worker answers")

    def state(self) -> LocalState | None:
        """What `intops get flows` sees."""
        if self.worker is not None and self.worker.poll() is not None:
            raise DemoFailed(f"`intops run` ended:\n{(STATE / 'run.log').read_text('utf-8')}")
        try:
            answer: dict[str, Any] = WorkerClient(self.session).ask("/report")
        except WorkerUnavailable:
            return None
        report = FlowReport.model_validate(answer)
        running = self.session.running()
        if self.known is None and running is not None:
            self.known = local_state(running, report, namespace="default")
        return replace(self.known, report=report) if self.known else None

    def flow(self) -> dict[str, Any]:
        """The Flow as `intops get flow -o json` shows it."""
        state = self.state()
        if state is None:
            raise DemoFailed("the worker does not answer any more")
        return state.objects(FLOW)[0]

    def is_not_ready(self) -> bool:
        """Whether the Flow says that something is wrong."""
        return bool(self.ready()["status"] == "False")

    def ready(self) -> dict[str, Any]:
        """The Ready condition."""
        conditions: list[dict[str, Any]] = self.flow()["status"]["conditions"]
        return next(c for c in conditions if c["type"] == "Ready")

    def dropped(self) -> dict[str, int]:
        """Messages that were dropped, by reason."""
        state = self.state()
        return dict(state.report.plans[0].store.dropped) if state else {}

    def tickets(self) -> list[dict[str, Any]]:
        """Tickets of the desk."""
        return self.desk.tickets()

    def post(self, sample: str) -> None:
        """Deliver one captured webhook, as Alertmanager would."""
        body = (EXAMPLE / "samples" / sample).read_bytes()
        url = f"http://127.0.0.1:{self.port}/in/default/{FLOW_NAME}/prometheus"
        headers = {"Authorization": f"Bearer {SOURCE_TOKEN}", "Content-Type": "application/json"}
        answer = httpx.post(url, content=body, headers=headers, timeout=10.0)
        alert = json.loads(body)["alerts"][0]
        print(
            f"  POST {sample} ({alert['labels']['alertname']}, {alert['status']}) → {answer.status_code}"
        )
        if answer.is_error:
            raise DemoFailed(f"capture answered {answer.status_code}")

    def show(self) -> None:
        """The table of `intops get flows`."""
        table = object_table(FLOW, [self.flow()]).cut(wide=False)
        print("  $ intops get flows")
        print(_indent(render(table, colour=self.colour)), flush=True)

    def tell_tickets(self) -> None:
        """Tickets as a person at the desk sees them."""
        rows = [
            [
                f"#{t['id']}",
                t["Status"],
                t["Queue"],
                t["Subject"],
                t["CustomFields"].get("Severity") or "",
            ]
            for t in self.tickets()
        ]
        print(
            _indent(render(Table(["TICKET", "STATUS", "QUEUE", "SUBJECT", "SEVERITY"], rows))),
            flush=True,
        )

    def tell_ready(self) -> None:
        """The sentence behind the Ready column."""
        ready = self.ready()
        print(f"  Ready={ready['status']} ({ready['reason']}): {ready['message']}", flush=True)

    def tell_balance(self) -> None:
        """The final table, and what to do next."""
        self.show()
        state = self.state()
        if state is not None:
            store = state.report.plans[0].store
            print(
                f"  received {store.received} = done {store.done} + dropped {sum(store.dropped.values())} "
                f"+ in flight {store.in_flight} + review {store.review} + discarded {store.discarded}"
            )
        self.tell_tickets()
        here = Path.cwd()
        state_folder = os.path.relpath(STATE, here)
        example = os.path.relpath(EXAMPLE, here)
        print(f"\nFiles: {state_folder} (store, log), {example} (manifests, samples)")
        print("Next:")
        print(f"  .venv/bin/intops validate {example}")
        print(f"  .venv/bin/intops explain mapping alertmanager-to-event --dir {example}")
        print(f"  .venv/bin/intops run {example} --endpoint helpdesk=https://your-rt.example.com")

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait for a fact, showing the table whenever it changes."""
        while not holds():
            if time.monotonic() > self.deadline:
                raise DemoFailed(f"this did not happen in time: {what}")
            self.refresh()
            time.sleep(0.2)

    def refresh(self) -> None:
        """Show the table again if it has changed."""
        state = self.state()
        if state is None or not sys.stdout.isatty():
            return
        table = render(object_table(FLOW, state.objects(FLOW)).cut(wide=False), colour=self.colour)
        if table != self._shown:
            self._shown = table
            print(_indent(table), flush=True)

    def close(self) -> None:
        """Stop everything that was started."""
        if self.worker is not None and self.worker.poll() is None:
            self.worker.send_signal(signal.SIGTERM)
            try:
                self.worker.wait(30)
            except subprocess.TimeoutExpired:
                self.worker.kill()
                self.worker.wait()
        self.desk.stop()
        shutil.rmtree(self.desk.workdir, ignore_errors=True)


def _indent(text: str) -> str:
    return "\n".join("  " + line for line in text.splitlines())


def main() -> int:
    """Entry point."""
    demo = Demo()
    try:
        demo.play()
    except DemoFailed as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    finally:
        demo.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
