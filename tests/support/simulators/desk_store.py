"""Holds the tickets of the helpdesk simulator and changes them as Request Tracker would.

Used by the REST side; knows nothing of HTTP. A create makes a ticket every time: nothing here
recognises a request that came twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

KEY_FIELD = "intops_key"
QUEUES = {"General": "1", "Incidents": "3", "Payments": "4"}
CUSTOM_FIELDS = {KEY_FIELD: "2", "Severity": "3", "Service": "4", "Node": "5"}
CHOICES = {
    "Severity": (
        "critical",
        "major",
        "minor",
        "warning",
        "info",
        "clear",
        "unknown",
        "other",
    )
}
WITHOUT_CUSTOM_FIELDS = frozenset({"General"})
USERS = {"Nobody": "6", "root": "14", "intops": "27"}
INITIAL = ("new", "open", "resolved")
STATUSES = ("new", "open", "stalled", "resolved", "rejected", "deleted")
ENDED = frozenset({"resolved", "rejected", "deleted"})


class Refused(Exception):
    """A create that is answered with an error status and this text."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class Transaction:
    """One entry of a ticket's history."""

    id: int
    type: str
    creator: str
    created: float
    field: str = ""
    old: str = ""
    new: str = ""


@dataclass(slots=True)
class Ticket:
    """One ticket; times are seconds since the epoch, None where never."""

    id: int
    queue: str
    subject: str
    status: str
    priority: str
    creator: str
    created: float
    updated: float
    updated_by: str
    visible_at: float
    owner: str = "Nobody"
    requestors: list[str] = field(default_factory=list)
    started: float | None = None
    resolved: float | None = None
    custom: dict[str, str] = field(default_factory=dict)
    history: list[Transaction] = field(default_factory=list)

    @property
    def etag(self) -> str:
        """The id of the latest transaction."""
        return str(self.history[-1].id)

    def row(self) -> dict[str, object]:
        """Return the ticket as a query sees it."""
        return {
            "id": self.id,
            "queue": self.queue,
            "status": self.status,
            "subject": self.subject,
            "owner": self.owner,
            "priority": self.priority,
            "created": int(self.created),
            "lastupdated": int(self.updated),
            **{f"cf.{name}": value for name, value in self.custom.items()},
        }


@dataclass(frozen=True, slots=True)
class Change:
    """One sentence of the answer to an update, and what makes it true; None: it was refused."""

    sentence: str
    apply: Callable[[], None] | None = None


class DeskStore:
    """All tickets, by id and by our key."""

    def __init__(self) -> None:
        self.tickets: dict[int, Ticket] = {}
        self._by_key: defaultdict[str, set[int]] = defaultdict(set)
        self._transactions = 0

    def candidates(self, key: str | None) -> Iterable[Ticket]:
        """Return the tickets that carry a key, or all of them for None."""
        if key is None:
            return self.tickets.values()
        return [self.tickets[i] for i in sorted(self._by_key.get(key.lower(), ()))]

    def create(
        self, body: Mapping[str, Any], *, user: str, now: float, visible_at: float
    ) -> Ticket:
        """Make a ticket; custom fields that are unknown or have a wrong value are dropped.

        Raises:
            Refused: The queue or the status is wrong.
        """
        if not body.get("Queue"):
            raise Refused(400, "Could not create ticket. Queue not set")
        queue = queue_name(str(body["Queue"]))
        if queue is None:
            wanted = body["Queue"]
            raise Refused(403, f"No permission to create tickets in the queue '{wanted}'")
        status = str(body.get("Status", "new"))
        if status not in INITIAL:
            text = f"Status '{status}' isn't a valid status for tickets in this queue."
            raise Refused(400, text)
        ticket = Ticket(
            id=len(self.tickets) + 1,
            queue=queue,
            subject=str(body.get("Subject", "")),
            status=status,
            priority=str(body.get("Priority", "0")),
            creator=user,
            created=now,
            updated=now,
            updated_by=user,
            visible_at=visible_at,
            requestors=_texts(body.get("Requestor")),
            started=None if status == "new" else now,
            resolved=now if status in ENDED else None,
        )
        self.tickets[ticket.id] = ticket
        for name, value in _custom_fields(body).items():
            # Of several values for a single-value field, create keeps the last.
            accepted = accepted_value(ticket.queue, name, (_texts(value) or [""])[-1])
            if accepted:
                self._set_custom(ticket, name, accepted)
        self._record(ticket, "Create", user, now)
        self._mail_requestors(ticket, now)
        return ticket

    def changes(
        self, ticket: Ticket, body: Mapping[str, Any], *, user: str, now: float
    ) -> list[Change]:
        """Return what an update would say and do; nothing has happened yet."""
        found: list[Change] = []
        for name, change in (
            ("Owner", self._owner),
            ("Priority", self._priority),
            ("Queue", self._queue),
            ("Status", self._status),
            ("Subject", self._subject),
            ("Requestor", self._requestor),
        ):
            if name in body:
                found += change(ticket, body[name], user, now)
        for name, value in _custom_fields(body).items():
            found += self._custom(ticket, name, value, user, now)
        return found

    def comment(self, ticket: Ticket, kind: str, *, user: str, now: float) -> Transaction:
        """Add a `Comment` or `Correspond` to a ticket; correspondence is mailed."""
        entry = self._record(ticket, kind, user, now)
        if kind == "Correspond":
            self._mail_requestors(ticket, now)
        return entry

    def _owner(self, ticket: Ticket, value: Any, user: str, now: float) -> list[Change]:
        old, new = ticket.owner, str(value)
        if new not in USERS:
            return [Change(f"Ticket {ticket.id}: That user does not exist")]

        def apply() -> None:
            ticket.owner = new
            for kind in ("Set", "SetWatcher"):
                self._record(ticket, kind, user, now, "Owner", USERS[old], USERS[new])

        return _unless_same(
            old, new, f"Ticket {ticket.id}: Owner changed from {old} to {new}", apply
        )

    def _priority(self, ticket: Ticket, value: Any, user: str, now: float) -> list[Change]:
        old, new = ticket.priority, str(_integer(value))

        def apply() -> None:
            ticket.priority = new
            self._record(ticket, "Set", user, now, "Priority", old, new)

        labels = f"'{_priority_label(old)}' to '{_priority_label(new)}'"
        return _unless_same(old, new, f"Ticket {ticket.id}: Priority changed from {labels}", apply)

    def _queue(self, ticket: Ticket, value: Any, user: str, now: float) -> list[Change]:
        old, new = ticket.queue, queue_name(str(value))
        if new is None:
            return [Change(f"Ticket {ticket.id}: Queue {value} does not exist")]

        def apply() -> None:
            ticket.queue = new
            self._record(ticket, "Set", user, now, "Queue", QUEUES[old], QUEUES[new])

        return _unless_same(
            old, new, f"Ticket {ticket.id}: Queue changed from {old} to {new}", apply
        )

    def _status(self, ticket: Ticket, value: Any, user: str, now: float) -> list[Change]:
        old, new = ticket.status, str(value)
        if new not in STATUSES:
            text = f"Ticket {ticket.id}: Status '{new}' isn't a valid status for this ticket."
            return [Change(text)]
        if new == "deleted":
            return [Change(f"Ticket {ticket.id}: Permission Denied")]

        def apply() -> None:
            ticket.status = new
            if ticket.started is None and new != "new":
                ticket.started = now
            if new in ENDED:
                ticket.resolved = now
            self._record(ticket, "Status", user, now, "Status", old, new)
            if new == "resolved":
                self._mail_requestors(ticket, now)

        sentence = f"Ticket {ticket.id}: Status changed from '{old}' to '{new}'"
        return _unless_same(old, new, sentence, apply)

    def _subject(self, ticket: Ticket, value: Any, user: str, now: float) -> list[Change]:
        old, new = ticket.subject, str(value)

        def apply() -> None:
            ticket.subject = new
            self._record(ticket, "Set", user, now, "Subject", old, new)

        sentence = f"Ticket {ticket.id}: Subject changed from '{old}' to '{new}'"
        return _unless_same(old, new, sentence, apply)

    def _requestor(self, ticket: Ticket, value: Any, user: str, now: float) -> list[Change]:
        def add(person: str) -> Callable[[], None]:
            def apply() -> None:
                ticket.requestors.append(person)
                self._record(ticket, "AddWatcher", user, now, "Requestor", "", person)

            return apply

        return [
            Change(f"Added {person} as Requestor for this ticket", add(person))
            for person in _texts(value)
            if person not in ticket.requestors
        ]

    def _custom(self, ticket: Ticket, name: str, value: Any, user: str, now: float) -> list[Change]:
        if not has_custom_field(ticket.queue, name):
            return []
        old = ticket.custom.get(name, "")
        # Of several values for a single-value field, update keeps the first.
        wanted = (_texts(value) or [""])[0]
        new = accepted_value(ticket.queue, name, wanted)
        if new is None:
            return [Change("Invalid value for custom field")]
        if not old:
            sentence = f"{name} {new} added"
        elif not new:
            sentence = f"{name} {old} deleted"
        else:
            sentence = f"{name} {old} changed to {new}"

        def apply() -> None:
            self._set_custom(ticket, name, new)
            self._record(ticket, "CustomField", user, now, CUSTOM_FIELDS[name], old, new)

        return _unless_same(old, new, sentence, apply)

    def _set_custom(self, ticket: Ticket, name: str, value: str) -> None:
        if name == KEY_FIELD:
            self._by_key[ticket.custom.get(name, "").lower()].discard(ticket.id)
            self._by_key[value.lower()].add(ticket.id)
        if value:
            ticket.custom[name] = value
        else:
            ticket.custom.pop(name, None)

    def _mail_requestors(self, ticket: Ticket, now: float) -> None:
        # Mail moves the ETag: a client that trusts the ETag of its own write is wrong.
        if ticket.requestors:
            self._record(ticket, "EmailRecord", "RT_System", now)

    def _record(
        self,
        ticket: Ticket,
        kind: str,
        user: str,
        now: float,
        name: str = "",
        old: str = "",
        new: str = "",
    ) -> Transaction:
        self._transactions += 1
        entry = Transaction(self._transactions, kind, user, now, name, old, new)
        ticket.history.append(entry)
        ticket.updated, ticket.updated_by = now, user
        return entry


def queue_name(wanted: str) -> str | None:
    """Return the name of a queue given by name or id, or None where there is none."""
    for name, number in QUEUES.items():
        if wanted == number or wanted.lower() == name.lower():
            return name
    return None


def has_custom_field(queue: str, name: str) -> bool:
    """Say whether a custom field is applied to a queue."""
    return name in CUSTOM_FIELDS and queue not in WITHOUT_CUSTOM_FIELDS


def accepted_value(queue: str, name: str, value: str) -> str | None:
    """Return a custom field's value as it is stored, or None where it is not accepted."""
    if not has_custom_field(queue, name):
        return None
    if not value or name not in CHOICES:
        return value
    return next((choice for choice in CHOICES[name] if choice == value.lower()), None)


def _unless_same(old: str, new: str, sentence: str, apply: Callable[[], None]) -> list[Change]:
    return [] if old == new else [Change(sentence, apply)]


def _custom_fields(body: Mapping[str, Any]) -> Mapping[str, Any]:
    named = body.get("CustomFields")
    return named if isinstance(named, dict) else {}


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _integer(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0


def _priority_label(value: str) -> str:
    number = _integer(value)
    return "High" if number >= 100 else "Medium" if number >= 50 else "Low"
