"""Stands between the product and a peer, passes everything on, and remembers what was asked and answered.

Used where a test must count requests, such as that a refused token is not tried again and again.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx

# Headers of one connection; the rest of a message passes through.
HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host"})


@dataclass(frozen=True, slots=True)
class Relayed:
    """One request that went through; `at` is monotonic seconds."""

    at: float
    method: str
    path: str
    status: int
    retry_after: str | None


class Relay:
    """An HTTP server that hands each request to `target` and its answer back, unchanged."""

    def __init__(self, target: str) -> None:
        address = urlsplit(target)
        self._origin = f"{address.scheme}://{address.netloc}"
        self._seen: list[Relayed] = []
        self._client = httpx.Client(timeout=30.0, limits=httpx.Limits(max_connections=16))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}{address.path}"
        """What a Connector names as its endpoint."""

    @property
    def seen(self) -> list[Relayed]:
        """Every request so far, in the order of its answer."""
        return list(self._seen)

    def statuses(self) -> list[int]:
        """Statuses of the answers so far."""
        return [one.status for one in self._seen]

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
        self._client.close()

    def pass_on(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> httpx.Response:
        """Ask the target; the answer's bytes stay as they are."""
        at = time.monotonic()
        request = self._client.build_request(
            method, self._origin + path, headers=headers, content=body or None
        )
        answer = self._client.send(request, stream=True)
        raw = b"".join(answer.iter_raw())
        self._seen.append(
            Relayed(at, method, path, answer.status_code, answer.headers.get("Retry-After"))
        )
        kept = [(n, v) for n, v in answer.headers.multi_items() if n.lower() not in HOP_BY_HOP]
        answer.close()
        return httpx.Response(answer.status_code, headers=kept, stream=httpx.ByteStream(raw))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        relay = self

        class Handler(BaseHTTPRequestHandler):
            """Reads one request and writes the answer of the target."""

            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                kept = {n: v for n, v in self.headers.items() if n.lower() not in HOP_BY_HOP}
                answer = relay.pass_on(self.command, self.path, kept, body)
                raw = b"".join(answer.iter_raw())
                self.send_response_only(answer.status_code)
                for name, value in answer.headers.multi_items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def __getattr__(self, name: str) -> object:
                """Whatever the method, it is passed on."""
                if name.startswith("do_"):
                    return self._serve
                raise AttributeError(name)

            def log_message(self, format: str, *args: object) -> None:
                """Stay quiet: the test asserts on what was seen."""

        return Handler
