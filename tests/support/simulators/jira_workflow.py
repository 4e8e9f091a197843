"""The workflow, people and fields of the simulated Jira project: what may follow what, and what is on which screen.

Used by the store of the Jira simulator. Values only.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

PROJECT = "OPS"
ISSUE_TYPES = ("Incident", "Task")
PRIORITIES = ("Highest", "High", "Medium", "Low", "Lowest")
RESOLUTIONS = ("Done", "Won't Do", "Duplicate")
COMPONENTS = ("Database", "Network")
SEVERITY = "customfield_10050"
SEVERITIES = ("Critical", "Major", "Minor", "Warning", "Info", "Unknown")
USERS = {"5b10a2844c20165700ede21g": "intops", "5b109f2e9729b51b54dc274d": "Jane Doe"}
ROBOT = "5b10a2844c20165700ede21g"

STATUSES = {
    "Open": ("1", "new"),
    "Work in progress": ("3", "indeterminate"),
    "Pending": ("4", "indeterminate"),
    "Resolved": ("5", "done"),
    "Closed": ("6", "done"),
    "Canceled": ("7", "done"),
}
"""Name of each state → its id and the key of its category."""
INITIAL = "Open"

ON_SCREEN = frozenset(
    {"project", "issuetype", "summary", "description", "priority", "labels", "assignee"}
    | {"components", SEVERITY}
)
"""Fields on the screens for making and editing; status and resolution are on neither."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One way from one state to another. The same way has another id in another state."""

    id: str
    name: str
    start: str
    to: str
    screen: tuple[str, ...] = ()
    """Fields on its screen; each must be filled."""

    def view(self, *, fields: bool) -> dict[str, Any]:
        """As the list of transitions shows it."""
        shown: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "to": status_view(self.to),
            "hasScreen": bool(self.screen),
            "isAvailable": True,
        }
        if fields:
            shown["fields"] = {
                name: {"required": True, "key": name, "operations": ["set"]} for name in self.screen
            }
        return shown


WORKFLOW = (
    Transition("11", "Start work", "Open", "Work in progress"),
    Transition("41", "Cancel", "Open", "Canceled", ("resolution",)),
    Transition("21", "Wait", "Work in progress", "Pending"),
    Transition("31", "Resolve", "Work in progress", "Resolved", ("resolution",)),
    Transition("42", "Cancel", "Work in progress", "Canceled", ("resolution",)),
    Transition("51", "Go on", "Pending", "Work in progress"),
    Transition("61", "Close", "Resolved", "Closed"),
    Transition("71", "Reopen", "Resolved", "Work in progress"),
)
"""Nothing leads from Open to Resolved at once."""


def status_view(name: str) -> dict[str, Any]:
    """A state as it stands in answers."""
    id_, category = STATUSES[name]
    return {"id": id_, "name": name, "statusCategory": {"key": category}}


def type_id(name: str) -> str:
    """The id of an issue type."""
    return str(10001 + ISSUE_TYPES.index(name))


def field_meta(name: str, *, demanded: Collection[str] = ()) -> dict[str, Any]:
    """A field as the list of fields for making issues shows it."""
    allowed = {
        "priority": PRIORITIES, "components": COMPONENTS, SEVERITY: SEVERITIES, "issuetype": ISSUE_TYPES,
    }.get(name)  # fmt: skip
    shown: dict[str, Any] = {
        "fieldId": name,
        "key": name,
        "required": name in ("project", "issuetype", "summary") or name in demanded,
        "hasDefaultValue": name == "priority",
    }
    if allowed is not None:
        word = "value" if name == SEVERITY else "name"
        shown["allowedValues"] = [{word: one} for one in allowed]
    return shown
