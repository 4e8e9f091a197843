"""Flux's own source and kustomize controllers beside an API server, and a Git server on loopback for them.

Built once a machine from the Go modules that `flux/go.mod` pins, into the same cache as Kubernetes. Used by
tests/cluster/test_flux.py; `support.provision` calls `ensure`.
"""

from __future__ import annotations

import fcntl
import hashlib
import http.server
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from support.cluster import paths, toolchain
from support.cluster.controlplane import ControlPlane
from support.cluster.polling import HarnessError, until
from support.ports import free_port

MODULE = paths.MODULES / "flux"
LOOPBACK = "127.0.0.1"
CONTROLLERS = {
    "source-controller": (
        "source.toolkit.fluxcd.io_buckets.yaml",
        "source.toolkit.fluxcd.io_externalartifacts.yaml",
        "source.toolkit.fluxcd.io_gitrepositories.yaml",
        "source.toolkit.fluxcd.io_helmcharts.yaml",
        "source.toolkit.fluxcd.io_helmrepositories.yaml",
        "source.toolkit.fluxcd.io_ocirepositories.yaml",
    ),
    "kustomize-controller": ("kustomize.toolkit.fluxcd.io_kustomizations.yaml",),
}
"""Controller → the files of its kinds; each watches all of its own."""

_ENVIRONMENT = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"}


def directory() -> Path:
    """Where the controllers of this tree's pins are, built or not."""
    pins = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        pins.update((MODULE / name).read_bytes())
    return paths.cache() / "flux" / pins.hexdigest()[:12]


def ensure(say: Callable[[str], None] = print) -> None:
    """Build what is missing; at once if nothing is. A second caller waits for the first.

    Raises:
        HarnessError: A build failed; carries the last lines of the compiler.
    """
    home = directory()
    if all((home / name).exists() for name in CONTROLLERS):
        return
    home.mkdir(parents=True, exist_ok=True)
    with (home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in CONTROLLERS:
            if not (home / name).exists():
                began = time.monotonic()
                say(f"building Flux's {name}; minutes the first time, never again for this version")
                partial = home / f".{name}.partial"
                package = f"github.com/fluxcd/{name}"
                _go("build", "-ldflags", "-s -w", "-o", str(partial), package)
                partial.rename(home / name)
                say(f"  {name}: {time.monotonic() - began:.0f} s")


def kinds() -> list[Path]:
    """Files with the CRDs of both controllers, as their authors publish them."""
    found = []
    for name, files in CONTROLLERS.items():
        module = _go("list", "-m", "-f", "{{.Dir}}", f"github.com/fluxcd/{name}").strip()
        found += [Path(module) / "config" / "crd" / "bases" / file for file in files]
    return found


def _go(*arguments: str) -> str:
    done = subprocess.run(
        [str(toolchain.go()), *arguments], cwd=MODULE, env={**os.environ, **_ENVIRONMENT},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        shown = "\n".join(done.stderr.splitlines()[-15:])
        raise HarnessError(f"go {arguments[0]} for Flux failed:\n{shown}")
    return done.stdout


@contextmanager
def flux(plane: ControlPlane, folder: Path, namespace: str) -> Iterator[None]:
    """Run both controllers until the block ends.

    Args:
        plane: A started control plane; gets the kinds of Flux.
        folder: For logs and artifacts.
        namespace: The controllers' own, which is the only one that they watch.
    """
    for file in kinds():
        plane.kubectl.run("apply", "--server-side", "-f", str(file))
    plane.kubectl.run("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    storage = f"127.0.0.1:{free_port('127.0.0.1')}"
    (folder / "artifacts").mkdir()
    of_source = (
        f"--storage-path={folder / 'artifacts'}", f"--storage-addr={storage}",
        f"--storage-adv-addr={storage}",
    )  # fmt: skip
    with ExitStack() as running:
        for name, more in (("source-controller", of_source), ("kustomize-controller", ())):
            flags = (
                "--metrics-addr=127.0.0.1:0", f"--health-addr={LOOPBACK}:{free_port(LOOPBACK)}",
                "--watch-all-namespaces=false", *more,
            )  # fmt: skip
            running.enter_context(_controller(plane, folder, namespace, name, flags))
        yield


@contextmanager
def _controller(
    plane: ControlPlane, folder: Path, namespace: str, name: str, flags: tuple[str, ...]
) -> Iterator[None]:
    environment = {
        "PATH": "/usr/bin:/bin", "HOME": str(folder), "TMPDIR": str(folder),
        "KUBECONFIG": str(plane.kubeconfig), "RUNTIME_NAMESPACE": namespace,
    }  # fmt: skip
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [str(directory() / name), *flags], stdout=log, stderr=log, env=environment, cwd=folder
        )
    try:
        yield
        if process.poll() is not None:
            raise HarnessError(f"{name} ended by itself\n{tail(folder)}")
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def tail(folder: Path) -> str:
    """The last lines of both logs, for an error message."""
    shown = []
    for name in CONTROLLERS:
        log = folder / f"{name}.log"
        if log.exists():
            shown += [f"{name}:", *log.read_text().splitlines()[-6:]]
    return "\n".join(shown)


class GitFolder:
    """A repository that is served over HTTP, as a Git host does, and changed by `commit`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._git("init", "--quiet", "--initial-branch=main", str(folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(folder))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/repository.git"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def commit(self, files: dict[str, str], says: str) -> str:
        """Replace everything in the repository by these files; returns the commit."""
        for old in self._git("ls-files").split():
            (self._folder / old).unlink()
        for name, text in files.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", says)
        return self._git("rev-parse", "HEAD").strip()

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", "-c", "user.name=tests", "-c", "user.email=tests@example.com", *arguments],
            cwd=self._folder if self._folder.exists() else None,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self._folder), "GIT_CONFIG_NOSYSTEM": "1"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise HarnessError(f"git {arguments[0]} failed: {done.stderr.strip()[-500:]}")
        return done.stdout


def _handler(folder: Path) -> type[http.server.BaseHTTPRequestHandler]:
    """The two requests of Git's smart protocol for readers."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.endswith("/info/refs?service=git-upload-pack"):
                self.send_error(404)
                return
            head = b"001e# service=git-upload-pack\n0000"
            self._answer("advertisement", head + self._pack(b"", "--advertise-refs"))

        def do_POST(self) -> None:
            given = self.rfile.read(int(self.headers["Content-Length"]))
            self._answer("result", self._pack(given))

        def _pack(self, given: bytes, *flags: str) -> bytes:
            environment = {
                "PATH": "/usr/bin:/bin", "HOME": str(folder),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            }  # fmt: skip
            command = ["git", "upload-pack", "--stateless-rpc", *flags, str(folder)]
            return subprocess.run(
                command, input=given, capture_output=True, check=False, env=environment
            ).stdout

        def _answer(self, what: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", f"application/x-git-upload-pack-{what}")
            self.send_header("Content-Length", str(len(body)))
            # Flux ends what it no longer needs in the middle of an answer.
            with suppress(ConnectionError):
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing to say."""

    return Handler


def settle(url: str) -> None:
    """Wait until the repository answers."""

    def answers() -> bool:
        done = subprocess.run(
            ["git", "ls-remote", url], capture_output=True, text=True, check=False
        )
        return "refs/heads/main" in done.stdout

    until(answers, f"{url} to answer")
