"""What is wrong on this machine: Python, the plugin, and what a local run has left. Decides from what was seen.

Used by `doctor`; `machine_reading` fills it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from intops_cli.diagnosis import Diagnosis

OLDEST_PYTHON: Final = (3, 11)
FIRST_UNKNOWN_PYTHON: Final = (3, 15)
LITTLE_ROOM: Final = 256 * 2**20
"""Bytes below which a local run may fill its volume while somebody looks away."""


@dataclass(frozen=True, slots=True)
class StoreFile:
    """One embedded store. `problem`: what SQLite says is wrong; None where nothing is or a worker uses it."""

    flow: str
    path: str
    size: int
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """This machine at one moment.

    Attributes:
        python: Version of the interpreter, two numbers.
        kubectl: Whether kubectl is found.
        plugin: Whether kubectl would find `kubectl-intops`.
        state: Folder of the local run; None where there is none.
        pid: Its worker, if it lives.
        left_marker: Whether a worker that is gone has left its note, so it did not end in order.
        answers: Whether the worker answers at its socket; None where none runs.
        closed_ports: Ports of the run at which nobody listens.
        readable_secrets: Whether others on this machine may read the Secrets of the run.
        free: Bytes that are free where the run keeps its stores.
        stores: Its stores.
        capture_port_taken: Whether the default port of capture is taken while no run is there.
    """

    python: tuple[int, int]
    kubectl: bool
    plugin: bool
    state: str | None = None
    pid: int | None = None
    left_marker: bool = False
    answers: bool | None = None
    closed_ports: tuple[int, ...] = ()
    readable_secrets: bool = False
    free: int | None = None
    stores: tuple[StoreFile, ...] = ()
    capture_port_taken: int | None = None


def machine(seen: Machine) -> Iterator[Diagnosis]:
    """Everything that is to be said about this machine."""
    yield from tools(seen)
    if seen.state is None:
        taken = seen.capture_port_taken
        if taken:
            yield Diagnosis(
                "warning", "ports", f"Port {taken} of this machine is taken.",
                "`intops run` listens there by default, and would not start.",
                "Give it another one: `intops run DIR --port 9000`, or --port 0 for any free one.",
            )  # fmt: skip
        yield Diagnosis("ok", "run", "There is no local run here (`intops run DIR` starts one).")
        return
    yield from _worker(seen)
    yield from _files(seen)


def tools(seen: Machine) -> Iterator[Diagnosis]:
    """Python, and whether kubectl finds the plugin."""
    version = ".".join(map(str, seen.python))
    if not OLDEST_PYTHON <= seen.python < FIRST_UNKNOWN_PYTHON:
        yield Diagnosis(
            "broken" if seen.python < OLDEST_PYTHON else "warning", "python", f"Python is {version}.",
            "intops is tested with Python 3.11 to 3.14; others may fail in any way.",
            "Install it with one of these.",
        )  # fmt: skip
    else:
        yield Diagnosis("ok", "python", f"Python is {version}.")
    if seen.kubectl and not seen.plugin:
        yield Diagnosis(
            "warning", "plugin", "kubectl is here and does not find kubectl-intops.",
            "`kubectl intops ...` is unknown to it; `intops ...` works.",
            "Put the folder of the command `intops` into PATH; kubectl-intops lies beside it.",
        )  # fmt: skip
    elif seen.kubectl:
        yield Diagnosis("ok", "plugin", "kubectl finds kubectl-intops: `kubectl intops status`.")


def _worker(seen: Machine) -> Iterator[Diagnosis]:
    if seen.pid is None:
        if seen.left_marker:
            yield Diagnosis(
                "warning", "run", f"The worker of {seen.state} ended without a word.",
                "Nothing is captured now. What it had acknowledged is stored.",
                "Start it again with `intops run DIR`; it goes on where it was.",
            )  # fmt: skip
        else:
            yield Diagnosis(
                "ok", "run", f"No worker runs from {seen.state}; its last one ended well."
            )
        return
    if not seen.answers:
        yield Diagnosis(
            "broken", "run", f"Worker {seen.pid} runs from {seen.state} and does not answer at console.sock.",
            "`get`, `messages`, `trace`, `review` and `status` get no answer.",
            f"Read the end of {seen.state}/worker.log; end it with `kill {seen.pid}` and start it again, nothing "
            "acknowledged is lost.",
        )  # fmt: skip
    else:
        yield Diagnosis("ok", "run", f"Worker {seen.pid} runs from {seen.state} and answers.")
    for port in seen.closed_ports:
        yield Diagnosis(
            "broken", "ports", f"Worker {seen.pid} runs, and nobody listens on its port {port}.",
            "Senders cannot deliver, or metrics cannot be read.",
            f"Read the end of {seen.state}/worker.log, and start it again.",
        )  # fmt: skip


def _files(seen: Machine) -> Iterator[Diagnosis]:
    if seen.readable_secrets:
        yield Diagnosis(
            "broken", "secrets", f"Others on this machine may read {seen.state}/secrets.",
            "The credentials of your systems are in it.",
            f"`chmod -R go= {seen.state}/secrets`, and change those credentials if others use this machine.",
        )  # fmt: skip
    if seen.free is not None and seen.free < LITTLE_ROOM:
        yield Diagnosis(
            "warning", "stores", f"{seen.free >> 20} MiB are free where {seen.state} keeps its stores.",
            "Where a store finds no room, senders are refused with 503; nothing acknowledged is lost.",
            "Make room there, or keep the run elsewhere with --session.",
        )  # fmt: skip
    for store in seen.stores:
        if store.problem is not None:
            yield Diagnosis(
                "broken", "stores", f"The store of {store.flow} is damaged: {store.problem}",
                "A worker refuses it, so its messages are not delivered.",
                f"Keep {store.path} aside with the files beside it, and restore it from a backup "
                "(docs/durability.md); a restored store makes no second record.",
            )  # fmt: skip
    sound = [store for store in seen.stores if store.problem is None]
    if sound:
        size = sum(store.size for store in sound)
        yield Diagnosis(
            "ok", "stores", f"The stores of {len(sound)} Flows are sound: {size >> 10} KiB."
        )
