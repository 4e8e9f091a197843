"""An API server that knows lists and nothing else, for what the command line reads from a cluster.

Used by unit tests; anything that decides or stores is tested with a real one.
"""

import contextlib
import json
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Objects = Sequence[Mapping[str, Any]]


@contextlib.contextmanager
def lists_api(lists: Mapping[str, Objects], *, refused: Collection[str] = ()) -> Iterator[str]:
    """Its address while it answers: each path with its objects, chosen by labelSelector and metadata.name.

    Paths of `refused` are answered with 403.
    """

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(address.query).items()}
            found = lists.get(address.path)
            items = [one for one in found or () if _is_chosen(one, query)]
            body = json.dumps({"metadata": {}, "items": items, "message": "not there"}).encode()
            self.send_response(403 if address.path in refused else 404 if found is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing on standard error."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def _is_chosen(one: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    labels = one["metadata"].get("labels") or {}
    parts = [part for part in query.get("labelSelector", "").split(",") if part]
    wanted = dict(part.split("=") for part in parts)
    named = query.get("fieldSelector", "").removeprefix("metadata.name=")
    return wanted.items() <= labels.items() and named in ("", one["metadata"]["name"])


def kubeconfig(path: Path, server: str, *, current: str | None, contexts: Mapping[str, str]) -> str:
    """A kubeconfig with these contexts, each with its namespace; returns its path."""
    content = {
        "apiVersion": "v1", "kind": "Config",
        "clusters": [{"name": "one", "cluster": {"server": server}}],
        "users": [{"name": "me", "user": {"token": "none"}}],
        "contexts": [
            {"name": name, "context": {"cluster": "one", "user": "me", "namespace": namespace}}
            for name, namespace in contexts.items()
        ],
        **({"current-context": current} if current is not None else {}),
    }  # fmt: skip
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)
