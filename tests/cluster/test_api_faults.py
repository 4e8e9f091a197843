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
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from support.cluster.api import Api
from support.cluster.api_proxy import KILLS, ApiProxy, Bend, Call, Fault
from support.cluster.api_story import Story
from support.cluster.controlplane import ControlPlane
from support.cluster.polling import HarnessError, until
from support.operators import FLOW, OperatorProcess, ReportServer, operator

pytestmark = pytest.mark.cluster

AT_ONCE = 4
SHORT = {"faults": 16, "kills": 4, "starts": 5}
TRIES = 3
"""How often a call is waited for that not every life has."""
START_FAULTS = (Fault.NOT_SENT, Fault.NO_ANSWER, Fault.CONFLICT, Fault.TOO_MANY, Fault.FAILED,
                Fault.KILLED_AFTER)  # fmt: skip
# The Flow's own read before the plan for its changed Mapping: the change was forgotten with it.
ONCE_LOST = [
    (Call("GET", f"/apis/intops.io/v1alpha1/namespaces/NS/flows/{FLOW}", nth), Fault.CONFLICT)
    for nth in (1, 2)
]
NUMBERS = itertools.count(1)
SHIPPED = ("CanonicalModel", "Pattern", "ConnectorClass")


class Ward:
    """Where lives are told: one API server, one proxy, an operator behind it that may be replaced."""

    def __init__(
        self, plane: ControlPlane, api: Api, proxy: ApiProxy, workers: ReportServer, folder: Path
    ) -> None:
        self.plane, self.api, self.proxy, self.workers = plane, api, proxy, workers
        self.folder = folder
        self.operator: OperatorProcess | None = None
        self.calls: list[Call] = []
        """What every life asks."""
        self.writes = 0
        """How many writes a life takes that nothing disturbs."""
        self._like: Story | None = None
        self._standing = ExitStack()

    def story(self) -> Story:
        """A life in a namespace of its own, which must look like one that nothing disturbed."""
        return Story(self.api, self.workers, f"life-{next(NUMBERS)}", self.log, self._like)

    def log(self) -> str:
        """All that the operator has logged."""
        return self.operator.log.read_text() if self.operator else ""

    @contextmanager
    def replica(self) -> Iterator[OperatorProcess]:
        """An operator behind the proxy; kept as `operator` as long as it runs."""
        flags = (f"--operations-port={self.workers.port}", "--lease-name=api-faults", "--purge-interval=5",
                 "--certificate-secret=api-faults")  # fmt: skip
        with operator(
            self.plane, self.folder, "op", *flags, kubeconfig=self.proxy.kubeconfig
        ) as process:
            self.operator = process
            yield process

    def stand(self) -> None:
        """Have an operator for several tests, until `stand_down`."""
        if self.operator is None:
            self._standing.enter_context(self.replica())

    def stand_down(self) -> None:
        """Let a test start its own."""
        self._standing.close()
        self.operator = None

    def learn(self) -> None:
        """How lives go that nothing disturbs."""
        told = [self.story() for _ in range(3)]  # more than one, as not all of them ask the same
        for story in told:
            story.tell()
        assert told[0].pictures == told[1].pictures == told[2].pictures
        scopes = [self.proxy.scopes[story.space] for story in told]
        self.calls = sorted(set.intersection(*(set(scope.calls()) for scope in scopes)))
        self.writes = max(scope.writes for scope in scopes)
        self._like = told[0]

    def told(self, story: Story, given: tuple[Call, Fault] | None = None) -> None:
        """Tell a life to its end, with a bounded number of writes; `given` is named where it fails."""
        try:
            story.tell()
        except HarnessError as error:
            if given is not None:
                error.add_note(f"{given[0]}: {given[1]}")
            raise
        writes = self.proxy.scopes[story.space].writes
        assert writes <= 2 * self.writes + 10, (given, writes)


@pytest.fixture(scope="module")
def ward(
    plane: ControlPlane, api: Api, workers: ReportServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ward]:
    """Everything that a life needs, and how one goes that nothing disturbs."""
    folder = tmp_path_factory.mktemp("ward")
    proxy = ApiProxy(plane, folder)
    ward = Ward(plane, api, proxy, workers, folder)
    try:
        ward.stand()
        ward.learn()
        yield ward
    finally:
        ward.stand_down()
        proxy.stop()


def drawn(
    calls: list[Call], faults: tuple[Fault, ...], few: int, fault_runs: str, seed: int
) -> list[tuple[Call, Fault]]:
    """Each call with each fault, or a sample that has every fault, of calls that come in every life."""
    every = [(call, fault) for call in calls for fault in faults]
    if fault_runs == "full":
        return every
    draw = random.Random(seed)
    certain = [call for call in calls if call.nth == 1]
    return [
        (draw.choice(certain), faults[number % len(faults)])
        for number in range(min(few, len(every)))
    ]


def test_any_request_in_the_life_of_a_flow_may_go_wrong(
    ward: Ward, fault_runs: str, seed: int
) -> None:
    """F63, F64, F67: lost, doubled by a retry, refused with 409, 429, 500, 503 or 504: the end is the same."""
    ward.stand()
    faults = tuple(fault for fault in Fault if fault not in KILLS)
    tries = drawn(ward.calls, faults, SHORT["faults"], fault_runs, seed)
    tries += [given for given in ONCE_LOST if given not in tries]

    def attempt(given: tuple[Call, Fault]) -> int:
        for _ in range(TRIES):
            story = ward.story()
            scope = ward.proxy.arm(story.space, *given)
            ward.told(story, given)
            if scope.hit.is_set():
                return 1
        return 0

    with ThreadPoolExecutor(AT_ONCE) as pool:
        hit = list(pool.map(attempt, tries))
    report("a Flow's life", ward.calls, tries, hit)
    assert sum(hit) >= 0.9 * len(tries)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A watch that falls silent is given up after 70 s: for long runs only."""
    if "bend" in metafunc.fixturenames:
        full = metafunc.config.option.fault_runs == "full"
        metafunc.parametrize("bend", [one for one in Bend if full or one is not Bend.SILENT])


def test_f62_watches_may_end_repeat_leave_out_and_fall_silent(ward: Ward, bend: Bend) -> None:
    """F62, F67: whatever a watch does, the operator lists again and comes to the same end."""
    ward.stand()
    ward.proxy.bend = bend
    try:
        story = ward.story()
        with ThreadPoolExecutor(1) as pool:
            telling = pool.submit(ward.told, story)
            if bend is Bend.SILENT:
                opened = ward.proxy.watches
                until(
                    lambda: ward.proxy.watches > opened, "a watch to be opened anew", timeout_s=90
                )
                ward.proxy.bend = None
            telling.result()
    finally:
        ward.proxy.bend = None


@pytest.mark.parametrize(
    ("status", "reason"), [(409, "Conflict"), (429, "TooManyRequests"), (500, "InternalError")]
)
def test_a_server_that_refuses_every_write_is_not_stormed(
    ward: Ward, status: int, reason: str
) -> None:
    """F63, F64: for five seconds no write passes; there are few tries, and then all is made up for."""
    ward.stand()
    story = ward.story()
    before = ward.proxy.refused
    ward.proxy.refuse = (status, reason)
    with ThreadPoolExecutor(1) as pool:
        telling = pool.submit(story.tell)
        threading.Event().wait(5.0)
        ward.proxy.refuse = None
        telling.result()
    # Six objects are judged and seven children made: a handful of tries for each in five seconds.
    assert 0 < ward.proxy.refused - before <= 200


def test_f65_the_operator_may_die_at_any_request_in_the_life_of_a_flow(
    ward: Ward, fault_runs: str, seed: int
) -> None:
    """F65: before it is sent, or after it took effect: the next process converges, with no orphan."""
    ward.stand_down()
    tries = drawn(ward.calls, KILLS, SHORT["kills"], fault_runs, seed)
    hit = [_outlived(ward, given) for given in tries]
    report("a Flow's life", ward.calls, tries, hit)
    assert sum(hit) >= 0.9 * len(tries)


def _outlived(ward: Ward, given: tuple[Call, Fault]) -> int:
    """Whether a life met its fault; each has come to the same end in any case."""
    for _ in range(TRIES):
        story = ward.story()
        with ThreadPoolExecutor(1) as pool:
            with ward.replica() as replica:
                # One that starts within a life lists what it would have read one by one.
                until(replica.leads, "the operator to lead", explain=replica.tail)
                scope = ward.proxy.arm(story.space, *given, kill=lambda: _kill(ward))
                telling = pool.submit(ward.told, story, given)
                _either_ends(telling, replica)
            while not telling.done():
                with ward.replica() as replica:
                    _either_ends(telling, replica)
            telling.result()
        if scope.hit.is_set():
            return 1
    return 0


def _either_ends(telling: Future[None], replica: OperatorProcess) -> None:
    until(
        lambda: telling.done() or replica.process.poll() is not None,
        "the end of the story or of the operator",
        timeout_s=300,
    )


def _kill(ward: Ward) -> None:
    assert ward.operator is not None
    ward.operator.process.kill()


def test_f65_any_request_at_the_start_of_the_operator_may_go_wrong(
    ward: Ward, fault_runs: str, seed: int
) -> None:
    """F65: it starts with what it gets, or ends and is started again, as by kubelet; then all is there."""
    ward.stand_down()
    calls = _starts(ward, None)
    tries = drawn(calls, START_FAULTS, SHORT["starts"], fault_runs, seed)
    hit = [1 if _starts(ward, given) else 0 for given in tries]
    report("a start", calls, tries, hit)
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


def report(where: str, calls: list[Call], tries: list[tuple[Call, Fault]], hit: list[int]) -> None:
    """Say what was tried."""
    by_fault = Counter(fault for _, fault in tries)
    print(f"{where}: {len(calls)} requests, {len(tries)} tries, {sum(hit)} met; all converged")
    for fault, count in sorted(by_fault.items()):
        print(f"  {count:4} x {fault}")
    if missed := [
        f"{call} ({fault})" for (call, fault), met in zip(tries, hit, strict=True) if not met
    ]:
        print("  not met: " + "; ".join(missed))
