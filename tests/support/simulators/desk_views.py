"""Shows tickets, queues and search pages the way Request Tracker's REST 2.0 does.

Used by the REST side of the helpdesk simulator. Ids are partly int and partly text, unset dates are
1970, page counts are `0.0` or null: all as measured on the real one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from support.simulators.desk_store import (
    CUSTOM_FIELDS,
    QUEUES,
    Ticket,
    Transaction,
    has_custom_field,
)

MAX_PER_PAGE = 100
DEFAULT_PER_PAGE = 20
TRANSITIONS: dict[str, tuple[tuple[str, str, str | None], ...]] = {
    "new": (
        ("open", "Open It", "Respond"),
        ("resolved", "Resolve", "Comment"),
        ("rejected", "Reject", "Respond"),
    ),
    "open": (
        ("stalled", "Stall", "Comment"),
        ("resolved", "Resolve", "Comment"),
        ("rejected", "Reject", "Respond"),
    ),
    "stalled": (("open", "Open It", None),),
    "resolved": (("open", "Re-open", "Comment"),),
    "rejected": (("open", "Re-open", "Comment"),),
}
UPDATE_PATHS = {"Respond": "/correspond", "Comment": "/comment", None: ""}


class Views:
    """Builds answers whose links start with one base address.

    Args:
        base: Such as `http://127.0.0.1:18180/REST/2.0`.
        float_pages: Whether no hits are `0.0` pages.
    """

    def __init__(self, base: str, *, float_pages: bool) -> None:
        self.base = base
        self._no_pages: float = 0.0 if float_pages else 0

    def reference(self, kind: str, name: str) -> dict[str, Any]:
        """Return a link to something."""
        return {"type": kind, "id": name, "_url": f"{self.base}/{kind}/{name}"}

    def ticket(self, ticket: Ticket) -> dict[str, Any]:
        """Return a whole ticket."""
        names = (
            "Subject,Status,Queue,Priority,Owner,Requestor,Creator,LastUpdatedBy,Created,"
            "LastUpdated,Started,Resolved,CustomFields"
        )
        return {
            **self.fields(ticket, names.split(","), {}),
            "id": ticket.id,
            "Type": "ticket",
            "EffectiveId": self.reference("ticket", str(ticket.id)),
            "InitialPriority": "0",
            "FinalPriority": "0",
            "TimeWorked": "0",
            "TimeLeft": "0",
            "TimeEstimated": "0",
            "Cc": [],
            "AdminCc": [],
            "Due": moment(None),
            "Starts": moment(None),
            "_hyperlinks": self._links(ticket),
        }

    def fields(
        self, ticket: Ticket, names: Sequence[str], inner: Mapping[str, str]
    ) -> dict[str, Any]:
        """Return the named fields of a ticket; an unknown name has an empty value.

        Args:
            ticket: The ticket.
            names: Values of the parameter `fields`.
            inner: Values of parameters such as `fields[Queue]`, by field.
        """
        shown: dict[str, Any] = {}
        for name in names:
            shown[name] = self._field(ticket, name)
            if name == "Queue" and "Name" in inner.get("Queue", "").split(","):
                shown[name] = {**shown[name], "Name": ticket.queue}
        return shown

    def queue(self, name: str, *, names: Sequence[str]) -> dict[str, Any]:
        """Return a queue of a list, with the named fields."""
        known = {"Name": name, "Description": name}
        shown = self.reference("queue", QUEUES[name])
        return {**shown, **{field: known.get(field, "") for field in names}}

    def whole_queue(self, name: str) -> dict[str, Any]:
        """Return a queue with the custom fields of its tickets, and a link for what the user may do there."""
        fields = [
            {**self.reference("customfield", number), "ref": "customfield", "name": field}
            for field, number in CUSTOM_FIELDS.items()
            if has_custom_field(name, field)
        ]
        make = {
            "ref": "create",
            "type": "ticket",
            "_url": f"{self.base}/ticket?Queue={QUEUES[name]}",
        }
        shown = self.queue(name, names=["Name", "Description"])
        return {**shown, "TicketCustomFields": fields, "_hyperlinks": [make]}

    def transaction(self, entry: Transaction, names: Sequence[str]) -> dict[str, Any]:
        """Return one entry of a history with the named fields."""
        known = {
            "Type": entry.type,
            "Creator": self.reference("user", entry.creator),
            "Created": moment(entry.created),
            "Field": entry.field,
            "OldValue": entry.old,
            "NewValue": entry.new,
        }
        shown = self.reference("transaction", str(entry.id))
        return {**shown, **{name: known.get(name, "") for name in names}}

    def page(
        self, path: str, params: Mapping[str, str], found: Sequence[Any]
    ) -> tuple[dict[str, Any], Sequence[Any]]:
        """Cut one page out of what was found; returns the page without items, and its items."""
        per_page = min(_positive(params.get("per_page"), DEFAULT_PER_PAGE), MAX_PER_PAGE)
        page = _positive(params.get("page"), 1)
        cut = found[(page - 1) * per_page : page * per_page]
        pages: float = -(-len(found) // per_page) or self._no_pages
        shown: dict[str, Any] = {
            "page": page,
            "per_page": per_page,
            "count": len(cut),
            "total": len(found),
            "pages": pages,
        }
        if page < pages:
            shown["next_page"] = self._page_link(path, params, page + 1)
        if page > 1:
            shown["prev_page"] = self._page_link(path, params, min(page - 1, int(pages) or 1))
        return shown, cut

    def _page_link(self, path: str, params: Mapping[str, str], page: int) -> str:
        # The real one blanks the old page number in the middle of the query and appends the new.
        kept = [
            "=" if name == "page" else quote(name) + "=" + quote(value, safe="'")
            for name, value in params.items()
        ]
        if kept and kept[-1] == "=":
            kept.pop()
        return f"{self.base}{path}?{'&'.join([*kept, f'page={page}'])}"

    def _field(self, ticket: Ticket, name: str) -> Any:
        match name:
            case "Subject":
                return ticket.subject
            case "Status":
                return ticket.status
            case "Priority":
                return ticket.priority
            case "Queue":
                return self.reference("queue", QUEUES[ticket.queue])
            case "Owner":
                return self.reference("user", ticket.owner)
            case "Creator":
                return self.reference("user", ticket.creator)
            case "LastUpdatedBy":
                return self.reference("user", ticket.updated_by)
            case "Requestor":
                return [self.reference("user", person) for person in ticket.requestors]
            case "Created":
                return moment(ticket.created)
            case "LastUpdated":
                return moment(ticket.updated)
            case "Started":
                return moment(ticket.started)
            case "Resolved":
                return moment(ticket.resolved)
            case "CustomFields":
                return self._custom_fields(ticket)
            case _:
                return ""

    def _custom_fields(self, ticket: Ticket) -> list[dict[str, Any]]:
        return [
            {
                **self.reference("customfield", number),
                "name": name,
                "values": [ticket.custom[name]] if name in ticket.custom else [],
            }
            for name, number in CUSTOM_FIELDS.items()
            if has_custom_field(ticket.queue, name)
        ]

    def _links(self, ticket: Ticket) -> list[dict[str, Any]]:
        url = f"{self.base}/ticket/{ticket.id}"
        links: list[dict[str, Any]] = [
            {"ref": "self", "type": "ticket", "id": ticket.id, "_url": url}
        ]
        links += [
            {**self.reference("customfield", number), "ref": "customfield", "name": name}
            for name, number in CUSTOM_FIELDS.items()
            if has_custom_field(ticket.queue, name)
        ]
        links += [
            {"ref": ref, "_url": f"{url}/{ref}"} for ref in ("history", "correspond", "comment")
        ]
        for to, label, update in TRANSITIONS.get(ticket.status, ()):
            link = {
                "ref": "lifecycle",
                "from": ticket.status,
                "to": to,
                "label": label,
                "_url": f"{url}{UPDATE_PATHS[update]}",
            }
            links.append(link if update is None else {**link, "update": update})
        return links


def moment(at: float | None) -> str:
    """Return a time as the real one writes it; never is 1970."""
    return datetime.fromtimestamp(int(at or 0), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _positive(text: str | None, default: int) -> int:
    if text is None or not text.isdecimal():
        return default
    return int(text) or default
