"""Answers Table API requests on the simulated ServiceNow instance: method and path in, status and body out.

Used by the server of the simulator. Does no I/O; faults, authentication, limits and the ledger are the server's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from support.simulators.snow_query import parse
from support.simulators.snow_schema import TABLES
from support.simulators.snow_store import CUT_TEXTS, DROPPED_FIELDS, RULES, Refused, Row, SnowStore

IGNORED_QUERY = "ignored-query"
VICES = {
    IGNORED_QUERY: "a term of a query that is not understood is left out, so that everything is found",
    DROPPED_FIELDS: "an unknown field is dropped without a word",
    CUT_TEXTS: "a text that is too long is cut without a word",
    RULES: "rules compute the priority, demand fields, and lock what is closed",
}
JSON = {"Content-Type": "application/json;charset=UTF-8"}
DEFAULT_LIMIT = 10000


@dataclass(frozen=True, slots=True)
class Call:
    """One request; header names are in lower case."""

    method: str
    path: str
    """Below `/api/now/`, without the leading slash."""
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    user: str
    now: float

    @property
    def parts(self) -> list[str]:
        """The path without the version: `table`, its name, the sys_id."""
        parts = self.path.strip("/").split("/")
        return parts[1:] if parts[0] in ("v1", "v2") else parts

    @property
    def operation(self) -> str:
        """`create`, `update` or `read`."""
        return {"POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "update"}.get(
            self.method, "read"
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, and the record it was about."""

    status: int
    body: Any = None
    """JSON; None is an empty body."""
    headers: dict[str, str] = field(default_factory=dict)
    row: Row | None = None


def failure(status: int, message: str, detail: str | None = None) -> Answer:
    """An error in the shape of the real one."""
    return Answer(
        status, {"error": {"message": message, "detail": detail}, "status": "failure"}, dict(JSON)
    )


class SnowRest:
    """The Table API of one instance.

    Args:
        store: The records.
        base: Address of the instance, as it stands in links.
        vices: Those of `VICES` that are on.
    """

    def __init__(self, store: SnowStore, base: str, vices: frozenset[str]) -> None:
        self._store, self._base, self._vices = store, base, vices
        self.hidden: set[str] = set()
        """Fields that the user may not read: empty in answers, left out of queries."""

    def answer(self, call: Call) -> Answer:
        """Do what a request asks for."""
        match call.parts:
            case ["table", name, *rest] if len(rest) < 2:
                if name not in TABLES:
                    return failure(400, f"Invalid table {name}")
                return self._table(call, name, rest[0] if rest else "")
        return failure(400, "Requested URI does not represent any resource", call.path)

    def _table(self, call: Call, table: str, sys_id: str) -> Answer:
        if call.method == "GET" and not sys_id:
            return self._list(call, table)
        if call.method == "POST" and not sys_id:
            return self._write(call, table, None)
        row = self._store.tables[table].get(sys_id)
        if not sys_id or call.method == "POST":
            return failure(405, "Method not supported")
        if row is None:
            words = "Record doesn't exist or ACL restricts the record retrieval"
            return failure(404, "No Record found", words)
        if call.method == "GET":
            return Answer(200, {"result": self._view(call, table, row)}, dict(JSON), row)
        if call.method == "DELETE":
            del self._store.tables[table][sys_id]
            return Answer(204, None, {}, row)
        return self._write(call, table, row)

    def _write(self, call: Call, table: str, row: Row | None) -> Answer:
        kind = call.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            return failure(415, "Unsupported Media Type", f"{kind or 'nothing'} is not supported")
        try:
            body = json.loads(call.body or b"{}")
        except ValueError:
            body = None
        if not isinstance(body, dict):
            return failure(400, "Exception while reading request", "The payload is not valid JSON")
        try:
            if row is None:
                made = self._store.insert(table, body, user=call.user, now=call.now)
                link = f"{self._base}/api/now/table/{table}/{made['sys_id']}"
                headers = {**JSON, "Location": link}
                return Answer(201, {"result": self._view(call, table, made)}, headers, made)
            changed = self._store.update(table, row, body, user=call.user, now=call.now)
            return Answer(200, {"result": self._view(call, table, changed)}, dict(JSON), changed)
        except Refused as refused:
            return failure(refused.status, refused.message, refused.detail)

    def _list(self, call: Call, table: str) -> Answer:
        columns = TABLES[table].columns
        known = {name for name in columns if name not in self.hidden and not columns[name].journal}
        text = call.params.get("sysparm_query")
        if text is None:  # plain pairs
            pairs = [(n, v) for n, v in call.params.items() if not n.startswith("sysparm_")]
            text = "^".join(f"{name}={value}" for name, value in pairs)
        query = parse(text, known)
        rows = [row for row in self._store.tables[table].values() if query.matches(row)]
        if query.ignored and IGNORED_QUERY not in self._vices:
            rows = []
        for name, down in reversed(query.order):
            rows.sort(key=lambda row: row[name], reverse=down)
        try:
            limit = int(call.params.get("sysparm_limit", DEFAULT_LIMIT))
            offset = int(call.params.get("sysparm_offset", 0))
        except ValueError as wrong:
            return failure(400, "Invalid parameter", str(wrong))
        if offset < 0:
            return failure(400, "Pagination not supported", "sysparm_offset is less than zero")
        if not rows and call.path.startswith("v1/"):
            return failure(404, "No Record found", "No records match the query")
        headers = {**JSON, "X-Total-Count": str(len(rows))}
        links = self._links(call, table, limit, offset, len(rows))
        if links:
            headers["Link"] = links
        cut = rows[offset : offset + limit]
        return Answer(200, {"result": [self._view(call, table, row) for row in cut]}, headers)

    def _links(self, call: Call, table: str, limit: int, offset: int, total: int) -> str:
        if call.params.get("sysparm_suppress_pagination_header") == "true" or total <= limit:
            return ""
        pages = {"first": 0, "prev": offset - limit, "next": offset + limit}
        pages["last"] = (total - 1) // max(1, limit) * limit
        found = []
        for rel, at in pages.items():
            if 0 <= at < total:
                query = urlencode({**call.params, "sysparm_offset": at})
                found.append(f'<{self._base}/api/now/table/{table}?{query}>;rel="{rel}"')
        return ",".join(found)

    def _view(self, call: Call, table: str, row: Row) -> dict[str, Any]:
        """A record as the parameters want it shown."""
        names = [name for name in call.params.get("sysparm_fields", "").split(",") if name]
        style = call.params.get("sysparm_display_value", "false")
        bare = call.params.get("sysparm_exclude_reference_link") == "true"
        columns = TABLES[table].columns
        shown = [name for name in names or list(columns) if name in columns]
        return {name: self._value(table, name, row, style=style, bare=bare) for name in shown}

    def _value(self, table: str, name: str, row: Row, *, style: str, bare: bool) -> Any:
        column = TABLES[table].columns[name]
        value = "" if name in self.hidden or column.journal else row[name]
        display = TABLES[table].labels.get(name, {}).get(value, value)
        link = ""
        if column.refers and value:
            seen = self._store.tables[column.refers].get(value, {})
            display = seen.get(TABLES[column.refers].shows, "")
            link = f"{self._base}/api/now/table/{column.refers}/{value}"
        if style == "all":
            both = {"display_value": display, "value": value}
            return {**both, "link": link} if link and not bare else both
        if style == "true":
            return {"display_value": display, "link": link} if link and not bare else display
        return {"link": link, "value": value} if link and not bare else value
