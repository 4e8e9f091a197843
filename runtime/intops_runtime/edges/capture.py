"""Capture: authenticate, persist, then answer. 2xx only after the commit; 503 when it cannot persist.

One path: `/in/{namespace}/{flow}/{binding}`. Any other path or method is the same 404, so that nobody
learns what runs here.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from intops_api.connector_class import Capture
from intops_runtime.core.failpoints import reach
from intops_runtime.core.limits import (
    headers_too_large,
    is_too_deep,
    kept_headers,
    readable,
)
from intops_runtime.core.messages import Accepted
from intops_runtime.core.verifying import Proof, outdated_proof, verify, verify_headers
from intops_runtime.edges.bare_server import BareServer
from intops_runtime.edges.store.base import StoreError

log = logging.getLogger("intops.worker")

# What is in memory at once and not yet on disk; the rest of a storm is told to come again.
MAX_IN_HAND = 256
MAX_WAITING = 1024
MAX_BYTES_IN_HAND = 64 * 1024 * 1024
READ_TIMEOUT_S = 10.0
# A connection without a whole request header is closed after this time, whether idle or slow.
IDLE_TIMEOUT_S = 30.0
RETRY_AFTER_S = "5"
# Most senders wait for five to ten seconds; one that gives up by itself learns nothing.
ACK_WITHIN_S = 3.0
DIGITS = 19  # numbers of deliveries are 64 bits

Accept = Callable[[str | None, dict[str, str], bytes], Coroutine[Any, Any, Accepted]]
Outcome = Callable[[int, float], Awaitable[dict[str, Any] | None]]
"""What became of a delivery, at most so many seconds later; None if it is not known."""


@dataclass(frozen=True, slots=True)
class CaptureTarget:
    """One source binding: how its senders prove who they are, and where its deliveries go."""

    capture: Capture
    secret: Callable[[], Mapping[str, str] | None]
    accept: Accept
    outcome: Outcome
    on_previous: Callable[[list[str]], None]
    """Told the keys of previous values that a sender still needs."""
    pause_s: Callable[[], float]
    """How long the answer for a stored delivery waits, so that its sender slows down."""
    answer_within_s: float | None = None
    """How long a sender waits for the outcome; None answers once the delivery is stored."""


class CaptureRegistry:
    """Which bindings there are."""

    def __init__(self, *, others_may_come: bool = False) -> None:
        """`others_may_come`: a Flow that is not known may be on its way here, so its senders try again."""
        self._targets: dict[tuple[str, str, str], CaptureTarget] = {}
        self._others_may_come = others_may_come
        self.is_whole = True
        """Whether no plan is there that could not be used: only then is what is not found really not there."""

    def set_flow(self, namespace: str, flow: str, targets: Mapping[str, CaptureTarget]) -> None:
        """Replace the bindings of a Flow."""
        self.remove_flow(namespace, flow)
        for binding, target in targets.items():
            self._targets[(namespace, flow, binding)] = target

    def remove_flow(self, namespace: str, flow: str) -> None:
        """Forget a Flow."""
        for key in [key for key in self._targets if key[:2] == (namespace, flow)]:
            del self._targets[key]

    def find(self, namespace: str, flow: str, binding: str) -> CaptureTarget | None:
        """The binding at this path."""
        return self._targets.get((namespace, flow, binding))

    def may_come(self, namespace: str, flow: str) -> bool:
        """Whether a Flow is not here, but may be later."""
        return self._others_may_come and all(key[:2] != (namespace, flow) for key in self._targets)


@dataclass(slots=True)
class _Hand:
    """How much is in memory and not yet on disk."""

    requests: int = 0
    size: int = 0
    late: set[asyncio.Task[Any]] = field(default_factory=set)
    """What is still being stored though its sender has been told to come again."""
    waiting: int = 0
    """Senders of stored deliveries that wait for the outcome."""

    def add(self, requests: int, size: int) -> None:
        """Count so many more, or fewer."""
        self.requests += requests
        self.size += size


def capture_app(registry: CaptureRegistry) -> web.Server:
    """The server behind the capture port."""
    hand = _Hand()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        # As near to the accepted connection as aiohttp lets us: it has parsed the header already.
        reach("K01")
        parts = request.path.split("/")
        target = registry.find(*parts[2:5]) if parts[:2] == ["", "in"] and len(parts) >= 5 else None
        if target is not None and request.method == "POST" and len(parts) == 5:
            return await _take(request, target, hand)
        if target is not None and request.method == "GET" and len(parts) == 6:
            return await _tell(request, target, parts[5])
        is_delivery = request.method == "POST" and len(parts) == 5 and parts[:2] == ["", "in"]
        may_come = is_delivery and registry.may_come(*parts[2:4])
        if target is None and (may_come or not registry.is_whole):
            # Senders come again after a 503 and give up after a 404.
            return _later()
        return web.Response(status=404, text="not found\n")

    return BareServer(
        handle,
        access_log=None,
        max_line_size=8190,
        max_field_size=8190,
        keepalive_timeout=IDLE_TIMEOUT_S,
    )


async def _take(request: web.BaseRequest, target: CaptureTarget, hand: _Hand) -> web.StreamResponse:
    """Judge by the header; only what may be good is read, and only as much as there is room for."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    reach("K02")
    if headers_too_large(headers):
        return web.Response(status=431, text="too many headers\n")
    if headers.get("content-encoding", "identity") != "identity":
        return web.Response(status=415, text="send the body without content-encoding\n")
    limit = target.capture.max_body_bytes
    if (request.content_length or 0) > limit:
        return _too_large(limit)
    early = verify_headers(target.capture.verify, target.secret(), headers)
    if early not in (None, Proof.GOOD):
        return _refusal(early)
    if early is Proof.GOOD:
        _note_previous(target, headers, b"")
    expected = limit if request.content_length is None else request.content_length
    if hand.requests >= MAX_IN_HAND or hand.size + expected > MAX_BYTES_IN_HAND:
        return _later()
    hand.add(1, expected)
    try:
        kept = await _keep(request, target, headers, hand, proven=early is not None)
    finally:
        hand.add(-1, -expected)
    if isinstance(kept, web.StreamResponse):
        return kept
    # On disk now, so it takes no room here while its sender waits.
    within_s = target.answer_within_s or 0.0
    hand.waiting += 1
    try:
        return await _outcome(
            request, target, kept.id, within_s if hand.waiting <= MAX_WAITING else 0.0
        )
    finally:
        hand.waiting -= 1


async def _keep(
    request: web.BaseRequest,
    target: CaptureTarget,
    headers: dict[str, str],
    hand: _Hand,
    *,
    proven: bool,
) -> web.StreamResponse | Accepted:
    """Read, prove, store, answer; the sender that waits for the outcome is answered elsewhere.

    `proven` says that the header alone has proved the sender.
    """
    limit = target.capture.max_body_bytes
    try:
        body = await _read(request, limit)
    except (TimeoutError, web.HTTPException, ConnectionError):
        return web.Response(status=408, text="the body did not arrive in time\n")
    reach("K03")
    if body is None:
        return _too_large(limit)
    if not proven:
        proof = verify(target.capture.verify, target.secret(), headers, body)
        if proof is not Proof.GOOD:
            return _refusal(proof)
        _note_previous(target, headers, body)
    reach("K04")
    if is_too_deep(body, target.capture.max_depth):
        words = f"the body nests deeper than {target.capture.max_depth}\n"
        return web.Response(status=400, text=words)
    reach("K05")
    name = (target.capture.delivery_header or "").lower()
    delivery = readable(headers.get(name, "")) or None
    accepted = await _in_time(target.accept(delivery, kept_headers(headers), body), len(body), hand)
    if accepted is None:
        return _later()
    pause_s = target.pause_s()
    if pause_s > 0.0:
        await asyncio.sleep(pause_s)
    if target.answer_within_s is not None:
        return accepted
    answer = web.Response(status=target.capture.ack)
    await answer.prepare(request)
    reach("K10")
    await answer.write_eof()
    reach("K11")
    return answer


async def _in_time(
    accepting: Coroutine[Any, Any, Accepted], size: int, hand: _Hand
) -> Accepted | None:
    """What was stored; None where it was not, or takes so long that its sender must not wait for it.

    What is late is stored all the same, and its sender sends a copy. Until then it is counted as in hand:
    on a slow volume that is what keeps the memory from filling up.
    """
    loop = asyncio.get_running_loop()
    storing = loop.create_task(accepting)
    # By hand: `asyncio.wait` does the same for sets of tasks, at several times the cost.
    over: asyncio.Future[None] = loop.create_future()
    storing.add_done_callback(lambda _: _end(over))
    timer = loop.call_later(ACK_WITHIN_S, _end, over)
    try:
        await over
    finally:
        timer.cancel()
    if storing.done():
        return _stored(storing)

    def ended(late: asyncio.Task[Accepted]) -> None:
        hand.late.discard(late)
        hand.add(-1, -size)
        _stored(late)

    hand.late.add(storing)
    hand.add(1, size)
    storing.add_done_callback(ended)
    return None


def _end(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _stored(storing: asyncio.Task[Accepted]) -> Accepted | None:
    if storing.cancelled():
        return None
    error = storing.exception()
    if error is None:
        return storing.result()
    if not isinstance(error, StoreError):
        # Whatever it is, the delivery is not on disk: the sender must send it again.
        log.error("a delivery could not be stored", exc_info=error)
    return None


async def _tell(
    request: web.BaseRequest, target: CaptureTarget, delivery: str
) -> web.StreamResponse:
    """Answer a sender that asks later. It proves itself as for a delivery, over an empty body."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    proof = verify(target.capture.verify, target.secret(), headers, b"")
    if proof is not Proof.GOOD:
        return _refusal(proof)
    _note_previous(target, headers, b"")
    if not (delivery.isascii() and delivery.isdecimal() and len(delivery) < DIGITS):
        return web.Response(status=404, text="not found\n")
    return await _outcome(request, target, int(delivery), 0.0)


async def _outcome(
    request: web.BaseRequest, target: CaptureTarget, delivery: int, within_s: float
) -> web.StreamResponse:
    """200 with what became of a delivery, or 202 with the place to ask later."""
    try:
        found = await target.outcome(delivery, within_s)
    except StoreError:
        # It is on disk; only the look at it failed.
        found = {"delivery": delivery, "state": "waiting", "messages": []}
    if found is None:
        return web.Response(status=404, text="not found\n")
    place = "/".join([*request.path.split("/")[:5], str(delivery)])
    return web.json_response(
        found,
        status=200 if found["state"] == "ended" else 202,
        headers={"Location": place},
    )


async def _read(request: web.BaseRequest, limit: int) -> bytes | None:
    """The body; None where it is larger than `limit`.

    Raises:
        TimeoutError, web.HTTPException, ConnectionError: it does not come.
    """
    content = request.content
    if content.is_eof():  # it came with the header, as nearly always
        body = content.read_nowait()
        return body if len(body) <= limit else None
    chunks, size = [], 0
    async with asyncio.timeout(READ_TIMEOUT_S):
        async for chunk in content.iter_any():
            size += len(chunk)
            if size > limit:
                return None
            chunks.append(chunk)
    return b"".join(chunks)


def _note_previous(target: CaptureTarget, headers: Mapping[str, str], body: bytes) -> None:
    needed = outdated_proof(target.capture.verify, target.secret() or {}, headers, body)
    if needed:
        target.on_previous(needed)


def _refusal(proof: Proof | None) -> web.Response:
    if proof is Proof.WRONG:
        return web.Response(status=401, text="the credential is wrong\n")
    # Our own Secret is missing: the sender must try again rather than give up.
    return _later()


def _too_large(limit: int) -> web.Response:
    return web.Response(status=413, text=f"the body is larger than {limit} bytes\n")


def _later() -> web.Response:
    # Never 429: most senders do not retry it (domain reference, finding 4).
    return web.Response(
        status=503, headers={"Retry-After": RETRY_AFTER_S}, text="try again later\n"
    )
