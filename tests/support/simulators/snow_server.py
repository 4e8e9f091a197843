"""Serves the simulated ServiceNow instance over HTTP: proof of the user, limits, sleep, faults, ledger, `/_sim/`.

Used by `support.simulators.servicenow`, which runs it as its own process, and by tests in their own loop.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from aiohttp import web

from support.simulators.desk_faults import Fault, FaultSource
from support.simulators.desk_ledger import ANSWERED, Entry, Ledger
from support.simulators.snow_rest import JSON, VICES, Answer, Call, SnowRest, failure
from support.simulators.snow_store import Row, SnowStore

MAX_BODY_BYTES = 10 * 1024 * 1024
MAINTENANCE_PAGE = "<!DOCTYPE html><html><head><title>Maintenance</title></head><body>We are back soon</body></html>"
SLEEPING_PAGE = (
    "<html><head><title>Hibernating</title></head><body>The instance is asleep</body></html>"
)


@dataclass(slots=True)
class Instance:
    """How one instance behaves; everything but the credentials can be changed at `/_sim/instance`."""

    users: dict[str, str]
    """Name → password, for Basic authentication and for the password grant of OAuth 2."""
    clients: dict[str, str] = field(default_factory=dict)
    """Id → secret of OAuth 2 clients."""
    api_keys: list[str] = field(default_factory=list)
    """Accepted values of `x-sn-apikey`."""
    token_life_s: float = 1800.0
    """Seconds until an access token ends."""
    limit: int = 0
    """Requests that one user may make in a window; 0 is no limit."""
    window_s: float = 3600.0
    """Length of that window in seconds; a real one is an hour."""
    asleep: int = 0
    """Requests that meet the page of an instance that wakes up."""
    denied: bool = False
    """Whether the user may not write incidents."""
    hidden: list[str] = field(default_factory=list)
    """Fields that the user may not read."""
    mandatory: list[str] = field(default_factory=list)
    """Fields of an incident that a data policy demands at every insert."""


CHANGEABLE = ("token_life_s", "limit", "window_s", "asleep", "denied", "hidden", "mandatory")


class SnowServer:
    """One instance behind one listening socket.

    Args:
        instance: Its users and how it behaves.
        vices: Those of `VICES` that are on.
        base: Address in links; the one that is asked if empty.
    """

    def __init__(
        self, instance: Instance, vices: frozenset[str] = frozenset(VICES), base: str = ""
    ) -> None:
        self.instance = instance
        self.faults = FaultSource()
        self.store = SnowStore(vices)
        self.ledger = Ledger(None)
        self.requests: list[str] = []
        """Method and path with query of every request of the Table API, oldest first."""
        self._rest = SnowRest(self.store, base, vices)
        self._tokens: dict[str, tuple[str, float]] = {}
        self._windows: dict[str, tuple[float, int]] = {}

    @property
    def incidents(self) -> list[Row]:
        """Every incident, oldest first."""
        return list(self.store.tables["incident"].values())

    def notes(self, element: str) -> list[str]:
        """Everything that was added to a journal, such as `work_notes`."""
        journal = self.store.tables["sys_journal_field"].values()
        return [row["value"] for row in journal if row["element"] == element]

    def edit(self, sys_id: str, user: str = "agent", **changes: str) -> Row:
        """Change an incident as a person would; rules apply."""
        row = self.store.tables["incident"][sys_id]
        return self.store.update("incident", row, changes, user=user, now=time.time())

    def app(self) -> web.Application:
        """The web application."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_route("*", "/_sim/{what:.*}", self._admin)
        app.router.add_post("/oauth_token.do", self._token)
        app.router.add_route("*", "/api/now/{path:.*}", self._serve)
        return app

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append(f"{request.method} {request.path_qs}")
        if self.faults.settings.latency_s:
            await asyncio.sleep(self.faults.settings.latency_s)
        if self.faults.settings.maintenance:
            return web.Response(text=MAINTENANCE_PAGE, content_type="text/html")
        if self.instance.asleep:
            self.instance.asleep -= 1
            return web.Response(text=SLEEPING_PAGE, content_type="text/html")
        user = self._user(request)
        if user is None:
            return _response(
                failure(401, "User Not Authenticated", "Required to provide Auth information")
            )
        call = Call(
            method=request.method,
            path=request.match_info["path"],
            params=request.query,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
            user=user,
            now=time.time(),
        )
        limits, refusal = self._counted(user, call.now)
        fault = None if refusal else self.faults.draw(call.operation)
        if fault in (Fault.FAIL, Fault.RESET_BEFORE, Fault.HANG_BEFORE):
            self._note(call, Answer(0), fault, worked=False)
            return await self._spoil(request, fault)
        answer = refusal or self._answer(call)
        answer.headers.update(limits)
        self._note(call, answer, fault, worked=True)
        return _response(answer) if fault is None else await self._spoil(request, fault)

    def _answer(self, call: Call) -> Answer:
        self._rest.hidden = set(self.instance.hidden)
        self.store.mandatory = set(self.instance.mandatory)
        if self.instance.denied and call.operation != "read":
            words = "ACL Exception Insert Failed due to security constraints"
            return failure(403, "Operation Failed", words)
        return self._rest.answer(call)

    def _counted(self, user: str, now: float) -> tuple[dict[str, str], Answer | None]:
        """The headers of the limit, and the refusal where it is reached."""
        limit, window = self.instance.limit, self.instance.window_s
        if not limit:
            return {}, None
        began, count = self._windows.get(user, (now, 0))
        if now >= began + window:
            began, count = now, 0
        self._windows[user] = began, count + 1
        headers = {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Reset": str(int(began + window) + 1),
            "X-RateLimit-Rule": "Table API by user",
        }
        if count < limit:
            return headers, None
        words = f"Rate limit of {limit} requests per hour for Table API exceeded"
        refusal = failure(429, "Rate limit exceeded", words)
        return {**headers, "Retry-After": str(int(began + window - now) + 1)}, refusal

    def _user(self, request: web.Request) -> str | None:
        if self.faults.settings.refuse_token:
            return None
        if request.headers.get("x-sn-apikey") in self.instance.api_keys:
            return "intops"
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            user, ends = self._tokens.get(value, ("", 0.0))
            return user if ends > time.time() else None
        if scheme.lower() == "basic":
            for name, password in self.instance.users.items():
                if value == base64.b64encode(f"{name}:{password}".encode()).decode():
                    return name
        return None

    async def _token(self, request: web.Request) -> web.Response:
        """OAuth 2: the grants `password` and `client_credentials`, the client in the form."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        client = form.get("client_id", "")
        user = form.get("username", "intops")
        known = bool(client) and self.instance.clients.get(client) == form.get("client_secret")
        if form.get("grant_type") == "password":
            known = known and self.instance.users.get(user) == form.get("password")
        elif form.get("grant_type") != "client_credentials":
            known = False
        if not known:
            words = {"error": "invalid_client", "error_description": "access_denied"}
            return web.json_response(words, status=401)
        token, life = secrets.token_urlsafe(32), self.instance.token_life_s
        self._tokens[token] = user, time.time() + life
        return web.json_response(
            {
                "access_token": token,
                "token_type": "Bearer",
                "expires_in": int(life),
                "scope": "useraccount",
            }
        )

    def _note(self, call: Call, answer: Answer, fault: Fault | None, *, worked: bool) -> None:
        """Write one write into the ledger, before its answer leaves."""
        if call.operation == "read":
            return
        row = answer.row or {}
        number = row.get("number", "")
        self.ledger.add(
            Entry(
                at=call.now,
                op=call.operation,
                ticket=int(number[3:]) if number else None,
                key=row.get("correlation_id"),
                status=answer.status or None,
                outcome=fault.value if fault else ANSWERED,
                done=worked and 0 < answer.status < 300,
                user=call.user,
                body=None,
            )
        )

    async def _spoil(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        """Show the client what a fault looks like."""
        settings = self.faults.settings
        if fault is Fault.FAIL:
            answer = failure(settings.fail_status, settings.fail_message)
            if settings.fail_retry_after_s is not None:
                answer.headers["Retry-After"] = str(settings.fail_retry_after_s)
            return _response(answer)
        if fault in (Fault.RESET_BEFORE, Fault.RESET_AFTER):
            if request.transport is not None:
                request.transport.abort()
            raise asyncio.CancelledError
        # Ends when the client goes away: the runner cancels handlers then.
        await asyncio.Event().wait()
        raise AssertionError("unreachable: nobody sets this event")

    async def _admin(self, request: web.Request) -> web.StreamResponse:
        """Answer `/_sim/faults`, `/_sim/instance`, `/_sim/ledger`, `/_sim/edit`; to this machine only."""
        own = request.get_extra_info("sockname", ("",))[0]
        if request.remote not in ("127.0.0.1", "::1", own):
            return _response(failure(404, "Not Found"))
        try:
            match request.method, request.match_info["what"]:
                case "GET", "faults":
                    pass
                case "POST", "faults":
                    self.faults.change(_object(await request.read()))
                case "DELETE", "faults":
                    self.faults.clear()
                case "GET", "instance":
                    return web.json_response(self._shown())
                case "POST", "instance":
                    self._behave(_object(await request.read()))
                    return web.json_response(self._shown())
                case "GET", "ledger":
                    told = [asdict(entry) for entry in self.ledger.entries]
                    return web.json_response({**self.ledger.summary(), "entries": told})
                case "POST", "edit":
                    wanted = _object(await request.read())
                    return web.json_response(self.edit(**wanted))
                case _:
                    return _response(failure(404, "Not Found"))
        except (ValueError, KeyError, TypeError) as wrong:
            return _response(failure(400, str(wrong)))
        return web.json_response(self.faults.as_dict())

    def _shown(self) -> dict[str, Any]:
        return {name: getattr(self.instance, name) for name in CHANGEABLE}

    def _behave(self, wanted: dict[str, Any]) -> None:
        kinds = {one.name: one.type for one in fields(Instance)}
        for name, value in wanted.items():
            if name not in CHANGEABLE:
                raise ValueError(f'There is no setting "{name}". Known: {", ".join(CHANGEABLE)}.')
            like = type(getattr(self.instance, name))
            if not isinstance(value, (int, float) if like is float else like):
                raise ValueError(  # noqa: TRY004
                    f'The setting "{name}" takes a {kinds[name]}, not {value!r}.'
                )
            setattr(self.instance, name, value)


def _response(answer: Answer) -> web.Response:
    body = b"" if answer.body is None else json.dumps(answer.body).encode()
    return web.Response(status=answer.status, body=body, headers=answer.headers or JSON)


def _object(body: bytes) -> dict[str, Any]:
    wanted = json.loads(body)
    if not isinstance(wanted, dict):
        raise ValueError('Settings are a JSON object, such as {"asleep": 2}.')  # noqa: TRY004
    return wanted
