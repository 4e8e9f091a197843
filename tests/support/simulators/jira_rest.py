"""Answers REST v3 requests on the simulated Jira: method and path in, status and body out.

Used by the server of the Jira simulator. Does no I/O; faults, authentication and the ledger are the server's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from support.simulators import jira_workflow as wf
from support.simulators.jira_store import Issue, JiraStore, Refused

_ISSUE = re.compile(r"/issue/([^/]+)(?:/(transitions|comment))?")
_CREATE_META = re.compile(r"/issue/createmeta/([^/]+)/issuetypes(?:/([^/]+))?")
_STATUSES = re.compile(r"/project/([^/]+)/statuses")
_CLAUSE = re.compile(r'\s*(labels|project)\s*=\s*(?:"([^"]*)"|(\S+))\s*')
_ORDER = re.compile(r"\s+ORDER\s+BY\s.*$", re.IGNORECASE)
_AND = re.compile(r"\s+AND\s+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Call:
    """One request; `path` is below `/rest/api/3`."""

    method: str
    path: str
    params: Mapping[str, str]
    body: bytes
    now: float
    lag_s: float = 0.0

    @property
    def operation(self) -> str:
        """`create`, `update`, `transition`, `comment` or `read`."""
        if self.method == "PUT":
            return "update"
        if self.method != "POST":
            return "read"
        last = self.path.rstrip("/").rpartition("/")[2]
        names = {"issue": "create", "transitions": "transition", "comment": "comment"}
        return names.get(last, "read")

    def json(self) -> dict[str, Any]:
        """The body.

        Raises:
            Refused: 400, it is no JSON object.
        """
        try:
            body = json.loads(self.body)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Refused(400, "Invalid request payload. Refer to the REST API documentation.")
        return body


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, and the issue that it was about."""

    status: int
    body: Any = None
    """JSON; None is an empty body."""
    headers: dict[str, str] = field(default_factory=dict)
    issue: Issue | None = None


class JiraRest:
    """The REST interface of one site; `url` is its address."""

    def __init__(self, store: JiraStore) -> None:
        self._store = store
        self.url = ""
        self.denied: set[str] = set()
        """Permissions that the user lacks, such as CREATE_ISSUES; told by `/mypermissions` only."""
        self.demanded: set[str] = set()
        """Fields that the list of fields for making issues calls required, beside the usual ones."""

    def answer(self, call: Call) -> Answer:
        """Do what is asked."""
        try:
            return self._answer(call)
        except Refused as refused:
            return Answer(refused.status, refused.body)

    def _answer(self, call: Call) -> Answer:
        match call.method, call.path:
            case "GET", "/myself":
                return Answer(200, {"accountId": wf.ROBOT, "displayName": wf.USERS[wf.ROBOT]})
            case "GET", "/priority":
                return Answer(200, [{"name": name} for name in wf.PRIORITIES])
            case "GET", "/status":
                return Answer(200, [wf.status_view(name) for name in wf.STATUSES])
            case "GET" | "POST", "/search/jql":
                return self._search(call)
            case "POST", "/issue":
                issue = self._store.create(call.json(), now=call.now, lag_s=call.lag_s)
                return Answer(201, self._reference(issue), issue=issue)
            case "GET", "/mypermissions":
                asked = call.params.get("permissions", "").split(",")
                may = {n: {"key": n, "havePermission": n not in self.denied} for n in asked}
                return Answer(200, {"permissions": may})
            case "GET", path if (meta := _CREATE_META.fullmatch(path)) is not None:
                return self._create_meta(meta[1], meta[2])
            case "GET", path if (asked_of := _STATUSES.fullmatch(path)) is not None:
                _only_project(asked_of[1])
                states = [wf.status_view(name) for name in wf.STATUSES]
                return Answer(200, [{"name": name, "statuses": states} for name in wf.ISSUE_TYPES])
        found = _ISSUE.fullmatch(call.path)
        if found is None:
            return Answer(404, {"errorMessages": ["null for uri"], "errors": {}})
        return self._of_issue(call, self._store.find(found[1]), found[2])

    def _create_meta(self, project: str, issue_type: str | None) -> Answer:
        _only_project(project)
        if issue_type is None:
            types = [{"id": wf.type_id(name), "name": name} for name in wf.ISSUE_TYPES]
            return Answer(200, {"issueTypes": types, "total": len(types)})
        if issue_type not in map(wf.type_id, wf.ISSUE_TYPES):
            return Answer(404, {"errorMessages": ["The issue type is not there."], "errors": {}})
        listed = [wf.field_meta(name, demanded=self.demanded) for name in sorted(wf.ON_SCREEN)]
        return Answer(200, {"fields": listed, "total": len(listed)})

    def _of_issue(self, call: Call, issue: Issue, part: str | None) -> Answer:
        match call.method, part:
            case "GET", None:
                return Answer(200, self._view(issue, call.params))
            case "PUT", None:
                self._store.edit(issue, call.json(), now=call.now)
                return Answer(204, issue=issue)
            case "GET", "transitions":
                fields = "transitions.fields" in call.params.get("expand", "")
                ways = [way.view(fields=fields) for way in self._store.ways(issue)]
                return Answer(200, {"expand": "transitions", "transitions": ways})
            case "POST", "transitions":
                self._store.move(issue, call.json(), now=call.now)
                return Answer(204, issue=issue)
            case "POST", "comment":
                made = self._store.comment(issue, call.json(), now=call.now)
                return Answer(201, made, issue=issue)
        return Answer(405, {"errorMessages": ["Method not allowed"], "errors": {}})

    def _reference(self, issue: Issue) -> dict[str, Any]:
        link = f"{self.url}/rest/api/3/issue/{issue.id}"
        return {"id": str(issue.id), "key": issue.key, "self": link}

    def _view(self, issue: Issue, params: Mapping[str, str]) -> dict[str, Any]:
        wanted = params.get("fields", "*all").split(",")
        fields = {n: v for n, v in issue.view().items() if "*all" in wanted or n in wanted}
        view = {**self._reference(issue), "fields": fields}
        asked = params.get("properties")
        if asked:
            names = asked.split(",")
            view["properties"] = {n: v for n, v in issue.properties.items() if n in names}
        return view

    def _search(self, call: Call) -> Answer:
        given = dict(call.params) if call.method == "GET" else call.json()
        found = [
            issue
            for issue in self._store.issues.values()
            if issue.visible_at <= call.now and not issue.hidden and _matches(issue, given)
        ]
        start, size = int(given.get("nextPageToken") or 0), int(given.get("maxResults") or 50)
        page = found[start : start + size]
        listed = given.get("fields") or "id"
        names = listed if isinstance(listed, str) else ",".join(listed)
        body: dict[str, Any] = {"issues": [self._view(one, {"fields": names}) for one in page]}
        body["isLast"] = start + size >= len(found)
        if not body["isLast"]:
            body["nextPageToken"] = str(start + size)
        return Answer(200, body)


def _only_project(key: str) -> None:
    if key != wf.PROJECT:
        raise Refused(404, f"No project could be found with key '{key}'.")


def _matches(issue: Issue, given: Mapping[str, Any]) -> bool:
    """Whether an issue fits a query of `labels = "…"` and `project = …`, joined by AND."""
    for part in _AND.split(_ORDER.sub("", str(given.get("jql") or ""))):
        clause = _CLAUSE.fullmatch(part)
        if clause is None:
            raise Refused(400, f"Error in the JQL Query: '{part}' is not understood.")
        value = clause[2] if clause[2] is not None else clause[3]
        if clause[1] == "labels" and value not in issue.fields.get("labels", []):
            return False
        if clause[1] == "project" and value != wf.PROJECT:
            return False
    return True
