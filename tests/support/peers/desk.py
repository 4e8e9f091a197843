"""Reads tickets from a desk that speaks Request Tracker's REST 2.0, for a test's assertions.

Used by `RequestTracker` and by the launcher of the helpdesk simulator: the same reading of both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx

PER_PAGE = 100  # More is silently cut to 100 by Request Tracker.
TICKET_FIELDS = (
    "Subject,Status,Queue,Priority,Owner,Requestor,Created,LastUpdated,Resolved,CustomFields"
)
HISTORY_FIELDS = "Type,Creator,Created,Field,OldValue,NewValue"


class TicketDesk:
    """The reading side of one desk.

    Args:
        url: Base address, without `/REST/2.0`.
        headers: Sent with every request; carries the authentication.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url = f"{url}/REST/2.0"
        self._headers = dict(headers)

    def tickets(self, query: str = "id > 0") -> list[dict[str, Any]]:
        """Return the tickets that match a TicketSQL query, by id.

        Each is `{id, Subject, Status, Queue, Priority, Owner, Requestor, Created, LastUpdated,
        Resolved, CustomFields}` with an int id, names instead of references, and
        `CustomFields` as `{name: value or None}`.
        """
        params = {
            "query": query,
            "orderby": "id",
            "order": "ASC",
            "fields": TICKET_FIELDS,
            "fields[Queue]": "Name",
        }
        return [_plain_ticket(item) for item in self._pages("/tickets", params)]

    def ticket(self, ticket_id: int) -> dict[str, Any]:
        """Return one ticket in the shape of `tickets`; raises `KeyError` where there is none."""
        found = self.tickets(f"id = {int(ticket_id)}")
        if not found:
            raise KeyError(f"There is no ticket {ticket_id}.")
        return found[0]

    def history(self, ticket_id: int) -> list[dict[str, Any]]:
        """Return what happened to a ticket, oldest first.

        Each is `{id, Type, Creator, Created, Field, OldValue, NewValue}` with an int id.
        """
        path = f"/ticket/{int(ticket_id)}/history"
        return [
            {
                "id": int(item["id"]),
                "Creator": item["Creator"]["id"],
                **{name: item[name] for name in ("Type", "Created", "Field")},
                **{name: item[name] for name in ("OldValue", "NewValue")},
            }
            for item in self._pages(path, {"fields": HISTORY_FIELDS})
        ]

    def _pages(self, path: str, params: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        # Totals and page counts may be null or 0.0; only a short page ends a listing.
        with httpx.Client(headers=self._headers, timeout=30.0) as client:
            page, read = 1, PER_PAGE
            while read == PER_PAGE:
                answer = client.get(
                    f"{self._url}{path}",
                    params={**params, "per_page": str(PER_PAGE), "page": str(page)},
                ).raise_for_status()
                items = answer.json()["items"]
                yield from items
                page, read = page + 1, len(items)


def _plain_ticket(item: Mapping[str, Any]) -> dict[str, Any]:
    # A ticket without any custom field has "" there, not [].
    fields = item["CustomFields"] or []
    return {
        "id": int(item["id"]),
        "Queue": item["Queue"]["Name"],
        "Owner": item["Owner"]["id"],
        "Requestor": [person["id"] for person in item["Requestor"] or []],
        "CustomFields": {f["name"]: (f["values"] or [None])[0] for f in fields},
        **{name: item[name] for name in ("Subject", "Status", "Priority")},
        **{name: item[name] for name in ("Created", "LastUpdated", "Resolved")},
    }
