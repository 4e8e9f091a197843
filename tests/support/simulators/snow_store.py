"""Holds the records of the ServiceNow simulator and changes them as the business rules of an instance would.

Used by the REST side; knows nothing of HTTP. An insert makes a record every time: `correlation_id` is not unique,
and nothing here recognises a request that came twice.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from support.simulators.snow_schema import (
    SYSTEM_FIELDS,
    TABLES,
    USERS,
    first_records,
    sys_id_of,
)

DROPPED_FIELDS = "dropped-fields"
CUT_TEXTS = "cut-texts"
RULES = "rules"
Row = dict[str, str]

RESOLVED, CLOSED, ON_HOLD = "6", "7", "3"
_PRIORITY: Final = {
    ("1", "1"): "1", ("1", "2"): "2", ("2", "1"): "2", ("1", "3"): "3", ("2", "2"): "3", ("3", "1"): "3",
    ("2", "3"): "4", ("3", "2"): "4", ("3", "3"): "5",
}  # fmt: skip


class Refused(Exception):
    """A write that is answered with a status, a message and a detail."""

    def __init__(self, status: int, message: str, detail: str | None) -> None:
        super().__init__(message)
        self.status, self.message, self.detail = status, message, detail


class SnowStore:
    """All tables of one instance.

    Args:
        vices: Those of `snow_rest.VICES` that are on.
    """

    def __init__(self, vices: frozenset[str]) -> None:
        self._vices = vices
        self.tables: dict[str, dict[str, Row]] = {name: {} for name in TABLES}
        self.mandatory: set[str] = set()
        """Fields of an incident that a data policy demands at every insert, besides those of its state."""
        self._numbers: defaultdict[str, int] = defaultdict(lambda: 10000)
        self._made = 0
        for table, sys_id, fields in first_records():
            self.tables[table][sys_id] = self._blank(table, sys_id, "system", 0.0) | fields

    def insert(self, table: str, fields: Mapping[str, object], *, user: str, now: float) -> Row:
        """Make a record.

        Raises:
            Refused: A policy or a rule of the instance forbids it.
        """
        self._made += 1
        sys_id = sys_id_of(table, str(self._made), user)
        row = self._blank(table, sys_id, user, now)
        wanted, notes = self._taken(table, fields)
        row |= wanted
        self._rule(table, row, {}, user, now)
        if TABLES[table].prefix:
            # A number is used up by a refused insert on a real instance, too; here it is not.
            self._numbers[table] += 1
            row["number"] = f"{TABLES[table].prefix}{self._numbers[table]:07d}"
        self.tables[table][sys_id] = row
        self._note(table, sys_id, notes, user, now)
        return row

    def update(
        self, table: str, row: Row, fields: Mapping[str, object], *, user: str, now: float
    ) -> Row:
        """Change the named fields of a record.

        Raises:
            Refused: A policy or a rule of the instance forbids it.
        """
        if table == "incident" and row["state"] == CLOSED and RULES in self._vices:
            words = "ACL Exception Update Failed due to security constraints"
            raise Refused(403, "Operation Failed", words)
        wanted, notes = self._taken(table, fields)
        after = row | wanted
        self._rule(table, after, row, user, now)
        if after != row or notes:
            after["sys_mod_count"] = str(int(row["sys_mod_count"]) + 1)
            after |= {"sys_updated_on": stamp(now), "sys_updated_by": user}
        row |= after
        self._note(table, row["sys_id"], notes, user, now)
        return row

    def _blank(self, table: str, sys_id: str, user: str, now: float) -> Row:
        row = {
            name: column.default
            for name, column in TABLES[table].columns.items()
            if not column.journal
        }
        at = stamp(now)
        row |= {
            "sys_id": sys_id,
            "sys_mod_count": "0",
            "sys_created_on": at,
            "sys_created_by": user,
        }
        row |= {"sys_updated_on": at, "sys_updated_by": user}
        if "opened_at" in row:
            row["opened_at"] = at
        return row

    def _taken(self, table: str, fields: Mapping[str, object]) -> tuple[Row, Row]:
        """The fields that this table keeps, and what goes to its journals; the others are gone."""
        kept: Row = {}
        notes: Row = {}
        columns = TABLES[table].columns
        for name, value in fields.items():
            if name not in columns:
                if DROPPED_FIELDS in self._vices:
                    continue
                raise Refused(400, "Invalid field", f"There is no field {name} in table {table}")
            if name in SYSTEM_FIELDS or name == "number":
                continue
            column, text = columns[name], _text(value)
            if len(text) > column.length:
                if CUT_TEXTS not in self._vices:
                    raise Refused(400, "Value too long", f"{name} takes {column.length} characters")
                text = text[: column.length]
            if column.journal:
                notes[name] = text
            elif column.refers and text and text not in self.tables[column.refers]:
                kept[name] = ""  # a name where a sys_id belongs leads nowhere
            else:
                kept[name] = text
        return kept, {name: text for name, text in notes.items() if text}

    def _rule(self, table: str, row: Row, before: Row, user: str, now: float) -> None:
        """What business rules and data policies of an instance make of a write to an incident."""
        if table != "incident" or RULES not in self._vices:
            return
        row["priority"] = _PRIORITY.get((row["impact"], row["urgency"]), "5")
        row["incident_state"] = row["state"]
        missing = sorted(name for name in self.mandatory if not row.get(name)) if not before else []
        if row["state"] in (RESOLVED, CLOSED):
            missing += [name for name in ("close_code", "close_notes") if not row[name]]
        if row["state"] == ON_HOLD and not row["hold_reason"]:
            missing.append("hold_reason")
        if missing:
            words = (
                f"Data Policy Exception: The following fields are mandatory: {', '.join(missing)}"
            )
            raise Refused(403, "Operation Failed", words)
        if row["state"] == RESOLVED and before.get("state") != RESOLVED:
            row |= {"resolved_at": stamp(now), "resolved_by": USERS.get(user, "")}
        if before.get("state") == RESOLVED and row["state"] == "2":
            row |= {"resolved_at": "", "reopen_count": str(int(row["reopen_count"]) + 1)}
        if row["state"] == CLOSED:
            row["closed_at"] = stamp(now)

    def _note(self, table: str, sys_id: str, notes: Row, user: str, now: float) -> None:
        for element, value in notes.items():
            self._made += 1
            key = sys_id_of("sys_journal_field", str(self._made), user)
            said = {"element_id": sys_id, "name": table, "element": element, "value": value}
            self.tables["sys_journal_field"][key] = (
                self._blank("sys_journal_field", key, user, now) | said
            )


def stamp(now: float) -> str:
    """A time as the database holds it: UTC, without saying so.

    >>> stamp(0.0)
    '1970-01-01 00:00:00'
    """
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now))


def _text(value: object) -> str:
    """Every value is a text there."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
