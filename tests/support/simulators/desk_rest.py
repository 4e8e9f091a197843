"""Answers REST 2.0 requests on the simulated desk: method and path in, status and body out.

Used by the server of the helpdesk simulator. Does no I/O; faults, authentication and the ledger are
the server's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from support.simulators.desk_store import (
    KEY_FIELD,
    QUEUES,
    DeskStore,
    Refused,
    Ticket,
    has_custom_field,
    queue_name,
)
from support.simulators.desk_views import Views
from support.simulators.ticketsql import QueryError, fields_of, parse, required_value

ERROR_TYPE = "application/json; charset=utf-8"
GOOD_TYPE = 'application/json; charset="utf-8"'
MESSAGE_TYPES = ("text/plain", "text/html")

REFUSED_WITH_200 = "refused-with-200"
SILENT_DROP = "silent-drop"
BLIND_SEARCH = "blind-search"
FLOAT_PAGES = "float-pages"
VICES = {
    REFUSED_WITH_200: "a refused change answers 200 and a sentence",
    SILENT_DROP: "an unknown custom field, or a bad value at create, is dropped without a word",
    BLIND_SEARCH: "a search by an unknown custom field finds nothing instead of failing",
    FLOAT_PAGES: "no hits are 0.0 pages",
}


@dataclass(frozen=True, slots=True)
class Call:
    """One request; header names are in lower case."""

    method: str
    path: str
    """Below `/REST/2.0`, with its leading slash."""
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    user: str
    now: float
    lag_s: float = 0.0

    @property
    def operation(self) -> str:
        """`create`, `update`, `comment`, `correspond` or `read`."""
        if self.method == "PUT":
            return "update"
        if self.method != "POST":
            return "read"
        last = self.path.rstrip("/").rpartition("/")[2]
        return {"ticket": "create", "comment": "comment", "correspond": "correspond"}.get(
            last, "read"
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, and the ticket it was about."""

    status: int
    body: Any = None
    """JSON; None is an empty body."""
    headers: dict[str, str] = field(default_factory=dict)
    ticket: Ticket | None = None


def message(status: int, text: str) -> Answer:
    """Return an error in the shape of the real one."""
    return Answer(status, {"message": text}, {"Content-Type": ERROR_TYPE})


class DeskRest:
    """The REST interface of one desk.

    Args:
        store: The tickets.
        base: Address in links, such as `http://127.0.0.1:18180/REST/2.0`.
        vices: Those of `VICES` that are on.
    """

    def __init__(self, store: DeskStore, base: str, vices: frozenset[str]) -> None:
        self._store = store
        self._vices = vices
        self._views = Views(base, float_pages=FLOAT_PAGES in vices)

    def answer(self, call: Call) -> Answer:
        """Do what a request asks for."""
        match call.method, call.path.strip("/").split("/"):
            case "GET", ["rt"]:
                return _good({"Version": "5.0.3+simulated"})
            case "GET", ["queues", "all"]:
                return self._queues(call)
            case "GET", ["queue", name]:
                return self._queue(name)
            case (("GET" | "POST"), ["tickets"]):
                return self._search(call)
            case "POST", ["ticket"]:
                return self._create(call)
            case "GET", ["ticket", number]:
                return self._read(call, number)
            case "PUT", ["ticket", number]:
                return self._update(call, number)
            case "GET", ["ticket", number, "history"]:
                return self._history(call, number)
            case "POST", ["ticket", number, ("comment" | "correspond")]:
                return self._comment(call, number)
            case "DELETE", ["ticket", _]:
                return message(500, "Internal Server Error")
            case "PATCH", _:
                return message(501, "Not Implemented")
        return message(404, "Not Found")

    def _create(self, call: Call) -> Answer:
        body = _parsed(call)
        if isinstance(body, Answer):
            return body
        unknown = self._unknown_fields(body, queue_name(str(body.get("Queue", ""))))
        if unknown and SILENT_DROP not in self._vices:
            return message(400, f"Unknown custom field {unknown[0]}")
        try:
            ticket = self._store.create(
                body, user=call.user, now=call.now, visible_at=call.now + call.lag_s
            )
        except Refused as refused:
            return message(refused.status, str(refused))
        number = str(ticket.id)
        headers = {"Location": f"/REST/2.0/ticket/{number}", "Content-Type": ERROR_TYPE}
        return Answer(201, self._views.reference("ticket", number), headers, ticket)

    def _read(self, call: Call, number: str) -> Answer:
        ticket = self._ticket(number)
        if ticket is None:
            return message(404, "Not Found")
        view = self._views.ticket(ticket)
        headers = {
            "ETag": f'"{ticket.etag}"',
            "Last-Modified": view["LastUpdated"],
            "Content-Type": GOOD_TYPE,
        }
        if call.headers.get("if-none-match", "").strip('"') == ticket.etag:
            del headers["Content-Type"]
            return Answer(304, None, headers, ticket)
        return Answer(200, view, headers, ticket)

    def _update(self, call: Call, number: str) -> Answer:
        ticket = self._ticket(number)
        if ticket is None:
            return message(404, "Resource does not exist; use POST to create")
        expected = call.headers.get("if-match")
        if expected is not None and expected.strip('"') not in ("*", ticket.etag):
            return message(412, "Precondition Failed")
        body = _parsed(call)
        if isinstance(body, Answer):
            return body
        unknown = self._unknown_fields(body, ticket.queue)
        if unknown and SILENT_DROP not in self._vices:
            return message(400, f"Unknown custom field {unknown[0]}")
        changes = self._store.changes(ticket, body, user=call.user, now=call.now)
        refused = [change.sentence for change in changes if change.apply is None]
        if refused and REFUSED_WITH_200 not in self._vices:
            return message(400, "; ".join(refused))
        for change in changes:
            if change.apply is not None:
                change.apply()
        sentences = [change.sentence for change in changes]
        return Answer(200, sentences, {"Content-Type": GOOD_TYPE}, ticket)

    def _comment(self, call: Call, number: str) -> Answer:
        kind = _media_type(call)
        if kind == "application/json":
            body = _parsed(call)
            if isinstance(body, Answer):
                # The real one fails without a body here, unlike everywhere else.
                return Answer(500, None, {"Content-Type": GOOD_TYPE})
            if "Content" in body and "ContentType" not in body:
                return message(400, "ContentType is a required field for application/json")
        elif kind not in MESSAGE_TYPES:
            return message(415, "Unsupported Media Type")
        ticket = self._ticket(number)
        if ticket is None:
            return message(400, "Message could not be recorded")
        is_comment = call.operation == "comment"
        entry = self._store.comment(
            ticket, "Comment" if is_comment else "Correspond", user=call.user, now=call.now
        )
        headers = {"Location": f"/REST/2.0/transaction/{entry.id}", "Content-Type": GOOD_TYPE}
        said = "Comments added" if is_comment else "Correspondence added"
        return Answer(201, [said], headers, ticket)

    def _search(self, call: Call) -> Answer:
        params, query = call.params, call.params.get("query", "")
        if call.method == "POST" or not query:
            page, _ = self._views.page("/tickets", params, [])
            return _good({**page, "items": []})
        try:
            expression = parse(query)
        except QueryError as wrong:
            return message(400, str(wrong))
        unknown = [name for name in fields_of(expression) if _is_unknown(name)]
        if unknown and BLIND_SEARCH not in self._vices:
            return message(400, f"Unknown custom field {unknown[0].removeprefix('cf.')}")
        wants_deleted = "deleted" in query.lower()
        found = [
            ticket
            for ticket in self._store.candidates(required_value(expression, f"cf.{KEY_FIELD}"))
            if ticket.visible_at <= call.now
            and (ticket.status != "deleted" or wants_deleted)
            and expression.matches(ticket.row())
        ]
        in_one_queue = required_value(expression, "queue") is not None
        order = _order(params, by_status=in_one_queue)
        found.sort(key=order, reverse=params.get("order", "ASC").upper() == "DESC")
        page, cut = self._views.page("/tickets", params, found)
        names = [name for name in params.get("fields", "").split(",") if name]
        inner = {"Queue": params.get("fields[Queue]", "")}
        page["items"] = [
            {
                **self._views.reference("ticket", str(ticket.id)),
                **self._views.fields(ticket, names, inner),
            }
            for ticket in cut
        ]
        return _good(page)

    def _history(self, call: Call, number: str) -> Answer:
        ticket = self._ticket(number)
        if ticket is None:
            return message(404, "Not Found")
        names = [name for name in call.params.get("fields", "").split(",") if name]
        page, cut = self._views.page(f"/ticket/{number}/history", call.params, ticket.history)
        items = [self._views.transaction(entry, names) for entry in cut]
        # A user who is not a superuser gets null here, and so no links to other pages.
        page = {name: page[name] for name in ("page", "per_page", "count")}
        return _good({**page, "total": None, "pages": None, "items": items})

    def _queues(self, call: Call) -> Answer:
        names = [name for name in call.params.get("fields", "").split(",") if name]
        page, cut = self._views.page("/queues/all", call.params, list(QUEUES))
        return _good({**page, "items": [self._views.queue(name, names=names) for name in cut]})

    def _queue(self, wanted: str) -> Answer:
        name = queue_name(wanted)
        if name is None:
            return message(404, "Not Found")
        view = self._views.whole_queue(name)
        return Answer(200, {**view, "id": int(QUEUES[name])}, {"Content-Type": GOOD_TYPE})

    def _ticket(self, number: str) -> Ticket | None:
        return self._store.tickets.get(int(number)) if number.isdecimal() else None

    def _unknown_fields(self, body: Mapping[str, Any], queue: str | None) -> list[str]:
        named = body.get("CustomFields")
        if queue is None or not isinstance(named, dict):
            return []
        return [name for name in named if not has_custom_field(queue, name)]


def _good(body: Any) -> Answer:
    return Answer(200, body, {"Content-Type": GOOD_TYPE})


def _parsed(call: Call) -> dict[str, Any] | Answer:
    if _media_type(call) != "application/json":
        return message(415, "Unsupported Media Type")
    if not call.body:
        return {}
    try:
        body = json.loads(call.body)
    except ValueError as wrong:
        return message(400, f"JSON parse error: {wrong}\n")
    if not isinstance(body, dict):
        return message(400, "JSON object must be a HASH")
    return body


def _media_type(call: Call) -> str:
    return call.headers.get("content-type", "").partition(";")[0].strip().lower()


def _is_unknown(name: str) -> bool:
    return name.startswith("cf.") and not any(
        has_custom_field(queue, name.removeprefix("cf.")) for queue in QUEUES
    )


def _order(params: Mapping[str, str], *, by_status: bool) -> Any:
    wanted = params.get("orderby", "").lower()
    if wanted in ("id", "created", "lastupdated", "status", "subject", "priority", "queue"):
        return lambda ticket: (ticket.row()[wanted], ticket.id)
    # Without orderby the real one follows an index: within one queue grouped by status, not by age.
    return lambda ticket: (ticket.status if by_status else "", ticket.id)
