"""A small NetBox: journal entries with its manners of 4.6 and later, and webhooks of three generations.

Served in the test's own loop. What it keeps of the real one: `Authorization: Bearer` or 403; choices are written as a
value and read as `{value, label}`; 400 is a map of fields; the ETag of a detail is weak and made of the time of the
last change; a write whose `If-Match` is another is 412 and tells the ETag of now; custom fields are merged.
"""

from __future__ import annotations

import copy
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

TOKEN = "nbt_a-token-for-tests"
WEBHOOK_SECRET = "a-secret-for-tests"
KINDS = {"info": "Info", "success": "Success", "warning": "Warning", "danger": "Danger"}
_WRITABLE = {
    "assigned_object_type", "assigned_object_id", "kind", "comments", "tags", "custom_fields",
}  # fmt: skip
_ENTRIES = "/api/extras/journal-entries/"
_BEGINNING = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def signature(body: bytes) -> str:
    """What NetBox writes into X-Hook-Signature."""
    return hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha512).hexdigest()


def device_webhook(generation: str, number: int, status: str = "active") -> dict[str, Any]:
    """A device was changed by anna, as NetBox 4.4, 4.6 or 4.7 tells it; `number` names the request."""
    request = f"r-{number}"
    body: dict[str, Any] = {
        "event": "updated",
        "data": {
            "id": 7, "name": "sw-01", "status": {"value": status, "label": status.capitalize()},
        },
        "snapshots": {},
    }  # fmt: skip
    if generation == "4.4":
        return {**body, "model": "device", "username": "anna", "request_id": request}
    body |= {
        "object_type": "dcim.device",
        "request": {"id": request, "method": "PATCH", "user": "anna"},
    }
    if generation == "4.6":
        body |= {"username": "anna", "request_id": request}
    return body


class Netbox:
    """The server. Each of `after_reads` runs once, after one detail was read: another client's turn."""

    def __init__(self) -> None:
        self.entries: dict[int, dict[str, Any]] = {}
        self.requests: list[tuple[str, str, int]] = []
        """Method, path and status of each."""
        self.after_reads: list[Callable[[], None]] = []
        self._clock = _BEGINNING

    def app(self) -> web.Application:
        """Its routes."""
        app = web.Application(middlewares=[self._keep])
        app.router.add_get("/api/status/", self.status)
        app.router.add_get(_ENTRIES, self.list)
        app.router.add_post(_ENTRIES, self.create)
        app.router.add_get(_ENTRIES + "{id:[0-9]+}/", self.detail)
        app.router.add_patch(_ENTRIES + "{id:[0-9]+}/", self.update)
        return app

    @web.middleware
    async def _keep(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Who has no token is refused; everything is written down."""
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            answer: web.StreamResponse = _problem(403, {"detail": "Invalid v2 token"})
        else:
            answer = await handler(request)
        self.requests.append((request.method, request.path, answer.status))
        return answer

    async def status(self, _: web.Request) -> web.Response:
        """Which version it is."""
        return web.json_response({"netbox-version": "4.6.8"})

    async def list(self, request: web.Request) -> web.Response:
        """Entries by a custom field."""
        wanted = request.query.get("cf_intops_key")
        found = [
            _shown(entry)
            for entry in self.entries.values()
            if wanted is None or entry["custom_fields"].get("intops_key") == wanted
        ]
        page = {"count": len(found), "next": None, "previous": None, "results": found}
        return web.json_response(page)

    async def create(self, request: web.Request) -> web.Response:
        """A new entry."""
        given = await request.json()
        missing = {"assigned_object_type", "assigned_object_id", "comments"} - given.keys()
        if missing:
            return _problem(400, {name: ["This field is required."] for name in sorted(missing)})
        refused = _refused(given)
        if refused:
            return _problem(400, refused)
        number = len(self.entries) + 1
        self.entries[number] = {"id": number, "kind": "info", "tags": [], "custom_fields": {}}
        self.edit(number, given)
        return self._answer(number, status=201)

    async def detail(self, request: web.Request) -> web.Response:
        """One entry with its ETag."""
        number = int(request.match_info["id"])
        if number not in self.entries:
            return _problem(404, {"detail": "No JournalEntry matches the given query."})
        answer = self._answer(number)
        if self.after_reads:
            self.after_reads.pop(0)()
        return answer

    async def update(self, request: web.Request) -> web.Response:
        """Change some fields, unless somebody else has changed the entry since it was read."""
        number = int(request.match_info["id"])
        if number not in self.entries:
            return _problem(404, {"detail": "No JournalEntry matches the given query."})
        expected = request.headers.get("If-Match")
        if expected is not None and expected not in ("*", self.etag(number)):
            answer = _problem(412, {"detail": "The object has been changed since it was read."})
            answer.headers["ETag"] = self.etag(number)
            return answer
        given = await request.json()
        refused = _refused(given)
        if refused:
            return _problem(400, refused)
        self.edit(number, given)
        return self._answer(number)

    def edit(self, number: int, given: dict[str, Any]) -> None:
        """Change an entry, as any client may."""
        entry = self.entries[number]
        self._clock += timedelta(microseconds=1)
        custom = {**entry["custom_fields"], **given.get("custom_fields", {})}
        entry |= {**copy.deepcopy(given), "custom_fields": custom}
        entry["last_updated"] = self._clock.isoformat()

    def etag(self, number: int) -> str:
        """The edition of an entry."""
        return f'W/"{self.entries[number]["last_updated"]}"'

    def _answer(self, number: int, *, status: int = 200) -> web.Response:
        shown = _shown(self.entries[number])
        return web.json_response(shown, status=status, headers={"ETag": self.etag(number)})


def _shown(entry: dict[str, Any]) -> dict[str, Any]:
    kind = entry["kind"]
    return {**entry, "kind": {"value": kind, "label": KINDS[kind]}}


def _refused(given: dict[str, Any]) -> dict[str, list[str]]:
    found = {name: ["This field does not exist."] for name in given.keys() - _WRITABLE}
    if given.get("kind", "info") not in KINDS:
        found["kind"] = [f'"{given["kind"]}" is not a valid choice.']
    return found


def _problem(status: int, words: dict[str, Any]) -> web.Response:
    return web.Response(
        status=status, body=json.dumps(words).encode(), content_type="application/json"
    )
