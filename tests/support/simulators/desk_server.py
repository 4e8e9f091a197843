"""Serves the simulated desk over HTTP: authentication, faults, ledger, and the admin path `/_sim/`.

Used by `support.simulators.helpdesk`, which runs it as its own process.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import socket
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from support.simulators.desk_faults import Fault, FaultSource
from support.simulators.desk_ledger import ANSWERED, Entry, Ledger
from support.simulators.desk_rest import Answer, Call, DeskRest, message
from support.simulators.desk_store import KEY_FIELD, DeskStore

USER = "intops"
MAX_BODY_BYTES = 16 * 1024 * 1024
MAINTENANCE_PAGE = (
    "<!DOCTYPE html><html><head><title>Maintenance</title></head>"
    "<body><h1>We are back soon</h1></body></html>"
)


@dataclass(slots=True)
class Settings:
    """How one simulator runs."""

    tokens: list[str]
    """Accepted values of `Authorization: token …`."""
    password: str | None = None
    """Accepted with user `intops` by Basic authentication; None accepts none."""
    vices: frozenset[str] = frozenset()
    data: Path | None = None
    """JSON-lines file that keeps tickets and ledger over a restart."""
    host: str = "127.0.0.1"
    port: int = 0
    url: str = field(default="")
    """Address in links; filled in when the port is known."""


class DeskServer:
    """One helpdesk behind one listening socket."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._faults = FaultSource()
        self._store = DeskStore()
        self._ledger = Ledger(settings.data)
        self._rest = DeskRest(self._store, f"{settings.url}/REST/2.0", settings.vices)
        self._replay()

    def app(self) -> web.Application:
        """Return the web application."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_route("*", "/_sim/{what:.*}", self._admin)
        app.router.add_route("*", "/REST/2.0/{path:.*}", self._serve)
        return app

    def _replay(self) -> None:
        """Do again what the ledger's file says was done."""
        for entry in self._ledger.replay():
            if entry.done:
                self._redo(entry)

    def _redo(self, entry: Entry) -> None:
        body = entry.body if isinstance(entry.body, dict) else {}
        if entry.op == "create":
            self._store.create(
                body, user=entry.user, now=entry.at, visible_at=entry.at + entry.lag_s
            )
            return
        ticket = self._store.tickets[entry.ticket or 0]
        if entry.op == "update":
            for change in self._store.changes(ticket, body, user=entry.user, now=entry.at):
                if change.apply is not None:
                    change.apply()
        else:
            kind = "Comment" if entry.op == "comment" else "Correspond"
            self._store.comment(ticket, kind, user=entry.user, now=entry.at)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if self._faults.settings.latency_s:
            await asyncio.sleep(self._faults.settings.latency_s)
        if self._faults.settings.maintenance:
            return web.Response(text=MAINTENANCE_PAGE, content_type="text/html")
        if not self._is_authorised(request):
            return _response(message(401, "Unauthorized"))
        call = Call(
            method=request.method,
            path="/" + request.match_info["path"],
            params=request.query,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
            user=USER,
            now=time.time(),
            lag_s=self._faults.settings.search_lag_s,
        )
        fault = self._faults.draw(call.operation)
        if fault in (Fault.FAIL, Fault.RESET_BEFORE, Fault.HANG_BEFORE):
            status = self._faults.settings.fail_status if fault is Fault.FAIL else None
            self._note(call, Answer(status or 0), fault, worked=False)
            return await self._spoil(request, fault)
        answer = self._rest.answer(call)
        self._note(call, answer, fault, worked=True)
        return _response(answer) if fault is None else await self._spoil(request, fault)

    def _note(self, call: Call, answer: Answer, fault: Fault | None, *, worked: bool) -> None:
        """Write one write into the ledger, before its answer leaves."""
        if call.operation == "read":
            return
        body = _json_or_none(call.body)
        custom = body.get("CustomFields") if isinstance(body, dict) else None
        asked_key = custom.get(KEY_FIELD) if isinstance(custom, dict) else None
        ticket = answer.ticket
        self._ledger.add(
            Entry(
                at=call.now,
                op=call.operation,
                ticket=ticket.id if ticket else None,
                key=ticket.custom.get(KEY_FIELD) if ticket else asked_key,
                status=answer.status or None,
                outcome=fault.value if fault else ANSWERED,
                done=worked and answer.status < 300,
                user=call.user,
                body=body,
                lag_s=call.lag_s,
            )
        )

    async def _spoil(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        """Show the client what a fault looks like."""
        if fault is Fault.FAIL:
            settings = self._faults.settings
            answer = message(settings.fail_status, settings.fail_message)
            if settings.fail_retry_after_s is not None:
                answer.headers["Retry-After"] = str(settings.fail_retry_after_s)
            return _response(answer)
        if fault in (Fault.RESET_BEFORE, Fault.RESET_AFTER):
            _reset(request)
            raise asyncio.CancelledError
        # Ends when the client goes away: the runner cancels handlers then.
        await asyncio.Event().wait()
        raise AssertionError("unreachable: nobody sets this event")

    def _is_authorised(self, request: web.Request) -> bool:
        if self._faults.settings.refuse_token:
            return False
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "token":
            return value in self._settings.tokens
        if scheme.lower() == "basic" and self._settings.password is not None:
            login = f"{USER}:{self._settings.password}".encode()
            return value == base64.b64encode(login).decode()
        return False

    async def _admin(self, request: web.Request) -> web.StreamResponse:
        """Answer `/_sim/faults`, `/_sim/ledger`, `/_sim/tokens`; to this machine only."""
        own = request.get_extra_info("sockname", ("",))[0]
        if request.remote not in ("127.0.0.1", "::1", own):
            return _response(message(404, "Not Found"))
        match request.method, request.match_info["what"]:
            case "GET", "faults":
                pass
            case "POST", "faults":
                try:
                    self._faults.change(_object(await request.read()))
                except ValueError as wrong:
                    return _response(message(400, str(wrong)))
            case "DELETE", "faults":
                self._faults.clear()
            case "GET", "ledger":
                return web.json_response(self._ledger_view(request))
            case "PUT", "tokens":
                self._settings.tokens = [str(t) for t in json.loads(await request.read())]
                return web.json_response({"accepted": len(self._settings.tokens)})
            case _:
                return _response(message(404, "Not Found"))
        return web.json_response(self._faults.as_dict())

    def _ledger_view(self, request: web.Request) -> dict[str, Any]:
        view = {**self._ledger.summary(), "tickets": len(self._store.tickets)}
        if request.query.get("entries") == "no":
            return view
        names = ("at", "op", "ticket", "key", "status", "outcome", "done")
        entries = [{name: getattr(e, name) for name in names} for e in self._ledger.entries]
        return {**view, "entries": entries}


async def serve(settings: Settings, *, ready: asyncio.Future[str], stop: asyncio.Event) -> None:
    """Listen until `stop` is set; `ready` gets the address once requests are answered.

    Raises:
        OSError: The address cannot be listened on.
    """
    listener = socket.create_server((settings.host, settings.port), backlog=1024)
    settings.url = f"http://{settings.host}:{listener.getsockname()[1]}"
    server = DeskServer(settings)
    runner = web.AppRunner(
        server.app(), access_log=None, handler_cancellation=True, shutdown_timeout=0.2
    )
    logging.getLogger("aiohttp").setLevel(logging.ERROR)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    ready.set_result(settings.url)
    await stop.wait()
    await runner.cleanup()


def _response(answer: Answer) -> web.Response:
    body = b"" if answer.body is None else json.dumps(answer.body).encode()
    return web.Response(status=answer.status, body=body, headers=answer.headers)


def _reset(request: web.Request) -> None:
    """Close so that the client sees a reset, not a polite end."""
    transport = request.transport
    if transport is None:
        return
    opened = transport.get_extra_info("socket")
    if opened is not None:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _json_or_none(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _object(body: bytes) -> dict[str, Any]:
    wanted = json.loads(body)
    if not isinstance(wanted, dict):
        # ValueError like every other wrong setting: they are answered together.
        raise ValueError(  # noqa: TRY004
            'The fault settings are a JSON object, such as {"search_lag_s": 2}.'
        )
    return wanted
