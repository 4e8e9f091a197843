"""A question to the workers of several namespaces and pools: who is asked, and what one answer is made of."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from intops_cli.cluster_access import ClusterAccess
from intops_cli.commands import messages, review
from intops_cli.exits import OK, REFUSED, UNAVAILABLE
from intops_cli.merging import merged
from intops_cli.worker_client import WorkerUnavailable
from support.lists_api import kubeconfig, lists_api

FLOWS = "/apis/intops.io/v1alpha1/flows"


def worker(namespace: str, *, flow: str = "", pool: str = "", phase: str = "Running") -> Any:
    labels = {"app.kubernetes.io/managed-by": "intops", "app.kubernetes.io/component": "worker"}
    labels |= {"intops.io/flow": flow} if flow else {"intops.io/pool": pool}
    name = f"intops-{flow}" if flow else f"intopspool-{pool}"
    return {
        "metadata": {"namespace": namespace, "name": name, "labels": labels},
        "status": {"phase": phase},
    }


def flow(namespace: str, name: str, pool: str = "") -> Any:
    runtime = {"pool": pool} if pool else {}
    return {"metadata": {"namespace": namespace, "name": name}, "spec": {"runtime": runtime}}


def row(number: int, minute: int) -> dict[str, Any]:
    return {
        "id": number, "receivedAt": f"2026-11-30T12:{minute:02}:00Z", "flow": "alerts",
        "state": "done", "reason": "", "tries": 1, "key": "k",
        "errorClass": "", "path": "", "owner": "", "dueAt": None, "detail": "", "fingerprint": "",
    }  # fmt: skip


class Cluster(ClusterAccess):
    """Workers that answer what is given for their namespace; one for which nothing is given does not."""

    def __init__(self, file: str, answers: dict[str, Any]) -> None:
        super().__init__(file, None, None, everywhere=True)
        self.asked: list[str] = []

        def answer(namespace: str, pod: str, *_: Any, **__: Any) -> tuple[int, str]:
            self.asked.append(f"{namespace}/{pod}")
            if namespace not in answers:
                raise WorkerUnavailable(f'Pod "{pod}" cannot be asked: forbidden.')
            return 200, json.dumps(answers[namespace])

        self.requests.answer = answer  # type: ignore[method-assign]  no pod runs here


PODS = [worker("a", flow="alerts"), worker("b", flow="alerts"), worker("c", pool="quiet")]
LISTS = {
    "/api/v1/pods": PODS,
    FLOWS: [flow("a", "alerts"), flow("b", "alerts"), flow("c", "alerts", "quiet")],
}


@pytest.fixture
def file(tmp_path: Path) -> Iterator[str]:
    """Access to a cluster with Flows of one name in three namespaces."""
    with lists_api(LISTS) as server:
        yield kubeconfig(tmp_path / "config", server, current="x", contexts={"x": "a"})


def test_a_flow_in_a_pool_is_asked_for_beside_own_workers_of_its_name(file: str) -> None:
    """They are of different namespaces, and all are meant by -A."""
    cluster = Cluster(file, {"a": [], "b": [], "c": []})
    cluster.ask("/messages", flow="alerts")

    assert cluster.asked == ["a/intops-alerts", "b/intops-alerts", "c/intopspool-quiet"]


def test_what_several_workers_answer_is_the_newest_of_all(file: str) -> None:
    """As one worker would answer: newest first, not more than were asked for."""
    cluster = Cluster(file, {"a": [row(9, 3), row(8, 1)], "b": [row(1, 4)], "c": [row(5, 2)]})
    found = cluster.ask("/messages", limit=3)

    assert [(one["namespace"], one["id"]) for one in found] == [("b", 1), ("a", 9), ("c", 5)]
    assert cluster.unanswered == []


def test_what_waits_for_a_person_stays_oldest_first() -> None:
    """The oldest of all are shown where not all can be."""
    found = merged("/review/items", [[row(1, 3)], [row(2, 1), row(3, 2)]], 2)

    assert [one["id"] for one in found] == [2, 3]


@pytest.mark.parametrize("command", ["messages", "review"])
def test_a_worker_that_does_not_answer_hides_nothing_of_the_others(
    command: str, file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rest is shown, a sentence says who is missing, and scripts see that it is not all."""
    given = argparse.Namespace(
        flow=None, message_state=None, error_class=None, key=None, older_than=None, limit=9,
        fingerprint=None, each=True, verb="list", everywhere=True, output="json",
    )  # fmt: skip
    module, answers = (messages, review)[command == "review"], {"a": [row(1, 1)], "c": [row(2, 2)]}
    monkeypatch.setattr(module, "asked", lambda _: Cluster(file, answers))

    assert module.run(given) == UNAVAILABLE
    out, err = capsys.readouterr()
    assert sorted(one["id"] for one in json.loads(out)) == [1, 2]
    assert err == 'b: Pod "intops-alerts" cannot be asked: forbidden.\n'

    answers["b"] = []
    assert module.run(given) == OK


def test_no_message_is_taken_for_the_one_that_is_meant_while_a_worker_is_missing(
    file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers are each store's own, so another one may have that number too."""
    monkeypatch.setattr(review, "asked", lambda _: Cluster(file, {"a": [row(1, 1)]}))
    given = argparse.Namespace(flow=None, message="1", verb="show", everywhere=True, output="json")

    assert review.run(given) == REFUSED
    assert "name the Flow with --flow" in capsys.readouterr().err


def test_where_no_worker_answers_each_says_why(file: str) -> None:
    """Nothing is shown then, and it is no empty answer."""
    with pytest.raises(WorkerUnavailable, match=r"a: Pod .*\nb: Pod .*\nc: Pod "):
        Cluster(file, {}).ask("/messages")


def test_a_worker_that_has_ended_is_not_taken_for_one_that_runs(tmp_path: Path) -> None:
    """A pod that is left of the Flow's own worker does not hide the pool where the Flow is now."""
    lists = {
        "/api/v1/pods": [worker("c", flow="alerts", phase="Failed"), worker("c", pool="quiet")],
        FLOWS: [flow("c", "alerts", "quiet")],
    }
    with lists_api(lists) as server:
        file = kubeconfig(tmp_path / "config", server, current="x", contexts={"x": "a"})
        cluster = Cluster(file, {"c": []})
        cluster.ask("/messages", flow="alerts")

    assert cluster.asked == ["c/intopspool-quiet"]
