"""The tables of the ServiceNow simulator: their fields, what refers to what, and the records they begin with.

Used by the store and by the query. Every instance has more; these are the fields that a ticket integration meets.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Column:
    """One field of a table. `refers` names the table of a reference; a journal is written and never read."""

    length: int = 40
    refers: str = ""
    journal: bool = False
    default: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """One table. `prefix` begins its numbers, `shows` is the field that people see of a record."""

    columns: dict[str, Column]
    prefix: str = ""
    shows: str = "name"
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    """Field → value → label, of fields that are choices."""


_SYSTEM: Final = {
    name: Column() for name in
    ("sys_id", "sys_created_on", "sys_created_by", "sys_updated_on", "sys_updated_by", "sys_mod_count")
}  # fmt: skip
SYSTEM_FIELDS: Final = frozenset(_SYSTEM)
_TASK: Final = {
    **_SYSTEM,
    "number": Column(),
    "short_description": Column(160),
    "description": Column(4000),
    "correlation_id": Column(100),
    "correlation_display": Column(100),
    "impact": Column(default="3"),
    "urgency": Column(default="3"),
    "priority": Column(default="4"),
    "assignment_group": Column(refers="sys_user_group"),
    "assigned_to": Column(refers="sys_user"),
    "cmdb_ci": Column(refers="cmdb_ci"),
    "business_service": Column(refers="cmdb_ci"),
    "opened_at": Column(),
    "closed_at": Column(),
    "work_notes": Column(4000, journal=True),
    "comments": Column(4000, journal=True),
    "close_notes": Column(4000),
    "close_code": Column(),
}
_LEVELS: Final = {"1": "High", "2": "Medium", "3": "Low"}
CLOSE_CODES: Final = (
    "Duplicate", "Known error", "No resolution provided", "Resolved by caller", "Resolved by change",
    "Resolved by problem", "Resolved by request", "Solution provided", "User error", "Workaround provided",
)  # fmt: skip
TABLES: Final[dict[str, Table]] = {
    "incident": Table(
        {
            **_TASK,
            "state": Column(default="1"),
            "incident_state": Column(default="1"),
            "hold_reason": Column(),
            "category": Column(default="inquiry"),
            "subcategory": Column(),
            "caller_id": Column(refers="sys_user"),
            "resolved_at": Column(),
            "resolved_by": Column(refers="sys_user"),
            "reopen_count": Column(default="0"),
        },
        prefix="INC",
        shows="number",
        labels={
            "state": {
                "1": "New", "2": "In Progress", "3": "On Hold", "6": "Resolved", "7": "Closed", "8": "Canceled",
            },
            "hold_reason": {
                "1": "Awaiting Caller", "3": "Awaiting Problem", "4": "Awaiting Vendor", "5": "Awaiting Change",
            },
            "impact": {"1": "1 - High", "2": "2 - Medium", "3": "3 - Low"},
            "urgency": {"1": "1 - High", "2": "2 - Medium", "3": "3 - Low"},
            "priority": {
                "1": "1 - Critical", "2": "2 - High", "3": "3 - Moderate", "4": "4 - Low", "5": "5 - Planning",
            },
            "close_code": {code: code for code in CLOSE_CODES},
        },
    ),
    "problem": Table(
        {**_TASK, "state": Column(default="101"), "known_error": Column(default="false")},
        prefix="PRB",
        shows="number",
        labels={"state": {"101": "New", "102": "Assess", "106": "Resolved", "107": "Closed"}},
    ),
    "change_request": Table(
        {**_TASK, "state": Column(default="-5"), "type": Column(default="normal"), "start_date": Column(),
         "end_date": Column(), "risk": Column(default="4")},
        prefix="CHG",
        shows="number",
        labels={
            "state": {
                "-5": "New", "-4": "Assess", "-3": "Authorize", "-2": "Scheduled", "-1": "Implement",
                "0": "Review", "3": "Closed", "4": "Canceled",
            }
        },
    ),
    "cmdb_ci": Table(
        {**_SYSTEM, "name": Column(255), "sys_class_name": Column(), "ip_address": Column(),
         "operational_status": Column(default="1"), "support_group": Column(refers="sys_user_group")}
    ),
    "sys_user": Table({**_SYSTEM, "name": Column(100), "user_name": Column(), "email": Column(100)}),
    "sys_user_group": Table({**_SYSTEM, "name": Column(80), "manager": Column(refers="sys_user")}),
    "sys_choice": Table(
        {**_SYSTEM, "name": Column(80), "element": Column(80), "value": Column(), "label": Column(100),
         "inactive": Column(default="false")},
        shows="label",
    ),
    "sys_dictionary": Table(
        {**_SYSTEM, "name": Column(80), "element": Column(80), "internal_type": Column(),
         "max_length": Column(), "reference": Column(80), "mandatory": Column(default="false"),
         "default_value": Column()},
        shows="element",
    ),
    "sys_journal_field": Table(
        {**_SYSTEM, "element_id": Column(), "name": Column(80), "element": Column(80), "value": Column(4000)},
        shows="element",
    ),
}  # fmt: skip


def sys_id_of(*parts: str) -> str:
    """An id of 32 digits that is the same in every run."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


GROUPS: Final = {
    name: sys_id_of("sys_user_group", name) for name in ("Service Desk", "Payments L2", "Network")
}
CIS: Final = {name: sys_id_of("cmdb_ci", name) for name in ("db01", "pay01", "payments")}
USERS: Final = {name: sys_id_of("sys_user", name) for name in ("intops", "agent", "automation")}


def first_records() -> list[tuple[str, str, dict[str, str]]]:
    """What a new instance holds: table, sys_id, fields."""
    found = [("sys_user_group", key, {"name": name}) for name, key in GROUPS.items()]
    found += [
        ("cmdb_ci", key, {"name": name, "sys_class_name": "cmdb_ci"}) for name, key in CIS.items()
    ]
    found += [
        ("sys_user", key, {"name": name.title(), "user_name": name, "email": f"{name}@example.com"})
        for name, key in USERS.items()
    ]  # fmt: skip
    for name, table in TABLES.items():
        for element, column in table.columns.items():
            kind = "reference" if column.refers else "journal_input" if column.journal else "string"
            said = {"name": name, "element": element, "internal_type": kind}
            said |= {"max_length": str(column.length), "reference": column.refers}
            mandatory = str(name == "incident" and element == "short_description").lower()
            said |= {"mandatory": mandatory, "default_value": column.default}
            found.append(("sys_dictionary", sys_id_of("sys_dictionary", name, element), said))
        for element, labels in table.labels.items():
            for value, label in labels.items():
                said = {"name": name, "element": element, "value": value, "label": label}
                said["inactive"] = "false"
                found.append(("sys_choice", sys_id_of("sys_choice", name, element, value), said))
    return found
