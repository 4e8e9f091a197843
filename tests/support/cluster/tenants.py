"""A namespace of a test's own with a Flow under load, and the two ledgers that must agree at the end.

Used by the cluster tests that break the world around a worker. The sender's ledger is what it was told is kept,
the desk's is what was done; both are compared with what the worker reports.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import httpx

from intops_api import names
from intops_runtime.core.keys import correlation_key
from support.cluster.onenode import OneNode
from support.cluster.polling import until
from support.cluster.scenario import FIRING, FLOW, SOURCE_TOKEN, Installed, secret
from support.operators import namespace
from support.runtime.flows import change, example_manifests
from support.simulators.launcher import HelpdeskSimulator

SOURCE_SECRET = "alertmanager-token"
DESK_SECRET = "helpdesk-token"
STARTED = FIRING["alerts"][0]["startsAt"].partition(".")[0]
ANSWER_WITHIN_S = 5.0

_LOOKS = itertools.count(1)


class Sender:
    """Posts one alert after the other, as a source does: each again until it is told that it is kept.

    Args:
        url: Where the worker captures.
        every_s: Seconds between two alerts.
        name: Begins the fingerprints, which no other sender of the namespace may use.
    """

    def __init__(self, url: str, *, every_s: float = 0.3, name: str = "alert") -> None:
        self.token = SOURCE_TOKEN
        self.kept: list[str] = []
        """Fingerprints of what was acknowledged."""
        self.answers: Counter[int] = Counter()
        """How often each status was answered; 0 is no answer."""
        self.longest_gap_s = 0.0
        """The longest time from the first try of an alert to its acknowledgement."""
        self._url, self._every_s, self._name = url, every_s, name
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Bring the alert at hand to its acknowledgement, within two minutes, and send no more."""
        self._over.set()
        self._thread.join(timeout=120)
        assert not self._thread.is_alive(), f"an alert was never accepted: {self.answers}"

    def await_more(self, count: int, *, timeout_s: float = 60.0) -> None:
        """Wait until so many more were acknowledged."""
        wanted = len(self.kept) + count
        until(
            lambda: len(self.kept) >= wanted, f"{count} more alerts to be acknowledged",
            timeout_s=timeout_s, explain=lambda: f"answers so far: {dict(self.answers)}",
        )  # fmt: skip

    def _run(self) -> None:
        with httpx.Client(timeout=ANSWER_WITHIN_S) as client:
            for number in itertools.count():
                if self._over.wait(self._every_s):
                    return
                self._deliver(client, f"{self._name}-{number}")

    def _deliver(self, client: httpx.Client, fingerprint: str) -> None:
        watch = threading.Event()
        waited_s = 0.0
        while True:
            status, took_s = self._post(client, fingerprint)
            self.answers[status] += 1
            waited_s += took_s
            if status == 200:
                break
            watch.wait(0.1)
            waited_s += 0.1
        self.kept.append(fingerprint)
        self.longest_gap_s = max(self.longest_gap_s, waited_s)

    def _post(self, client: httpx.Client, fingerprint: str) -> tuple[int, float]:
        body = {**FIRING, "alerts": [{**FIRING["alerts"][0], "fingerprint": fingerprint}]}
        headers = {"Authorization": f"Bearer {self.token}", "Connection": "close"}
        try:
            answer = client.post(self._url, json=body, headers=headers)
        except httpx.TimeoutException:
            return 0, ANSWER_WITHIN_S
        except httpx.TransportError:
            return 0, 0.0
        return answer.status_code, answer.elapsed.total_seconds()


@dataclass
class Tenant(Installed):
    """The first example in a namespace of its own, with a simulated desk that keeps a ledger."""

    desk: HelpdeskSimulator
    senders: list[Sender] = field(default_factory=list)
    """Everybody who has ever sent here."""

    def look_at_volumes(self) -> None:
        """Have kubelet refresh the worker's volumes at once rather than within its sync period."""
        self.cluster.kubectl.run(
            "annotate", "pods", "-n", self.space, "-l", f"{names.LABEL_FLOW}={FLOW}", "--overwrite",
            f"example.com/looked={next(_LOOKS)}",
        )  # fmt: skip

    def write_secret(self, name: str, *, at_once: bool = True, **values: str) -> None:
        """Replace a Secret as a whole: keys that are not given are gone afterwards."""
        manifest = json.dumps(secret(name, space=self.space, **values))
        # On the client's side, which takes away the keys of before, whoever wrote them.
        self.cluster.kubectl.run("apply", "-f", "-", given=manifest)
        if at_once:
            self.look_at_volumes()

    def delete_secret(self, name: str) -> None:
        """Take a Secret away."""
        self.cluster.kubectl.run("delete", "secret", name, "-n", self.space)
        self.look_at_volumes()

    def sender(self, *, every_s: float = 0.3) -> Sender:
        """Another sender to this worker, to be used as a context."""
        name = f"sender-{len(self.senders)}"
        self.senders.append(Sender(self.capture_url(), every_s=every_s, name=name))
        return self.senders[-1]

    def await_reason(self, kind: str, reason: str, *, timeout_s: float = 60.0) -> dict[str, Any]:
        """Wait for a condition's reason, and return the condition."""

        def there() -> dict[str, Any] | None:
            now = self.condition(kind)
            return now if now.get("reason") == reason else None

        return until(
            there, f"{kind} {reason} in {self.space}", timeout_s=timeout_s, every_s=0.3,
            explain=lambda: f"{self.condition(kind)}\n{self.condition('Ready')}",
        )  # fmt: skip

    def await_ready(self, *, timeout_s: float = 90.0) -> None:
        """Wait until the status says that messages arrive."""
        until(
            self.is_ready, f"the Flow of {self.space} to be Ready", timeout_s=timeout_s, every_s=0.3,
            explain=lambda: f"{self.condition('Ready')}\n{self.operator_log()}",
        )  # fmt: skip

    def await_agreement(self, *, timeout_s: float = 120.0) -> None:
        """Wait until everything that was acknowledged is a ticket; then no ledger says otherwise.

        Raises:
            AssertionError: Something is doubled, was never sent, waits for a person or is not counted.
        """
        kept = {self._key(name) for sender in self.senders for name in sender.kept}

        def lacking() -> set[str]:
            return kept - set(self.desk.ledger(entries=False)["tickets_by_key"])

        until(
            lambda: not lacking(), f"{len(kept)} acknowledged alerts to be tickets", timeout_s=timeout_s,
            every_s=0.5, explain=lambda: f"{len(lacking())} are lost or late: {self.store()}",
        )  # fmt: skip
        until(lambda: self._in_flight() == 0, "nothing to be in flight", timeout_s=timeout_s)
        ledger, store = self.desk.ledger(entries=False), self.store()
        assert ledger["duplicates"] == {}, "the desk has twins"
        assert ledger["tickets_by_key"].keys() == kept, "the desk has what nobody sent"
        assert store["review"] == store["discarded"] == 0, store
        assert store["received"] == store["done"] + sum(store["dropped"].values()), store

    def _in_flight(self) -> int:
        store = self.store()
        return int(store["waiting"] + store["held"] + store["sending"])

    def _key(self, fingerprint: str) -> str:
        return correlation_key(self.space, "alertmanager", "event", f"{fingerprint}/{STARTED}")

    def apply_example(self, **runtime: Any) -> None:
        """Apply the example as a person would; `runtime` goes into the Flow's `spec.runtime`."""
        manifests = example_manifests()

        def at(spec: dict[str, Any]) -> None:
            spec.update(endpoint=self.desk.url)

        def resources(spec: dict[str, Any]) -> None:
            spec["runtime"].update(runtime)

        change(manifests, "Connector", "helpdesk", at)
        change(manifests, "Flow", FLOW, resources)
        for manifest in manifests:
            manifest["metadata"]["namespace"] = self.space
        self.cluster.kubectl.apply(*manifests)

    def write_secrets(self) -> None:
        """Both credentials as the example wants them."""
        self.write_secret(SOURCE_SECRET, at_once=False, token=SOURCE_TOKEN)
        self.write_secret(DESK_SECRET, at_once=False, token=self.desk.token)


@contextmanager
def tenant(
    cluster: OneNode, space: str, *, secrets: bool = True, **runtime: Any
) -> Iterator[Tenant]:
    """The example in a new namespace, Ready if it has its Secrets; all of it is gone afterwards."""
    kubectl = cluster.kubectl
    kubectl.apply(namespace(space))
    with HelpdeskSimulator(bind=cluster.machine_address) as desk:
        found = Tenant(cluster, desk, space)
        try:
            if secrets:
                found.write_secrets()
            found.apply_example(**runtime)
            if secrets:
                found.await_ready(timeout_s=120)
            yield found
        finally:
            kubectl.run("delete", "flow", FLOW, "-n", space, "--ignore-not-found")
            kubectl.run("delete", "namespace", space, "--wait=false", "--ignore-not-found")
