"""Canaries: recognisable secrets and personal data, planted where they belong, are seen nowhere else.

One worker goes through everything that makes programs talk: success, refusals, systems that quote what they were
sent, defects, logging of every detail, all questions of people, and an abort. The desk is the register of
tests/support, which hands out access tokens (OAuth 2).
"""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from intops_api.plan import FlowPlan
from support.peers.fault_proxy import FaultProxy
from support.peers.process import wait_until
from support.ports import free_port
from support.runtime.flows import EXAMPLE, change, make_plan
from support.runtime.local_run import PLAIN
from support.runtime.stage import register_behind_proxy
from support.runtime.status_watch import StatusWatch
from support.runtime.worker_process import WorkerProcess
from support.simulators.api_gate import ApiGate
from support.simulators.register import Register, Reply, manifests_for

pytestmark = pytest.mark.component

FIRING: dict[str, Any] = json.loads((EXAMPLE / "samples" / "01-firing.json").read_bytes())
CRASH = "a title that brings the worker's turn down"

SENDER = "canary-sender-7Qm2vX9kLp4ZrT8w"
SENDER_BEFORE = "canary-before-3Hn6yB1sDf5GjK0c"
GUESS = "canary-guessed-9Wd4tR7uIo2PaS6e"
CLIENT_SECRET = "canary/client+5Vb8nM3zXc1QwE6r="
ACCESS = "canary-access-2Ty5uJ8iKo9LpM4n"
IN_ADDRESS = "canary-address-6Fg3hJ2kLz8XcV5b"
PERSON = "Canary Jo Weatherby-Okonkwo"

CREDENTIALS = {
    "the sender's token": SENDER,
    "the sender's token before": SENDER_BEFORE,
    "a token that somebody guessed": GUESS,
    "the client's secret": CLIENT_SECRET,
    "an access token": ACCESS,
    "a password in an address": IN_ADDRESS,
}


def forms(value: str) -> set[bytes]:
    """The value as programs write it: plain, cut off, encoded for addresses, hex, and Base64 at each offset."""
    raw = value.encode()
    shifted = {base64.b64encode(b"x" * n + raw)[4 : -4 - n] for n in range(3)}
    half = raw[: len(raw) // 2]
    return {raw, half, quote(value, safe="").encode(), raw.hex().encode(), *shifted}


def seen(wanted: dict[str, str], places: dict[str, bytes]) -> list[str]:
    """Which canary is in which place, and between which words."""
    found = []
    for name, value in wanted.items():
        for place, text in places.items():
            at = max(text.find(form) for form in forms(value))
            if at >= 0:
                found.append(f"{name} in {place}: {text[max(at - 100, 0) : at + 40]!r}")
    return sorted(found)


def plan_for(endpoint: str) -> FlowPlan:
    """The first example against the register; what an alert describes is somebody's personal data."""
    manifests = manifests_for(endpoint, {})
    note = {"to": "note", "from": "description", "meaning": "What the reader should know."}
    change(
        manifests, "Mapping", "incident-to-helpdesk", lambda spec: spec["fields"].append(note)
    )  # fmt: skip
    change(
        manifests, "ConnectorClass", "register",
        lambda spec: spec["objects"]["case"]["fields"].update(note={"type": "string"}),
    )  # fmt: skip
    raw = make_plan(manifests).to_wire()
    for model in raw["blobs"]["models"].values():
        model["spec"]["fields"]["description"]["personal"] = True
    return FlowPlan.model_validate(raw)


@dataclass(slots=True)
class Scene:
    """A worker with its desk, and everything that has been read of it."""

    worker: WorkerProcess
    plan: FlowPlan
    register: Register
    proxy: FaultProxy
    console: int
    folder: Path
    places: dict[str, bytes] = field(default_factory=dict)

    async def post(self, name: str, *, token: str = SENDER, **changed: Any) -> int:
        """One alert about somebody; returns the status of the answer, which is read too."""
        alert = {
            **FIRING["alerts"][0], "fingerprint": name,
            "annotations": {"summary": name, "description": f"{PERSON} called"}, **changed,
        }  # fmt: skip
        return await self.post_raw(json.dumps({**FIRING, "alerts": [alert]}).encode(), token=token)

    async def post_raw(self, body: bytes, *, token: str = SENDER) -> int:
        async with httpx.AsyncClient(timeout=30) as client:
            answer = await client.post(
                self.worker.capture_url(self.plan),
                content=body,
                headers={"Authorization": f"Bearer {token}"},
            )
        self.keep("answers of capture", answer.content + str(answer.headers).encode())
        return answer.status_code

    def keep(self, place: str, text: bytes) -> None:
        """Add to what has been read."""
        self.places[place] = self.places.get(place, b"") + text + b"\n"

    async def read(self) -> None:
        """Ask every question that the worker answers, and what the operator would write of the answers."""
        for path in ("/report", "/metrics", "/readyz", "/healthz", "/nothing"):
            await self._ask(f"http://127.0.0.1:{self.worker.operations_port}{path}")
        base = f"http://127.0.0.1:{self.console}"
        rows = json.loads(await self._ask(f"{base}/messages?limit=1000"))
        paths = [f"/messages/{row['id']}{below}" for row in rows for below in ("", "/explain")]
        paths += [f"/trace?text={row['id']}" for row in rows]
        for path in (
            *paths,
            "/report",
            "/review",
            "/review/items",
            "/audit",
            "/shadow",
            "/record?text=C1",
        ):
            await self._ask(base + path)
        _, judged = await StatusWatch(self.worker, self.plan).look()
        self.keep("status", repr(judged).encode())

    async def _ask(self, url: str) -> bytes:
        async with httpx.AsyncClient(timeout=30) as client:
            answer = await client.get(url)
        self.keep("questions over HTTP", answer.content)
        return answer.content

    def ask_by_command(self) -> None:
        """The same through the `intops` command, as against a cluster."""
        flow = self.plan.flow.name
        gate = ApiGate({"intops-a-0": (self.plan.flow.name, self.console)})
        config = gate.kubeconfig(self.folder / "config")
        try:
            for words in (
                ["messages"], ["messages", "-o", "json"], ["trace", "C1"], ["trace", "refused", "-o", "yaml"],
                ["explain", "message", "1", "-o", "wide"], ["record", "show", "C1"], ["review", "list"],
                ["review", "show", "2"], ["review", "list", "-o", "json"], ["shadow", flow],
                ["audit", "verify", "--flow", flow], ["audit", "export", "--flow", flow],
                ["audit", "list", "--flow", flow],
            ):  # fmt: skip
                ended = subprocess.run(
                    [sys.executable, "-m", "intops_cli", *words, "--kubeconfig", str(config), "-n", "itsm"],
                    capture_output=True, timeout=180, check=False, env=PLAIN,
                )  # fmt: skip
                assert b"Traceback" not in ended.stderr, ended.stderr
                assert ended.returncode in (0, 1), (words, ended.stderr)
                self.keep("commands", ended.stdout + ended.stderr)
        finally:
            gate.stop()

    def read_files(self) -> None:
        """Everything that lies around afterwards, but for the Secrets themselves."""
        self.keep("log", self.worker.log_file.read_bytes())
        if self.worker.last_words.exists():
            self.keep("last words", self.worker.last_words.read_bytes())
        for file in sorted((self.worker.root / "data").rglob("*")):
            if file.is_file():
                self.keep("store", file.read_bytes())


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """Everything running, with every detail in the log."""
    async with register_behind_proxy() as (register, proxy):
        register.token_name = ACCESS
        plan = plan_for(proxy.url)
        secrets = {
            "alertmanager-token": {"token": SENDER, "token.previous": SENDER_BEFORE},
            "helpdesk-token": {"clientId": "intops", "clientSecret": CLIENT_SECRET},
        }
        with WorkerProcess(plan, secrets=secrets) as worker:
            console = free_port("127.0.0.1")
            worker.start(
                "--talkative", "--fail-on", CRASH,
                worker_flags=("--console-port", str(console)),
            )  # fmt: skip
            await asyncio.to_thread(worker.wait_ready)
            yield Scene(worker, plan, register, proxy, console, tmp_path)


async def settled(scene: Scene, **wanted: int) -> None:
    """Wait until so many messages are in these states."""

    def there() -> bool:
        store = scene.worker.report().store
        return store.pending == 0 and all(getattr(store, k) == v for k, v in wanted.items())

    await asyncio.to_thread(wait_until, there, what=f"the store has {wanted}")


def quoting(method: str, record: dict[str, Any]) -> Reply | None:
    """The desk refuses, and quotes the record and the credential, as some systems do."""
    if method == "GET" or record.get("title") != "refused":
        return None
    basic = base64.b64encode(f"intops:{quote(CLIENT_SECRET, safe='')}".encode()).decode()
    words = f"no case for {record.get('note')}: client {CLIENT_SECRET} as {basic} with Bearer {ACCESS}-1"
    return Reply(422, {"message": words})


async def test_s32_no_secret_and_no_personal_data_is_seen_where_it_does_not_belong(
    scene: Scene,
) -> None:
    """Nor half of one: logs, store, console, commands, report, metrics, status and answers are searched."""
    scene.register.script = quoting
    assert await scene.post("delivered") == 200
    assert await scene.post("before", token=SENDER_BEFORE) == 200
    await settled(scene, done=2)

    assert await scene.post("guessed", token=GUESS) == 401
    assert await scene.post_raw(b"[" * 5000) == 400
    assert await scene.post_raw(b"{not json") == 200
    assert await scene.post("unplaced", labels={"severity": "purple"}) == 200
    assert await scene.post("refused") == 200
    assert await scene.post(CRASH) == 200
    await asyncio.to_thread(not_http, scene)
    await settled(scene, review=4)

    await scene.proxy.down()
    assert await scene.post("while the desk is away") == 200
    await settled(scene, in_flight=1)
    await scene.read()
    await scene.proxy.up()
    scene.register.live_tokens.clear()
    scene.register.token_answer = (401, {"error": CLIENT_SECRET, "error_description": ACCESS})
    await settled(scene, held=1)
    await scene.read()
    await asyncio.to_thread(scene.ask_by_command)

    scene.worker.signal(signal.SIGABRT)
    assert await asyncio.to_thread(scene.worker.wait, 20.0)
    scene.read_files()

    assert b"Fatal Python error: Aborted" in scene.places["log"]
    assert b'"level": "debug"' in scene.places["log"]
    assert b"refused" in scene.places["commands"]
    assert seen(CREDENTIALS, scene.places) == []
    elsewhere = {place: text for place, text in scene.places.items() if place != "store"}
    assert seen({"somebody's name": PERSON}, elsewhere) == []
    (control,) = seen({"the control": PERSON}, scene.places)
    assert control.startswith("the control in store")


def not_http(scene: Scene) -> None:
    """Bytes that are no request hold a credential too."""
    head = f"GET /in/{IN_ADDRESS}\x01 HTTP/1.1\r\nAuthorization: Bearer {GUESS}\r\nx y: {SENDER}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", scene.worker.capture_port), timeout=10) as link:
        link.sendall(head.encode())
        answer = b""
        while piece := link.recv(65536):
            answer += piece
    scene.keep("answers of capture", answer)
