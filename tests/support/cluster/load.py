"""A sender that never gives up, and a person who applies things all the time; both keep books.

Used by tests/cluster/test_upgrade.py while versions of the product change below them.
"""

from __future__ import annotations

import copy
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

import httpx

from support.cluster.api import Api
from support.cluster.controlplane import ControlPlane
from support.cluster.scenario import FIRING, SOURCE_TOKEN

RATE = 10
"""Webhooks a second. One in three is a new outbreak; the desk's class takes 20 requests a second."""
FIRST_RETRY_S, LONGEST_RETRY_S = 0.5, 4.0
"""Alertmanager waits half a second, then half as long again each time."""
PATIENCE_S = 5.0
ASKS_EVERY_S = 0.1


def title(number: int) -> str:
    """Of an alert, and of the ticket that is made for it."""
    return f"outbreak {number} is going on"


def webhook(number: int, sending: int, *, resolved: bool = False) -> dict[str, Any]:
    """One alert in a webhook; `sending` makes it another delivery."""
    alert = copy.deepcopy(FIRING["alerts"][0])
    alert["fingerprint"] = f"{number:016x}"
    alert["annotations"]["summary"] = title(number)
    if resolved:
        alert.update(status="resolved", endsAt="2026-11-23T21:00:00.000Z")
    return {**FIRING, "alerts": [alert], "receiver": f"intops-{sending}", "status": alert["status"]}


class Sender:
    """Posts webhooks at a steady rate, each in a thread of its own until it is acknowledged."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {SOURCE_TOKEN}"},
            timeout=PATIENCE_S,
            # A Service leads each new connection to a pod that is there.
            limits=httpx.Limits(max_connections=400, max_keepalive_connections=0),
        )
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._posts: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = 0
        self.opened: list[int] = []
        """Outbreaks, in the order in which they began."""
        self.acknowledged: set[int] = set()
        """Those whose first alert was answered with 2xx."""
        self.resolved: set[int] = set()
        """Those whose recovery was answered with 2xx."""
        self.answers: Counter[str] = Counter()
        """Answers other than 2xx, by status or kind of error."""
        self._taken_at: list[float] = []

    def __enter__(self) -> Self:
        self._taken_at.append(time.monotonic())
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self.end(timeout_s=0.0 if kind else 60.0)
        self._client.close()

    def resolve(self, numbers: list[int]) -> None:
        """Send the recoveries of these, as everything else: until they are acknowledged."""
        for number in numbers:
            self._start(number, resolved=True)

    def end(self, timeout_s: float = 60.0) -> None:
        """Begin nothing new, and wait until all that was begun is acknowledged."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        deadline = time.monotonic() + timeout_s
        for post in self._posts:
            post.join(max(0.0, deadline - time.monotonic()))

    def longest_silence_s(self, since: float) -> float:
        """Longest time without a 2xx since a moment of the steady clock, up to the last 2xx."""
        with self._lock:
            moments = [since, *(at for at in self._taken_at if at >= since)]
        return max((b - a for a, b in pairwise(moments)), default=0.0)

    def _run(self) -> None:
        began = time.monotonic()
        while not self._stop.is_set():
            if self.sent % 3 == 0:
                number = len(self.opened)
                self.opened.append(number)
            else:
                # Alertmanager tells again of what still burns.
                number = self.opened[self.sent * 7 % len(self.opened)]
            self._start(number)
            self._stop.wait(max(0.0, began + self.sent / RATE - time.monotonic()))

    def _start(self, number: int, *, resolved: bool = False) -> None:
        body = webhook(number, self.sent, resolved=resolved)
        self.sent += 1
        post = threading.Thread(target=self._post, args=(number, body, resolved), daemon=True)
        self._posts.append(post)
        post.start()

    def _post(self, number: int, body: dict[str, Any], resolved: bool) -> None:
        wait_s = FIRST_RETRY_S
        while (answer := self._try(body)) != "2xx":
            with self._lock:
                self.answers[answer] += 1
            # Not `self._stop.wait`: what was begun is sent to its end.
            threading.Event().wait(wait_s)
            wait_s = min(1.5 * wait_s, LONGEST_RETRY_S)
        with self._lock:
            self._taken_at.append(time.monotonic())
            (self.resolved if resolved else self.acknowledged).add(number)

    def _try(self, body: dict[str, Any]) -> str:
        try:
            status = self._client.post(self._url, json=body).status_code
        except httpx.TransportError as error:
            return type(error).__name__
        return "2xx" if status < 300 else str(status)


@dataclass(slots=True)
class Asked:
    """What the API server said to somebody who applies things all the time."""

    times: int = 0
    failed: list[str] = field(default_factory=list)
    """Good objects that were not taken: seconds since the beginning, and the answer."""
    slipped: int = 0
    """Bad objects that were taken."""


class Applying:
    """Applies good and bad objects in turn, without storing them (`--dry-run=server`)."""

    def __init__(
        self, plane: ControlPlane, good: list[dict[str, Any]], bad: list[dict[str, Any]]
    ) -> None:
        """`good` are to be taken and `bad` to be refused."""
        self._plane = plane
        self._turns = [(one, True) for one in good] + [(one, False) for one in bad]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.asked = Asked()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        began = time.monotonic()
        with Api(self._plane) as api:
            while not self._stop.wait(ASKS_EVERY_S):
                manifest, is_good = self._turns[self.asked.times % len(self._turns)]
                status, text = api.rehearse(manifest)
                self.asked.times += 1
                if is_good and status >= 300:
                    at = f"{time.monotonic() - began:.1f} s: HTTP {status} {text[:300]}"
                    self.asked.failed.append(at)
                elif not is_good and status < 300:
                    self.asked.slipped += 1


def copy_of(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    """The same manifest under another name."""
    other: dict[str, Any] = json.loads(json.dumps(manifest))
    other["metadata"]["name"] = name
    return other
