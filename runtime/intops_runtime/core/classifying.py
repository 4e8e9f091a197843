"""Which of the eighteen error classes a failed request belongs to, and on what evidence.

The class's own matchers come first, then transport and status (domain reference, section 3.1).
Every status and every transport failure falls into exactly one class.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal

from intops_api.connector_class import ErrorClassName
from intops_core.expressions import Activation, EvaluationError, Program, activation
from intops_runtime.core.exchanges import HttpRequest, HttpResponse
from intops_runtime.core.hiding import without
from intops_runtime.core.requests import CompiledClass

TransportKind = Literal[
    "refused", "dns", "tls", "connect", "reset", "timeout", "blocked", "unsendable", "protocol"
]

# A request that failed this way never reached the system: nothing was done.
NOT_SENT: frozenset[TransportKind] = frozenset(
    {"refused", "dns", "tls", "connect", "blocked", "unsendable"}
)

# One hour: a longer Retry-After is taken for a mistake of the sender.
MAX_RETRY_AFTER_S = 3600.0
MAX_DETAIL = 300
MAX_FIELD = 100
# 2001: a larger number of a reset header is a time, a smaller one a duration.
_EARLIEST_EPOCH_S = 1_000_000_000.0


# What decided where the worker's own guard refuses an address, or to send a Secret there.
ADDRESS_REFUSED: Final = "transport:blocked"
ORIGIN_REFUSED: Final = "credential:origin"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request did not do its work.

    `effect_unknown` says that the system may have done it nevertheless; it is looked up before
    anything is repeated. `rule` names what decided. `retry_after_s` is in seconds.
    """

    error_class: ErrorClassName
    detail: str
    rule: str
    effect_unknown: bool = False
    retry_after_s: float | None = None
    status: int | None = None
    path: str | None = None
    """The field of the record that the system names."""

    @property
    def by_guard(self) -> bool:
        """Whether the worker itself would not send it, for a reason that all messages of the system share."""
        return self.error_class == "policyDenied" and self.rule in (ADDRESS_REFUSED, ORIGIN_REFUSED)

    def evidence(self) -> dict[str, Any]:
        """What is kept with the attempt that failed so: the rule that decided, and what it saw."""
        known = {"rule": self.rule, "detail": self.detail, "status": self.status}
        return {name: value for name, value in known.items() if value is not None}


def of_transport(kind: TransportKind, detail: str) -> Failure:
    """The failure of a request that got no answer."""
    if kind == "timeout":
        return Failure("timeout", detail, "transport:timeout", effect_unknown=True)
    if kind in ("blocked", "unsendable"):
        return Failure("policyDenied", detail, f"transport:{kind}")
    return Failure(
        "transientNetwork", detail, f"transport:{kind}", effect_unknown=kind not in NOT_SENT
    )


def of_response(
    compiled: CompiledClass,
    request: HttpRequest,
    response: HttpResponse,
    *,
    now: datetime,
    secrets: Collection[str] = (),
) -> Failure:
    """The failure that an answer is; `secrets` are masked where its words quote them."""
    names = {
        "record": {},
        "key": "",
        "link": {},
        "config": {},
        "text": "",
        "step": {},
        "item": {},
        "request": {"method": request.method, "url": request.url, "body": request.body},
        "response": response.as_value(),
    }
    scope = activation(names)
    writes = request.method != "GET"
    for index, (error_class, when, retry_after, detail, path) in enumerate(compiled.matchers):
        try:
            if when.evaluate(scope) is not True:
                continue
        except EvaluationError:
            continue
        words, wait = f"HTTP {response.status}", pause_s(response.headers, now=now)
        try:
            if detail is not None:
                words = without(f"HTTP {response.status}: {detail.evaluate(scope)}", secrets)
            if retry_after is not None:
                asked = float(retry_after.evaluate(scope))
                wait = _bounded(asked) if math.isfinite(asked) else wait
        except (EvaluationError, TypeError, ValueError, OverflowError):
            pass  # the evidence is thinner then, the class is the same
        return Failure(
            error_class,
            words[:MAX_DETAIL],
            f"{compiled.name}:errors[{index}]",
            effect_unknown=writes and response.status >= 500,
            retry_after_s=wait,
            status=response.status,
            path=_field(path, scope, secrets),
        )
    return _of_status(response, writes=writes, now=now)


def _field(program: Program | None, scope: Activation, secrets: Collection[str]) -> str | None:
    """The field that an answer names; None where it names none, or something that is no short text."""
    try:
        named = program.evaluate(scope) if program is not None else None
    except EvaluationError:
        return None
    return without(named, secrets)[:MAX_FIELD] if isinstance(named, str) and named else None


def _of_status(response: HttpResponse, *, writes: bool, now: datetime) -> Failure:
    status = response.status
    wait = retry_after_s(response.headers, now=now)
    error_class: ErrorClassName
    if status == 429 or (status == 503 and wait is not None):
        error_class, wait = "rateLimited", pause_s(response.headers, now=now)
    elif status in (401, 407):
        error_class = "authDenied"
    elif status == 403:
        error_class = "forbidden"
    elif status in (404, 410):
        error_class = "notFound"
    elif status in (409, 412, 423, 428):
        error_class = "conflict"
    elif status == 408:
        error_class = "timeout"
    elif status in (502, 503, 504):
        error_class = "transientNetwork"
    elif status >= 500:
        error_class = "destinationDown"
    elif status >= 400:
        error_class = "validation"
    elif isinstance(response.body, str) and "<html" in response.body[:2000].lower():
        error_class = "destinationDown"  # a maintenance page that comes with 200
    else:
        error_class = (
            "schemaDrift"  # 1xx to 3xx, or a 2xx that is not the success that the class knows
        )
    return Failure(
        error_class,
        f"HTTP {status}",
        f"status:{status}",
        # 429 and 503 with Retry-After were refused at the door; other 5xx and odd 2xx may have worked.
        effect_unknown=writes and error_class != "rateLimited" and (status >= 500 or status < 300),
        retry_after_s=wait,
        status=status,
    )


def pause_s(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Seconds until a limit ends, by the first header that can be read; None if none can.

    Retry-After comes first, then `ratelimit-reset` (seconds), then `X-RateLimit-Reset`, which is Unix
    time in one system, ISO 8601 in another and seconds in a third (domain reference, section 3.1, class 3).

    >>> pause_s({"retry-after": "soon", "ratelimit-reset": "12"}, now=datetime(2026, 1, 1, tzinfo=UTC))
    12.0
    """
    asked = retry_after_s(headers, now=now)
    for name in ("ratelimit-reset", "x-ratelimit-reset"):
        if asked is None:
            asked = _reset_s(headers.get(name, "").strip(), now)
    return asked


def _reset_s(text: str, now: datetime) -> float | None:
    try:
        number = float(text)
    except ValueError:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            return None
        return _until_s(at, now)
    if not math.isfinite(number):
        return None
    if number >= _EARLIEST_EPOCH_S:
        number = (number / 1000 if number >= _EARLIEST_EPOCH_S * 1000 else number) - now.timestamp()
    return _bounded(number)


def retry_after_s(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Seconds that Retry-After asks for, as a number or a date (RFC 9110, 10.2.3); None for garbage.

    >>> retry_after_s({"retry-after": "7"}, now=datetime(2026, 1, 1, tzinfo=UTC))
    7.0
    """
    text = headers.get("retry-after", "").strip()
    if text.isdecimal() and text.isascii():
        return min(float(text[:20]), MAX_RETRY_AFTER_S)
    try:
        return _until_s(parsedate_to_datetime(text), now)
    except (ValueError, OverflowError):  # a day of twenty digits is no ValueError
        return None


def _until_s(at: datetime, now: datetime) -> float:
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return _bounded((at - now).total_seconds())


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)
