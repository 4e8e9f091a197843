"""Whatever request to the API server goes wrong, and however: the operator comes to the same end.

Rows of the fault matrix about the operator and its API. A proxy names every request that it makes in the life of a
Flow (made, changed, damaged, deleted) and at its own start; each of them is then tried with each fault.
`--fault-runs full` tries all, the short form a sample that its seed draws.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.cluster.api import Api
from support.cluster.api_proxy import KILLS, ApiProxy, Bend, Call, Fault
from support.cluster.api_story import Story
from support.cluster.controlplane import ControlPlane
from support.cluster.polling import HarnessError, until
from support.operators import OperatorProcess, ReportServer, install_kinds, operator

pytestmark = pytest.mark.cluster

AT_ONCE = 4
SHORT = {"faults": 24, "kills": 6, "starts": 8}
TRIES = 3
"""How often a call is waited for that not every life has."""
START_FAULTS = (Fault.NOT_SENT, Fault.NO_ANSWER, Fault.CONFLICT, Fault.TOO_MANY, Fault.FAILED,
                Fault.KILLED_AFTER)  # fmt: skip
NUMBERS = itertools.count(1)
SHIPPED = ("CanonicalModel", "Pattern", "ConnectorClass")


@pytest.fixture(scope="module")
def plane(api_server: ControlPlane) -> ControlPlane:
    """The API server with our kinds and the operator's namespace."""
    install_kinds(api_server)
    return api_server


@pytest.fixture(scope="module")
def api(plane: ControlPlane) -> Iterator[Api]:
    """The way around the proxy: what people and controllers do is not disturbed."""
    with Api(plane) as api:
        yield api


@pytest.fixture
def proxy(plane: ControlPlane, tmp_path: Path) -> Iterator[ApiProxy]:
    """The way of the operator."""
    proxy = ApiProxy(plane, tmp_path)
    yield proxy
    proxy.stop()


class Ward:
    """Where lives are told: one API server, one proxy, an operator that may be replaced."""

    def __init__(
        self, plane: ControlPlane, api: Api, proxy: ApiProxy, workers: ReportServer, folder: Path
    ) -> None:
        self.plane, self.api, self.proxy, self.workers = plane, api, proxy, workers
        self.folder = folder
        self.operator: OperatorProcess | None = None

    def story(self, like: Story | None = None) -> Story:
        """A life in a namespace of its own, which must look `like` another one."""
        return Story(self.api, self.workers, f"life-{next(NUMBERS)}", self.log, like)

    def log(self) -> str:
        """All that the operator has logged."""
        return self.operator.log.read_text() if self.operator else ""

    @contextmanager
    def replica(self, name: str = "op") -> Iterator[OperatorProcess]:
        """An operator behind the proxy; kept as `operator` as long as it runs."""
        flags = (f"--operations-port={self.workers.port}", "--lease-name=api-faults",
                 "--certificate-secret=api-faults")  # fmt: skip
        with operator(
            self.plane, self.folder, name, *flags, kubeconfig=self.proxy.kubeconfig
        ) as process:
            self.operator = process
            yield process

    def reference(self) -> tuple[list[Call], Story, int]:
        """What every life asks, how it looks, and how many writes it takes."""
        told = [self.story() for _ in range(3)]  # more than one, as not all of them ask the same
        for story in told:
            story.tell()
        assert told[0].pictures == told[1].pictures == told[2].pictures
        scopes = [self.proxy.scopes[story.space] for story in told]
        always = set.intersection(*(set(scope.calls()) for scope in scopes))
        return sorted(always), told[0], max(scope.writes for scope in scopes)


@pytest.fixture
def ward(
    plane: ControlPlane, api: Api, proxy: ApiProxy, workers: ReportServer, tmp_path: Path
) -> Ward:
    """Everything that a life needs."""
    return Ward(plane, api, proxy, workers, tmp_path)


def drawn(
    calls: list[Call], faults: tuple[Fault, ...], few: int, fault_runs: str, seed: int
) -> list[tuple[Call, Fault]]:
    """Each call with each fault, or a sample that has every fault."""
    every = [(call, fault) for call in calls for fault in faults]
    if fault_runs == "full":
        return every
    draw = random.Random(seed)
    return [
        (draw.choice(calls), faults[number % len(faults)]) for number in range(min(few, len(every)))
    ]


def test_f63_f64_any_request_in_the_life_of_a_flow_may_go_wrong(
    ward: Ward, fault_runs: str, seed: int
) -> None:
    """F63, F64, F67: lost, doubled by a retry, refused with 409, 429, 500, 503 or 504: the end is the same."""
    with ward.replica():
        calls, reference, writes = ward.reference()
        faults = tuple(fault for fault in Fault if fault not in KILLS)
        tries = drawn(calls, faults, SHORT["faults"], fault_runs, seed)

        def attempt(given: tuple[Call, Fault]) -> int:
            for _ in range(TRIES):
                story = ward.story(reference)
                scope = ward.proxy.arm(story.space, *given)
                _tell(story, given)
                assert scope.writes <= 2 * writes + 10, (given, scope.writes)
                if scope.hit.is_set():
                    return 1
            return 0

        with ThreadPoolExecutor(AT_ONCE) as pool:
            hit = list(pool.map(attempt, tries))
    told("a Flow's life", calls, tries, hit)
    assert sum(hit) >= 0.9 * len(tries)


def test_f65_the_operator_may_die_at_any_request_in_the_life_of_a_flow(
    ward: Ward, fault_runs: str, seed: int
) -> None:
    """F65: before it is sent, or after it took effect: the next process converges, with no orphan."""
    with ward.replica():
        calls, reference, writes = ward.reference()
    tries = drawn(calls, KILLS, SHORT["kills"], fault_runs, seed)
    hit = [_outlived(ward, given, reference, writes) for given in tries]
    told("a Flow's life", calls, tries, hit)
    assert sum(hit) >= 0.9 * len(tries)


def _tell(story: Story, given: tuple[Call, Fault]) -> None:
    try:
        story.tell()
    except HarnessError as error:
        error.add_note(f"{given[0]}: {given[1]}")
        raise


def _outlived(ward: Ward, given: tuple[Call, Fault], reference: Story, writes: int) -> int:
    """Whether a life met its fault; it has come to the same end in any case."""
    story = ward.story(reference)
    scope = ward.proxy.arm(story.space, *given, kill=lambda: _kill(ward))
    with ThreadPoolExecutor(1) as pool:
        telling = pool.submit(_tell, story, given)
        while not telling.done():
            with ward.replica() as process:
                until(
                    lambda: telling.done() or process.process.poll() is not None,
                    "the end of the story or of the operator",
                    timeout_s=300,
                )
        telling.result()
    assert scope.writes <= 2 * writes + 10, (given, scope.writes)
    return int(scope.hit.is_set())


def _kill(ward: Ward) -> None:
    assert ward.operator is not None
    ward.operator.process.kill()


def test_f65_any_request_at_the_start_of_the_operator_may_go_wrong(
    ward: Ward, fault_runs: str, seed: int
) -> None:
    """F65: it starts with what it gets, or ends and is started again, as by kubelet; then all is there."""
    calls = _starts(ward, None)
    tries = drawn(calls, START_FAULTS, SHORT["starts"], fault_runs, seed)
    hit = [1 if _starts(ward, given) else 0 for given in tries]
    told("a start", calls, tries, hit)
    assert sum(hit) >= 0.9 * len(tries)


def _starts(ward: Ward, given: tuple[Call, Fault] | None) -> list[Call]:
    """Start an operator over a cluster without the catalogue; what it asked, nothing if the fault was not met."""
    for kind in SHIPPED:
        for item in ward.api.list(kind, None):
            ward.api.delete(kind, None, item["metadata"]["name"])
    ward.proxy.scopes.pop("cluster", None)
    if given is not None:
        ward.proxy.arm("cluster", *given, kill=lambda: _kill(ward))
    for again in range(5):
        try:
            with ward.replica() as process:
                until(
                    lambda: process.process.poll() is not None or _all_accepted(ward.api),
                    "the catalogue to be accepted",
                    timeout_s=60,
                    explain=process.tail,
                )
                if process.process.poll() is not None:
                    raise HarnessError("ended")
            break
        except HarnessError:
            assert given is not None, "an operator that nothing disturbs ends by itself"
            assert again < 2, (given, "one fault ends it more than once")
    scope = ward.proxy.scopes["cluster"]
    return scope.calls() if given is None or scope.hit.is_set() else []


def _all_accepted(api: Api) -> bool:
    shipped = [item for kind in SHIPPED for item in api.list(kind, None)]
    return len(shipped) >= len(SHIPPED) and all(
        any(c["type"] == "Accepted" and c["status"] == "True"
            for c in item.get("status", {}).get("conditions", ()))
        for item in shipped
    )  # fmt: skip


@pytest.mark.parametrize("bend", [bend for bend in Bend if bend is not Bend.SILENT])
def test_f62_watches_may_end_repeat_and_leave_out(ward: Ward, bend: Bend) -> None:
    """F62, F67: whatever a watch does, the operator lists again and comes to the same end."""
    with ward.replica():
        _, reference, writes = ward.reference()
    ward.proxy.bend = bend
    with ward.replica():
        story = ward.story(reference)
        story.tell()
        assert ward.proxy.scopes[story.space].writes <= 2 * writes + 10


def test_f62_a_watch_that_falls_silent_is_given_up(ward: Ward, fault_runs: str) -> None:
    """F62: an open watch without a word (a load balancer that forgot it) costs 90 s, and no change."""
    if fault_runs != "full":
        pytest.skip("waits for more than a minute; runs with --fault-runs full")
    with ward.replica():
        _, reference, _ = ward.reference()
        ward.proxy.bend = Bend.SILENT
        story = ward.story(reference)
        with ThreadPoolExecutor(1) as pool:
            telling = pool.submit(story.tell)
            given_up = ward.proxy.watches
            until(lambda: ward.proxy.watches > given_up, "a watch to be opened anew", timeout_s=90)
            ward.proxy.bend = None
            telling.result()


@pytest.mark.parametrize(
    ("status", "reason"), [(409, "Conflict"), (429, "TooManyRequests"), (500, "InternalError")]
)
def test_f63_f64_a_server_that_refuses_every_write_is_not_stormed(
    ward: Ward, status: int, reason: str
) -> None:
    """F63, F64: for five seconds no write passes; there are few tries, and then all is made up for."""
    with ward.replica():
        _, reference, _ = ward.reference()
        story = ward.story(reference)
        over = threading.Event()
        ward.proxy.refuse = (status, reason)
        with ThreadPoolExecutor(1) as pool:
            telling = pool.submit(story.tell)
            over.wait(5.0)
            ward.proxy.refuse = None
            telling.result()
        # Six objects are judged and seven children made: a handful of tries for each in five seconds.
        assert 0 < ward.proxy.refused <= 100


def told(where: str, calls: list[Call], tries: list[tuple[Call, Fault]], hit: list[int]) -> None:
    """Say what was tried."""
    by_fault = Counter(fault for _, fault in tries)
    print(f"{where}: {len(calls)} requests, {len(tries)} tries, {sum(hit)} met; all converged")
    for fault, count in sorted(by_fault.items()):
        print(f"  {count:4} x {fault}")
    if missed := [
        f"{call} ({fault})" for (call, fault), met in zip(tries, hit, strict=True) if not met
    ]:
        print("  not met: " + "; ".join(missed))
