"""Receives webhooks on a free port, keeps what came, and answers as a test wants.

Used by tests that must see what a real sender does, such as Alertmanager's repeats.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from support.peers.process import wait_until


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it arrived, and what was answered."""

    at: float
    """Seconds since the epoch."""
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    answered: int

    def json(self) -> Any:
        """Return the body as parsed JSON."""
        return json.loads(self.body)


class WebhookCapture:
    """An HTTP receiver that remembers every POST.

    Args:
        bind: Address to listen on.
        answers: Statuses for the first requests, in order; 200 after them.
    """

    def __init__(self, *, bind: str = "127.0.0.1", answers: tuple[int, ...] = ()) -> None:
        self._answers = list(answers)
        self._received: list[Received] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer((bind, 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self.url = f"http://{bind}:{self._server.server_address[1]}"

    @property
    def received(self) -> list[Received]:
        """Everything that came so far, oldest first."""
        with self._lock:
            return list(self._received)

    def answer_next(self, *statuses: int) -> None:
        """Answer the next requests with these statuses, then 200 again."""
        with self._lock:
            self._answers.extend(statuses)

    def wait_for(self, count: int, *, timeout_s: float = 20.0) -> list[Received]:
        """Wait until at least `count` requests came and return all of them."""
        return wait_until(
            lambda: self.received if len(self.received) >= count else None,
            what=f"{count} webhooks arrived",
            timeout_s=timeout_s,
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        with self._lock:
            status = self._answers.pop(0) if self._answers else 200
            self._received.append(Received(time.time(), path, headers, body, status))
        return status

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        take = self._take

        class Handler(BaseHTTPRequestHandler):
            """Reads one POST and hands it to the capture."""

            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                status = take(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Stay quiet: the test asserts on what was received."""

        return Handler
