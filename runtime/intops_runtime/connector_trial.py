"""Tries one Connector against its system: address, TLS, credentials, login, rights, what is there, clock, limits.

Called by `intops connector test`. Only reads are sent, through the same guard, client and proof as a worker's; what
the answers mean is said by `intops_core.connector_trials`. It takes at most `within_s` seconds.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

from intops_api.connector import ConnectorSpec
from intops_api.connector_class import ConnectorClassSpec, Operation, Request
from intops_api.plan import PlanBinding
from intops_api.self_test import Discovered, Look, Rights, SelfTest
from intops_core import connector_trials as trials
from intops_core.connector_trials import Check, Reply
from intops_core.expressions import EvaluationError, activation, compile_expression
from intops_core.limits import limits_in_use
from intops_core.sent_values import Instance, Uses, compared, texts
from intops_runtime.core.addresses import AddressPolicy
from intops_runtime.core.classifying import Failure
from intops_runtime.core.compiled import CompiledSystem
from intops_runtime.core.exchanges import Facts, HttpRequest, HttpResponse
from intops_runtime.core.requests import CompiledClass, CompiledOperation
from intops_runtime.edges.outbound import PooledOutbound, TransportError
from intops_runtime.target import Target

# Of one request: a system that is well answers such a read at once.
READ_S: Final = 10.0
_DAY_S: Final = 86400.0
_NAMES: Final = frozenset({"response", "config", "link"})


@dataclass(frozen=True, slots=True)
class Tried:
    """What is tried.

    Attributes:
        name: The Connector.
        spec: What it says.
        class_name: Its class.
        class_: What that says.
        secret: What is known of its Secret, without values.
        values: The values, where they could be read.
        authority: `ca.crt` of `spec.tls.caSecretName`; None where it names none.
        uses: What Flows send to it.
    """

    name: str
    spec: ConnectorSpec
    class_name: str
    class_: ConnectorClassSpec
    secret: trials.Secret
    values: Mapping[str, str] | None
    authority: str | None
    uses: Uses


class _Listening(PooledOutbound):
    """The worker's client, which keeps what was asked last and what came, for its date and its headers."""

    asked = ""
    last: HttpResponse | None = None
    skew_s: float | None = None

    async def send(
        self,
        request: HttpRequest,
        credential: Mapping[str, str],
        before: Callable[[], None] | None = None,
    ) -> HttpResponse:
        """See Outbound; nothing but a read goes out."""
        self.asked = f"{request.method} {urlsplit(request.url).path}"
        self.last, begun = None, time.time()
        answer = await super().send(request, credential, before)
        self.last = answer
        told = _date(answer.headers.get("date", ""))
        if told is not None:
            self.skew_s = told + 0.5 - (begun + time.time()) / 2
        return answer


async def try_connector(tried: Tried, policy: AddressPolicy, *, within_s: float) -> list[Check]:
    """Every step in its order; what cannot be tried says why."""
    endpoint = tried.spec.endpoint
    if endpoint is None:
        why = "the Connector has no endpoint: its system sends to intops and is not called"
        return [
            trials.skipped("address", why),
            trials.credentials(tried.secret, tried.class_.credentials),
        ]
    outbound = _Listening(policy, concurrency=1, authorities=tried.authority)
    trial = _Trial(tried, endpoint, outbound, time.monotonic() + within_s)
    try:
        return await trial.run()
    finally:
        await outbound.close()


class _Trial:
    """One run."""

    def __init__(self, tried: Tried, endpoint: str, outbound: _Listening, ends_at: float) -> None:
        self._tried, self._endpoint, self._outbound = tried, endpoint, outbound
        self._ends_at = ends_at
        self._limits = limits_in_use(tried.spec.limits, tried.class_.limits)
        defaults = {
            name: schema.default
            for name, schema in tried.class_.config_schema.items()
            if schema.default is not None
        }
        self._config = {**defaults, **tried.spec.config}
        binding = PlanBinding(
            role="target", name=tried.name, connector=tried.name, class_name=tried.class_name,
            class_="", endpoint=endpoint, config=self._config, secret_name=tried.secret.name or None,
            requests_per_second=self._limits.requests_per_second, concurrency=1,
            timeout=f"{READ_S:.0f}s",
        )  # fmt: skip
        system = CompiledSystem(binding, CompiledClass(tried.class_name, tried.class_), {})
        self._target = Target(
            system, outbound, lambda _: tried.values, on_gate=lambda _name, _open: None
        )

    async def run(self) -> list[Check]:
        """See `try_connector`."""
        checks, arrived = await self._door()
        keys = trials.credentials(self._tried.secret, self._tried.class_.credentials)
        checks.append(keys)
        why = ""
        if not arrived:
            why = "there is no connection"
        elif self._tried.secret.unread or keys.level == "fail":
            why = "there are no credentials here to try"
        test = _self_test(self._tried.class_)
        if test is None:
            why = why or f'class "{self._tried.class_name}" declares no selfTest'
        if why or test is None:
            return [
                *checks,
                *(trials.skipped(step, why) for step in ("login", "rights", "discovery")),
            ]
        reply, answer = await self._look(test.read)
        who = self._value(test.who, answer)
        login = trials.login(reply, self._tried.secret.name, str(who) if who else None)
        checks.append(login)
        if login.level == "ok":
            checks += await self._rights(test.rights)
            checks += await self._discovery()
        else:
            why = "nothing can be read without a login"
            checks += [trials.skipped("rights", why), trials.skipped("discovery", why)]
        last = self._outbound.last
        if self._outbound.skew_s is not None or last is not None:
            checks.append(trials.clock(reply.asked, self._outbound.skew_s))
            headers = last.headers if last is not None else {}
            checks.append(trials.limits(headers, self._limits))
        return checks

    async def _door(self) -> tuple[list[Check], bool]:
        """Address and TLS, before anything is said."""
        host = urlsplit(self._endpoint).hostname or self._endpoint
        kind, words, addresses = "", "", list[str]()
        try:
            addresses = await self._outbound.arrive(self._endpoint, min(READ_S, self._left_s()))
        except TransportError as error:
            kind, words = error.kind, error.message
            addresses = [host] if kind == "tls" else []
        checks = [trials.address(host, addresses, kind, words)]
        if kind not in ("", "tls"):
            return [*checks, trials.skipped("tls", "there is no connection")], False
        ends = self._outbound.certificate_ends
        days = None if ends is None else (ends - time.time()) / _DAY_S
        tls = self._tried.spec.tls
        own = tls.ca_secret_name if tls is not None else None
        checks.append(trials.tls(self._endpoint, words, days, own_authority=own))
        return checks, not kind

    async def _rights(self, rights: Rights | None) -> list[Check]:
        if rights is None:
            words = "the system does not tell them without a write; the first messages show them"
            return [trials.skipped("rights", words)]
        offered = self._tried.uses.operations
        needs = [one for one in rights.needs if offered & set(one.operations)]
        reply, answer = await self._look(rights.read)
        found = []
        for one in needs:
            told = self._value(one.granted, answer)
            granted = told if isinstance(told, bool) else None
            found.append(trials.right(one, reply, granted=granted, offered=offered))
        return found

    async def _discovery(self) -> list[Check]:
        listed = self._tried.class_.discovery
        if not listed:
            words = f'class "{self._tried.class_name}" declares no discovery'
            return [trials.skipped("discovery", words)]
        return [check for one in listed for check in await self._discover(one)]

    async def _discover(self, of: Discovered) -> list[Check]:
        link: dict[str, Any] = {}
        if of.first is not None:
            reply, answer = await self._look(of.first.read)
            found = self._value(of.first.native_id, answer)
            if not reply.ok or found is None:
                reply = reply if not reply.ok else Reply(reply.asked, "notFound", "it is not there")
                return [trials.unread_discovery(of.name, reply)]
            link = {"nativeId": str(found)}
        reply, answer = await self._look(of.read, link)
        if not reply.ok:
            return [trials.unread_discovery(of.name, reply)]
        instance = Instance(
            {path: texts(self._value(cel, answer, link)) for path, cel in of.values.items()},
            {path: texts(self._value(cel, answer, link)) for path, cel in of.keys.items()},
            texts(self._value(of.required, answer, link)),
        )
        return compared(reply.asked, of, instance, self._tried.uses.sent)

    async def _look(
        self, look: Look, link: Mapping[str, Any] | None = None
    ) -> tuple[Reply, HttpResponse | None]:
        """One read, judged as a worker judges it."""
        spec = Operation(
            request=Request(path=look.path, params=look.params, query=look.query),
            success=look.success,
        )
        operation = CompiledOperation("test", spec, self._tried.class_.headers)
        self._outbound.asked, self._outbound.last = f"GET {look.path}", None
        try:
            async with asyncio.timeout(max(self._left_s(), 0.0)):
                found = await self._target.call(operation, Facts(self._config, link=link or {}))
        except TimeoutError:
            words = "the time for the whole test is over"
            return Reply(self._outbound.asked, "timeout", words), None
        asked, last = self._outbound.asked, self._outbound.last
        if isinstance(found, Failure):
            status = last.status if last is not None else found.status
            page = last is not None and _is_page(last)
            return Reply(asked, found.error_class, found.detail, status, page, found.rule), None
        return Reply(asked, status=found.response.status), found.response

    def _value(
        self, source: str | None, answer: HttpResponse | None, link: Mapping[str, Any] | None = None
    ) -> Any:
        """What an expression reads of an answer; None where it reads nothing."""
        if source is None or answer is None:
            return None
        names = {"response": answer.as_value(), "config": self._config, "link": link or {}}
        try:
            return compile_expression(source, _NAMES).evaluate(activation(names))
        except EvaluationError:
            return None

    def _left_s(self) -> float:
        return self._ends_at - time.monotonic()


def _self_test(class_: ConnectorClassSpec) -> SelfTest | None:
    """What the class declares, else its probe where that is a plain read."""
    probe = class_.operations.get("probe")
    if class_.self_test is not None or probe is None or probe.request.method != "GET":
        return class_.self_test
    request = probe.request
    look = Look(
        path=request.path, params=request.params, query=request.query, success=probe.success
    )
    return SelfTest(read=look)


def _is_page(answer: HttpResponse) -> bool:
    return isinstance(answer.body, str) and "<html" in answer.body[:2000].lower()


def _date(text: str) -> float | None:
    """Epoch seconds of a Date header; None for none or garbage."""
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
