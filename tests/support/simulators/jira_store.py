"""Issues of the simulated Jira: makes, edits and moves them by the rules of REST v3, or refuses.

Used by the REST side of the Jira simulator. Does no I/O; the clock is an argument.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from support.simulators import jira_workflow as wf

NOT_ON_SCREEN = "Field '{}' cannot be set. It is not on the appropriate screen, or unknown."
NOT_ADF = "Operation value must be an Atlassian Document (see the Atlassian Document Format)"
NO_ISSUE = "Issue does not exist or you do not have permission to see it."


class Refused(Exception):
    """A request that Jira does not do: the status, sentences, and sentences by field."""

    def __init__(self, status: int, words: str = "", errors: Mapping[str, str] = {}) -> None:
        super().__init__(words)
        self.status = status
        self.body = {"errorMessages": [words] if words else [], "errors": dict(errors)}


@dataclass(slots=True)
class Issue:
    """One issue. Times are epoch seconds; `visible_at` is when searches begin to find it."""

    id: int
    key: str
    created: float
    visible_at: float
    status: str = wf.INITIAL
    resolution: str | None = None
    updated: float = 0.0
    fields: dict[str, Any] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    comments: list[dict[str, Any]] = field(default_factory=list)
    history: list[str] = field(default_factory=list)
    """States that it has left and reached, as `from → to`."""
    hidden: bool = False
    """Whether the user may not see it: answered as if it were not there."""

    def view(self) -> dict[str, Any]:
        """Its fields, as GET shows them."""
        return {
            **self.fields,
            "status": wf.status_view(self.status),
            "resolution": {"name": self.resolution} if self.resolution else None,
            "created": stamp(self.created),
            "updated": stamp(self.updated),
        }


def stamp(at: float) -> str:
    """A time as Jira writes it, with an offset without a colon."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"


class JiraStore:
    """One project, OPS."""

    def __init__(self) -> None:
        self.issues: dict[int, Issue] = {}

    def find(self, name: str) -> Issue:
        """The issue with this id or key.

        Raises:
            Refused: 404, there is none or the user may not see it.
        """
        for issue in self.issues.values():
            if name in (str(issue.id), issue.key) and not issue.hidden:
                return issue
        raise Refused(404, NO_ISSUE)

    def create(self, body: Mapping[str, Any], *, now: float, lag_s: float) -> Issue:
        """Make an issue.

        Raises:
            Refused: 400 with the fields that are wrong.
        """
        fields, errors = dict(body.get("fields") or {}), {}
        if (fields.get("project") or {}).get("key") != wf.PROJECT:
            errors["project"] = "valid project is required"
        if (fields.get("issuetype") or {}).get("name") not in wf.ISSUE_TYPES:
            errors["issuetype"] = "The issue type selected is invalid."
        if not fields.get("summary"):
            errors["summary"] = "You must specify a summary of the issue."
        fields = _edited({}, fields, body.get("update") or {}, errors)
        number = len(self.issues) + 1
        issue = Issue(10000 + number, f"{wf.PROJECT}-{number}", now, now + lag_s, updated=now)
        issue.fields = {"priority": {"name": "Medium"}, "labels": [], **fields}
        issue.properties = {p["key"]: p["value"] for p in body.get("properties") or []}
        self.issues[issue.id] = issue
        return issue

    def clone(self, issue: Issue, *, now: float) -> Issue:
        """What a person makes with Clone: the fields are copied, the properties are not."""
        number = len(self.issues) + 1
        twin = Issue(10000 + number, f"{wf.PROJECT}-{number}", now, now, updated=now)
        twin.fields = {**issue.fields, "summary": f"CLONE - {issue.fields['summary']}"}
        self.issues[twin.id] = twin
        return twin

    def edit(self, issue: Issue, body: Mapping[str, Any], *, now: float) -> None:
        """Change fields.

        Raises:
            Refused: 400 with the fields that are wrong.
        """
        issue.fields = _edited(issue.fields, body.get("fields") or {}, body.get("update") or {}, {})
        issue.updated = now

    def ways(self, issue: Issue) -> list[wf.Transition]:
        """The transitions on offer in its present state."""
        return [way for way in wf.WORKFLOW if way.start == issue.status]

    def move(self, issue: Issue, body: Mapping[str, Any], *, now: float) -> None:
        """Do a transition.

        Raises:
            Refused: 400, it is not on offer, or its screen is filled wrongly.
        """
        wanted = str((body.get("transition") or {}).get("id", ""))
        way = next((way for way in self.ways(issue) if way.id == wanted), None)
        if way is None:
            words = (
                f"It seems that you have tried to perform an illegal workflow operation: {wanted}."
            )
            raise Refused(400, words)
        given = body.get("fields") or {}
        errors = {name: NOT_ON_SCREEN.format(name) for name in given if name not in way.screen}
        errors |= {name: f"{name} is required." for name in way.screen if name not in given}
        resolution = (given.get("resolution") or {}).get("name")
        if resolution is not None and resolution not in wf.RESOLUTIONS:
            errors.setdefault("resolution", "Resolution name is not valid")
        if errors:
            raise Refused(400, errors=errors)
        issue.history.append(f"{issue.status} → {way.to}")
        issue.status, issue.updated = way.to, now
        if way.screen:
            issue.resolution = resolution
        elif wf.STATUSES[way.to][1] != "done":
            issue.resolution = None

    def comment(self, issue: Issue, body: Mapping[str, Any], *, now: float) -> dict[str, Any]:
        """Add a comment.

        Raises:
            Refused: 400, the text is no document.
        """
        if not is_document(body.get("body")):
            raise Refused(400, errors={"comment": "Comment body is not valid!"})
        number = str(20000 + sum(len(i.comments) for i in self.issues.values()))
        properties = {p["key"]: p["value"] for p in body.get("properties") or []}
        shown = {"id": number, "author": {"accountId": wf.ROBOT}, "body": body["body"]}
        issue.comments.append({**shown, "properties": properties})
        issue.updated = now
        return {**shown, "created": stamp(now)}


def _edited(
    before: Mapping[str, Any],
    fields: Mapping[str, Any],
    update: Mapping[str, Any],
    errors: dict[str, str],
) -> dict[str, Any]:
    """The fields after an edit; `errors` are those known already."""
    after = dict(before)
    for name, value in fields.items():
        wrong = _wrong(name, value)
        if wrong is not None:
            errors.setdefault(name, wrong)
        after[name] = value
    for name, verbs in update.items():
        if name not in wf.ON_SCREEN:
            errors.setdefault(name, NOT_ON_SCREEN.format(name))
            continue
        after[name] = _verbs(list(after.get(name) or []), verbs)
        wrong = _wrong(name, after[name])
        if wrong is not None:
            errors.setdefault(name, wrong)
    if errors:
        raise Refused(400, errors=errors)
    return after


def _verbs(values: list[Any], verbs: Sequence[Mapping[str, Any]]) -> list[Any]:
    for verb in verbs:
        for word, value in verb.items():
            if word == "add" and value not in values:
                values.append(value)
            elif word == "remove":
                values = [one for one in values if one != value]
            elif word == "set":
                values = list(value)
    return values


def _wrong(name: str, value: Any) -> str | None:
    """What is wrong with the value of a field, if anything."""
    if name not in wf.ON_SCREEN:
        return NOT_ON_SCREEN.format(name)
    match name:
        case "summary" if not isinstance(value, str) or len(value) > 255:
            return "Summary must be less than 255 characters."
        case "summary" if "\n" in value or "\r" in value:
            return "The summary is invalid because it contains newline characters."
        case "description" if not is_document(value):
            return NOT_ADF
        case "priority" if value.get("name") not in wf.PRIORITIES:
            return "The priority selected is invalid."
        case "assignee" if value.get("accountId") not in wf.USERS:
            return "expected 'accountId' of a user who can be assigned"
        case "components" if any(one.get("name") not in wf.COMPONENTS for one in value):
            return "Component name is not valid"
        case "labels" if any(" " in one for one in value):
            return "The label contains spaces which is invalid."
        case wf.SEVERITY if not isinstance(value, dict) or value.get("value") not in wf.SEVERITIES:
            return "Specify a valid 'id' or 'name' for severity"
    return None


def is_document(value: Any) -> bool:
    """Whether a value is a document of paragraphs with text that is not empty; other nodes are not known here."""
    if not isinstance(value, dict) or (value.get("type"), value.get("version")) != ("doc", 1):
        return False
    return all(
        block.get("type") == "paragraph"
        and all(n.get("type") == "text" and n.get("text") for n in block.get("content", []))
        for block in value.get("content", [])
    )
