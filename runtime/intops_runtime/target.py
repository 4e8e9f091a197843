"""One target binding at work: its gate, its limits, its credential, and the requests to it.

The lane asks it for operations; it answers with what was found or with a Failure. It never decides
what becomes of a message.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from intops_api.names import SECRET_ALLOWED_ORIGINS
from intops_runtime.core import classifying
from intops_runtime.core.budget import RetryBudget
from intops_runtime.core.classifying import Failure
from intops_runtime.core.compiled import CompiledSystem
from intops_runtime.core.exchanges import (
    Difference,
    Facts,
    Found,
    HttpRequest,
    HttpResponse,
    RequestError,
)
from intops_runtime.core.gates import Gate
from intops_runtime.core.hiding import quotable
from intops_runtime.core.masking import personal_values
from intops_runtime.core.proving import CredentialMissing, credential_headers
from intops_runtime.core.requests import CompiledOperation
from intops_runtime.edges.clock import utc_now
from intops_runtime.edges.outbound import (
    Outbound,
    TransportError,
)
from intops_runtime.edges.tokens import Token, TokenSource

REFUSED = frozenset({"authDenied", "authExpired"})
# How often a message that waits for a slot looks whether the ramp has raised the limit.
RAMP_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Answer:
    """A request that did its work."""

    request: HttpRequest
    response: HttpResponse
    found: Found


@dataclass(frozen=True, slots=True)
class _Proof:
    """Headers of a credential, and the token that they were made from."""

    headers: Mapping[str, str]
    token: Token | None = None


class _Turn:
    """One slot of a target, while it is used. A class, because a generator costs more in every message."""

    __slots__ = ("_target",)

    def __init__(self, target: "Target") -> None:
        self._target = target

    async def __aenter__(self) -> None:
        await self._target.enter()

    async def __aexit__(self, *_: object) -> None:
        self._target.leave()


class Target:
    """Everything that sends to one binding goes through one of these."""

    def __init__(
        self,
        compiled: CompiledSystem,
        outbound: Outbound,
        secrets: Callable[[str | None], Mapping[str, str] | None],
        *,
        on_gate: Callable[[str, bool], None],
    ) -> None:
        self.compiled = compiled
        self._outbound = outbound
        self._secrets = secrets
        self._on_gate = on_gate
        self.personal: tuple[str, ...] = ()
        """Paths of what is written that hold personal data: masked where the system quotes them."""
        self._gate = Gate()
        self.budget = RetryBudget()
        self._credential = 0
        """Goes up with every change of the credential or of the binding."""
        self._tokens = self._token_source()
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._next_slot_at = 0.0

    @property
    def name(self) -> str:
        """Name of the binding."""
        return self.compiled.binding.name

    @property
    def gate(self) -> Gate:
        """Whether and why the way is closed."""
        return self._gate

    @property
    def certificate_ends(self) -> float | None:
        """When the certificate ends that the system has shown, epoch seconds; None if it has shown none."""
        return self._outbound.certificate_ends

    def set_gate(self, gate: Gate) -> None:
        """Change the gate; tell the scheduler, and whether a closed way is open again."""
        before, self._gate = self._gate.state, gate
        if gate.state != before:
            self._on_gate(self.name, before in ("open", "held") and gate.state == "ok")

    def replace(self, compiled: CompiledSystem, outbound: Outbound) -> Outbound:
        """Use a new plan's binding; returns the old client, to be closed when it is idle."""
        before = self.compiled.binding
        old, self._outbound, self.compiled = self._outbound, outbound, compiled
        self._tokens = self._token_source()
        self._credential += 1
        # What was refused is not tried again for a plan that leaves the Connector as it was.
        if compiled.binding != before:
            self._mended()
        return old

    def _mended(self) -> None:
        if self._gate.state == "held":
            self.set_gate(self._gate.mended(time.monotonic()))

    def _token_source(self) -> TokenSource | None:
        auth = self.compiled.class_.spec.auth
        if auth is None or auth.scheme != "oauth2" or auth.oauth2 is None:
            return None
        # By its name: whoever waits for a token of this binding must not send the Secret of the next one.
        name = self.compiled.binding.secret_name
        return TokenSource(auth.oauth2, lambda: self._outbound, lambda: self._secrets(name))

    def _secret(self) -> Mapping[str, str] | None:
        return self._secrets(self.compiled.binding.secret_name)

    @property
    def slots(self) -> int:
        """How many requests may run now: the limit, less while the system recovers or after it set one."""
        limit = self.compiled.binding.concurrency
        if self._gate.ramp_started_at is None and self._gate.slowed_to >= 1.0:
            return limit
        return max(1, int(limit * self._gate.share(time.monotonic())))

    def turn(self) -> "_Turn":
        """Wait for a free slot and for the next moment that the rate allows: `async with`."""
        return _Turn(self)

    async def enter(self) -> None:
        """See turn."""
        while self._running >= self.slots:
            await self._slot_may_be_free()
        self._running += 1
        try:
            await self._pace()
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """See turn."""
        self._running -= 1
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                break

    async def _slot_may_be_free(self) -> None:
        """Until somebody leaves, or for a moment: a ramp raises the limit without anybody leaving."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RAMP_LOOK_S):
                    await waiter
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    async def _pace(self) -> None:
        now = time.monotonic()
        interval = 1.0 / self.compiled.binding.requests_per_second
        slot = max(self._next_slot_at, now - interval * 4)  # a burst of four after a pause
        self._next_slot_at = slot + interval
        if slot > now:
            try:
                await asyncio.sleep(slot - now)
            except BaseException:
                self._next_slot_at -= interval  # whoever gives up must not use up the rate
                raise

    def operation(self, name: str) -> CompiledOperation | None:
        """The class's operation of that name, if it has one."""
        return self.compiled.class_.operations.get(name)

    async def call(
        self,
        operation: CompiledOperation,
        facts: Facts,
        *,
        headers: Mapping[str, str] | None = None,
        before: Callable[[], None] | None = None,
        request: HttpRequest | None = None,
    ) -> Answer | Failure:
        """Send one operation and judge the answer. Never raises for what the system does.

        `before` is called when everything is ready to be sent, and may raise to keep it from being sent.
        `request` is sent instead of the one that the operation makes of the facts: a further page.
        """
        credential = self._credential
        sent = await self._send(operation, facts, headers or {}, before, request)
        if isinstance(sent, Failure):
            return sent
        request, response, proof = sent
        if not operation.succeeded(facts, request, response):
            words = [
                *quotable(self.compiled.class_.spec.auth, self._secret() or {}, proof.headers),
                *facts.personal,
                *personal_values(facts.record, self.personal),
            ]
            failure = classifying.of_response(
                self.compiled.class_, request, response, now=utc_now(), secrets=words
            )
            self._note(failure, credential)
            return failure
        self.set_gate(self._gate.succeeded(time.monotonic()))
        return Answer(request, response, operation.found(facts, request, response))

    async def read_back(
        self, operation: CompiledOperation, facts: Facts
    ) -> tuple[Found, list[Difference]] | Failure:
        """Read what `operation` wrote and compare it with `facts.record`."""
        reader = self.operation(
            operation.spec.read_back.operation if operation.spec.read_back else "get"
        )
        if reader is None:
            return Failure("schemaDrift", "the class names no operation to read with", "readBack")
        answer = await self.call(reader, facts)
        if isinstance(answer, Failure):
            return answer
        return answer.found, operation.differences(facts, answer.request, answer.response)

    async def _send(
        self,
        operation: CompiledOperation,
        facts: Facts,
        headers: Mapping[str, str],
        before: Callable[[], None] | None,
        given: HttpRequest | None = None,
    ) -> "tuple[HttpRequest, HttpResponse, _Proof] | Failure":
        binding, credential = self.compiled.binding, self._credential
        try:
            request = given or operation.request(
                binding.endpoint or "", facts, headers=headers, timeout_s=self.compiled.timeout_s
            )
        except RequestError as error:
            return Failure("validation", f"{error.path}: {error.message}", "request")
        proof = await self._proof()
        if isinstance(proof, Failure):
            self._note(proof, credential)
            return proof
        try:
            response = await self._outbound.send(request, proof.headers, before)
            same = credential == self._credential  # else the next credential is for another address
            if same and proof.token is not None and self._is_expired(request, response):
                # A token may end before its time. The request was refused at the door, so it is the
                # same request that is sent once more.
                self._refused(proof.token)
                proof = await self._proof()
                if isinstance(proof, Failure):
                    self._note(proof, credential)
                    return proof
                response = await self._outbound.send(request, proof.headers, before)
            return request, response, proof
        except TransportError as error:
            failure = classifying.of_transport(error.kind, error.message)
            self._note(failure, credential)
            return failure

    def _refused(self, token: Token) -> None:
        if self._tokens is not None:
            self._tokens.refused(token)

    async def _proof(self) -> "_Proof | Failure":
        """The headers that prove us, fetched where they must be."""
        binding, secret = self.compiled.binding, self._secret() or {}
        auth = self.compiled.class_.spec.auth
        places = [binding.endpoint or ""]
        if self._tokens is not None:
            places.append(self.compiled.token_url)
        for place in places:
            elsewhere = _not_for(place, secret)
            if elsewhere is not None:
                words = f'{SECRET_ALLOWED_ORIGINS} of Secret "{binding.secret_name}" does not list {elsewhere}'
                return Failure("policyDenied", words, classifying.ORIGIN_REFUSED)
        try:
            if self._tokens is None:
                return _Proof(credential_headers(auth, secret))
            token = await self._tokens.token(self.compiled.token_url)
        except CredentialMissing as error:
            words = f'Secret "{binding.secret_name}" has no key "{error.key}"'
            return Failure("authDenied", words, "credential:missing")
        return token if isinstance(token, Failure) else _Proof(token.headers(), token)

    def _is_expired(self, request: HttpRequest, response: HttpResponse) -> bool:
        if response.status == 401:
            return True
        if response.status < 400:
            return False
        found = classifying.of_response(self.compiled.class_, request, response, now=utc_now())
        return found.error_class == "authExpired"

    def _note(self, failure: Failure, credential: int) -> None:
        """Let the gate know; what becomes of the message is decided elsewhere."""
        now, wall = time.monotonic(), time.time()
        gate = self._gate
        holds = failure.by_guard or failure.error_class in REFUSED
        if holds and credential != self._credential:
            # An older credential or address was refused: that says nothing about what is there now.
            return
        match failure.error_class:
            case name if holds:
                held_for = name if failure.by_guard else "authDenied"
                gate = gate.hold(now, wall, held_for, failure.detail)
            case "destinationDown":
                gate = gate.shut(now, wall, "destinationDown", failure.detail)
            case "transientNetwork" | "timeout":
                gate = gate.failed(now, wall, "destinationDown", failure.detail)
            case "rateLimited":
                gate = gate.limit(now, wall, failure.retry_after_s or 2.0, failure.detail)
            case _:
                # A refusal of one message shows that the system lives.
                gate = gate.succeeded(now) if gate.state != "held" else gate
        self.set_gate(gate)

    async def probe(self) -> None:
        """Ask whether the system is back, with the class's cheap read where it has one."""
        operation = self.operation("probe")
        if operation is None:
            # Without a cheap read the next message is the probe.
            self.set_gate(self._gate.succeeded(time.monotonic()))
            return
        answer = await self.call(operation, Facts(self.compiled.binding.config))
        if isinstance(answer, Failure):
            self.set_gate(self._gate.probe_failed(time.monotonic()))

    def credential_changed(self) -> None:
        """A new Secret: try it at once."""
        self._credential += 1
        if self._tokens is not None:
            self._tokens.forget()
        self._mended()

    async def close(self) -> None:
        """Give connections back."""
        await self._outbound.close()


def _not_for(endpoint: str, secret: Mapping[str, str]) -> str | None:
    """Origin of the endpoint where the Secret's owner has bound it to others; None where it may go.

    Whoever may edit a Connector but not read its Secret could else have it sent to a host of theirs.
    """
    listed = secret.get(SECRET_ALLOWED_ORIGINS)
    if listed is None:
        return None
    parts = urlsplit(endpoint)
    origin = f"{parts.scheme}://{parts.netloc}".lower()
    allowed = {text.strip().rstrip("/").lower() for text in listed.replace("\n", ",").split(",")}
    return None if origin in allowed else origin
