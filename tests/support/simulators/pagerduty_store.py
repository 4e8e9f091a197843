"""Incidents of the simulated PagerDuty: made and changed by the rules of REST v2 and Events v2, or refused.

Used by the HTTP side of the PagerDuty simulator. Does no I/O; the clock is an argument (epoch seconds).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

SERVICES = {"PIJ90N7": "Checkout", "PF9KMXH": "Payments"}
"""Id → name."""
USERS = {"intops@example.com": ("PLH1HKV", "intops"), "jane@example.com": ("PTUXL6G", "Jane Doe")}
"""E-mail address → id and name."""
PRIORITIES = {"PSO75BM": "P1", "PSO75BN": "P2", "PSO75BO": "P3", "PSO75BP": "P4", "PSO75BQ": "P5"}
POLICY = "PUS0KTE"
ROUTING_KEYS = {"a-routing-key-of-32-characters00": "PIJ90N7"}
"""Integration key of Events v2 → service."""
SEVERITIES = ("critical", "error", "warning", "info")
ALREADY_OPEN = "Open incident with matching dedup key already exists on this service"
SITE = "https://example.pagerduty.com"
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Refused(Exception):
    """A request that is not done: status, and the error object of the answer."""

    def __init__(self, status: int, code: int, message: str, *errors: str) -> None:
        super().__init__(message)
        self.status = status
        error: dict[str, Any] = {"message": message, "code": code}
        if errors:
            error["errors"] = list(errors)
        self.body: dict[str, Any] = {"error": error}


@dataclass(slots=True)
class Incident:
    """One incident. Times are epoch seconds; `visible_at` is when lists begin to show it."""

    id: str
    number: int
    key: str
    service: str
    title: str
    created: float
    visible_at: float
    urgency: str = "high"
    status: str = "triggered"
    priority: str | None = None
    details: str | None = None
    resolution: str | None = None
    updated: float = 0.0
    notes: list[str] = field(default_factory=list)
    history: list[str] = field(default_factory=list)
    """What was done to it and by whom, as `resolved by intops`."""
    hidden: bool = False
    """Whether the key may not see it: answered as if it were not there."""

    def view(self) -> dict[str, Any]:
        """As REST v2 shows it."""
        shown = self._common()
        return {
            **shown,
            "incident_number": self.number,
            "summary": f"[#{self.number}] {self.title}",
            "description": self.title,
            "updated_at": stamp(self.updated),
            "last_status_change_at": stamp(self.updated),
            "assignments": [],
            "acknowledgements": [],
            "alert_counts": {"all": 0, "triggered": 0, "resolved": 0},
        }

    def webhook_view(self) -> dict[str, Any]:
        """As V3 webhooks show it: other names for some things, and fewer of them."""
        return {**self._common(), "number": self.number, "assignees": [], "resolve_reason": None}

    def reference(self) -> dict[str, Any]:
        """As a part of something else."""
        link = f"{SITE}/incidents/{self.id}"
        return {
            "id": self.id,
            "type": "incident_reference",
            "summary": self.title,
            "html_url": link,
        }

    def _common(self) -> dict[str, Any]:
        priority = self.priority
        return {
            "id": self.id,
            "type": "incident",
            "self": f"https://api.pagerduty.com/incidents/{self.id}",
            "html_url": f"{SITE}/incidents/{self.id}",
            "title": self.title,
            "status": self.status,
            "incident_key": self.key,
            "created_at": stamp(self.created),
            "urgency": self.urgency,
            "service": {
                "id": self.service,
                "type": "service_reference",
                "summary": SERVICES[self.service],
            },
            "priority": {"id": priority, "type": "priority", "summary": PRIORITIES[priority]}
            if priority
            else None,
            "escalation_policy": {"id": POLICY, "type": "escalation_policy_reference"},
        }


def stamp(at: float) -> str:
    """A time as PagerDuty writes it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class PagerDutyStore:
    """One account.

    Attributes:
        strict: Whether a change of a resolved incident is refused with 1001; else it is answered with 200 and
            changes nothing.
    """

    def __init__(self) -> None:
        self.incidents: dict[str, Incident] = {}
        self.strict = False

    def find(self, id_: str) -> Incident:
        """The incident with this id or number.

        Raises:
            Refused: 404.
        """
        for incident in self.incidents.values():
            if id_ in (incident.id, str(incident.number)) and not incident.hidden:
                return incident
        raise Refused(404, 2100, "Not Found")

    def open_with(self, service: str, key: str) -> Incident | None:
        """The open incident of a service with a key."""
        for incident in self.incidents.values():
            if (incident.service, incident.key) == (service, key) and incident.status != "resolved":
                return incident
        return None

    def create(self, asked: Mapping[str, Any], *, now: float, lag_s: float) -> Incident:
        """Make an incident by REST.

        Raises:
            Refused: 400 with what is wrong.
        """
        wrong = []
        if not asked.get("title"):
            wrong.append("Title cannot be blank.")
        service = (asked.get("service") or {}).get("id")
        if service not in SERVICES:
            wrong.append("Service Not Found")
        if asked.get("urgency", "high") not in ("high", "low"):
            wrong.append("Urgency is invalid.")
        if isinstance((asked.get("body") or {}).get("details", ""), dict):
            wrong.append("Body details must be a string.")
        if wrong:
            raise Refused(400, 2001, "Invalid Input Provided", *wrong)
        priority = _priority(asked)
        key = asked.get("incident_key") or f"made-{len(self.incidents) + 1}"
        if self.open_with(str(service), key):
            raise Refused(400, 2002, "Arguments Caused Error", ALREADY_OPEN)
        incident = self.add(str(service), key, str(asked["title"]), now=now, lag_s=lag_s)
        incident.urgency = asked.get("urgency", "high")
        incident.priority = priority
        incident.details = (asked.get("body") or {}).get("details")
        return incident

    def add(
        self, service: str, key: str, title: str, *, now: float, lag_s: float = 0.0
    ) -> Incident:
        """An incident that somebody or something has made."""
        number = len(self.incidents) + 1
        incident = Incident(
            _id_of(number), number, key, service, title, now, now + lag_s, updated=now
        )
        self.incidents[incident.id] = incident
        return incident

    def change(self, incident: Incident, asked: Mapping[str, Any], by: str, *, now: float) -> bool:
        """Change an incident; whether anything was changed.

        Raises:
            Refused: 400 with what is wrong.
        """
        if incident.status == "resolved":
            if self.strict:
                raise Refused(400, 1001, "Incident Already Resolved")
            return False
        status = asked.get("status")
        if status not in (None, "acknowledged", "resolved", "triggered"):
            raise Refused(400, 1003, "Invalid Status Provided", str(status))
        if asked.get("urgency", "high") not in ("high", "low"):
            raise Refused(400, 2001, "Invalid Input Provided", "Urgency is invalid.")
        priority = _priority(asked)
        incident.title = asked.get("title") or incident.title
        incident.urgency = asked.get("urgency") or incident.urgency
        incident.priority = priority or incident.priority
        if status == "resolved":
            incident.resolution = asked.get("resolution")
        if status in ("acknowledged", "resolved"):
            incident.status = status
            incident.history.append(f"{status} by {by}")
        incident.updated = now
        return True

    def enqueue(self, event: Mapping[str, Any], *, now: float) -> str:
        """Take an event of Events v2; its dedup_key. What has no open alert to end is dropped without a word.

        Raises:
            Refused: 400, the body is `{status, message, errors}`.
        """
        wrong = []
        service = ROUTING_KEYS.get(str(event.get("routing_key")))
        action, key = event.get("event_action"), str(event.get("dedup_key") or "")
        payload = event.get("payload") or {}
        if service is None:
            wrong.append("'routing_key' is invalid or missing")
        if action not in ("trigger", "acknowledge", "resolve"):
            wrong.append("'event_action' must be one of trigger, acknowledge, resolve")
        if action != "trigger" and not key:
            wrong.append("'dedup_key' is missing or blank")
        if action == "trigger":
            wrong += [
                f"'payload.{n}' is missing or blank"
                for n in ("summary", "source")
                if not payload.get(n)
            ]
            if payload.get("severity") not in SEVERITIES:
                wrong.append("'payload.severity' is invalid (must be one of the enumerated values)")
        if len(key) > 255:
            wrong.append("'dedup_key' is too long")
        if wrong or service is None:
            refused = Refused(400, 0, "Event object is invalid")
            refused.body = {
                "status": "invalid event", "message": "Event object is invalid", "errors": wrong,
            }  # fmt: skip
            raise refused
        key = key or f"made-{len(self.incidents) + 1}"
        incident = self.open_with(service, key)
        if action == "trigger" and incident is None:
            made = self.add(service, key, str(payload["summary"]), now=now)
            made.urgency = "high" if payload["severity"] in ("critical", "error") else "low"
        elif incident is not None and action != "trigger":
            status = {"acknowledge": "acknowledged", "resolve": "resolved"}[str(action)]
            self.change(incident, {"status": status}, "the API", now=now)
        return key


def _priority(asked: Mapping[str, Any]) -> str | None:
    priority = (asked.get("priority") or {}).get("id")
    if priority is not None and priority not in PRIORITIES:
        raise Refused(400, 1020, "Invalid Priority")
    return priority


def _id_of(number: int) -> str:
    """Ids that do not follow one another, in the long form of newer accounts."""
    value, text = number * 7919 * 104729, ""
    while len(text) < 13:
        value, digit = divmod(value, len(_LETTERS))
        text += _LETTERS[digit]
    return "Q" + text
