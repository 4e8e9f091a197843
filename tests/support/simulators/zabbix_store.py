"""What the simulated Zabbix knows: hosts, triggers, problems and what people did to them.

Used by the simulator's API and its media type; tests play the server with `fire` and `recover`. Times are whole
seconds since the epoch; ids are numbers here and texts wherever they are told.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

CLOSE, ACKNOWLEDGE, MESSAGE, SEVERITY, UNACKNOWLEDGE = 1, 2, 4, 8, 16
"""What an update may do, as bits of `event.acknowledge`."""


@dataclass(slots=True)
class Host:
    """A monitored host; its two names differ as a rule."""

    hostid: int
    host: str
    name: str
    ip: str = ""
    groupid: int = 4


@dataclass(slots=True)
class Trigger:
    """A rule over items of one or more hosts."""

    triggerid: int
    name: str
    hosts: list[Host]
    severity: int = 3
    enabled: bool = True
    manual_close: bool = False
    url: str = ""
    comments: str = ""
    opdata: str = ""
    tags: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Update:
    """One thing that a user did to a problem."""

    clock: int
    action: int
    message: str
    user: str

    @property
    def words(self) -> str:
        """What `{EVENT.UPDATE.ACTION}` says of it."""
        known = {
            ACKNOWLEDGE: "acknowledged", UNACKNOWLEDGE: "unacknowledged", MESSAGE: "commented",
            SEVERITY: "changed severity", CLOSE: "closed",
        }  # fmt: skip
        return ", ".join(words for bit, words in known.items() if self.action & bit)


@dataclass(slots=True)
class Problem:
    """One problem event and its end, if it has one."""

    eventid: int
    trigger: Trigger
    clock: int
    severity: int
    tags: list[dict[str, str]]
    acknowledged: bool = False
    suppressed: bool = False
    cause_eventid: int = 0
    r_eventid: int = 0
    r_clock: int = 0
    closing: bool = False
    """Whether somebody has closed it and the server has not done it yet."""
    updates: list[Update] = field(default_factory=list)

    def view(self) -> dict[str, Any]:
        """The problem object of the API: every number is a text."""
        return {
            "eventid": str(self.eventid), "source": "0", "object": "0",
            "objectid": str(self.trigger.triggerid), "clock": str(self.clock), "ns": "310553472",
            "r_eventid": str(self.r_eventid), "r_clock": str(self.r_clock), "r_ns": "0",
            "cause_eventid": str(self.cause_eventid), "correlationid": "0", "userid": "0",
            "name": self.trigger.name, "acknowledged": str(int(self.acknowledged)),
            "severity": str(self.severity), "suppressed": str(int(self.suppressed)),
            "opdata": self.trigger.opdata, "urls": [],
        }  # fmt: skip


class ZabbixStore:
    """Everything in memory. Ids of events go up with each problem, recovery and trigger."""

    def __init__(self) -> None:
        self.hosts: dict[int, Host] = {}
        self.triggers: dict[int, Trigger] = {}
        self.problems: dict[int, Problem] = {}
        self._next = 880

    def add_host(self, host: str, name: str = "", ip: str = "192.0.2.10") -> Host:
        """A host; its visible name is the technical one if none is given."""
        made = Host(10084 + len(self.hosts), host, name or host, ip)
        self.hosts[made.hostid] = made
        return made

    def add_trigger(self, name: str, *hosts: Host, **more: Any) -> Trigger:
        """A trigger over these hosts; `more` are fields of `Trigger`."""
        made = Trigger(15112 + len(self.triggers), name, list(hosts), **more)
        self.triggers[made.triggerid] = made
        return made

    def fire(self, trigger: Trigger, now: float) -> Problem:
        """The trigger goes to PROBLEM."""
        self._next += 1
        tags = [dict(tag) for tag in trigger.tags]
        made = Problem(self._next, trigger, int(now), trigger.severity, tags)
        self.problems[made.eventid] = made
        return made

    def recover(self, problem: Problem, now: float) -> None:
        """The trigger goes to OK; nothing happens where it has already."""
        if not problem.r_eventid:
            self._next += 1
            problem.r_eventid, problem.r_clock = self._next, int(now)

    def update(
        self, problem: Problem, action: int, now: float, *, message: str = "",
        severity: int | None = None, user: str = "Zabbix Administrator (Admin)",
    ) -> Update:  # fmt: skip
        """What a user does to a problem. A close is only a wish: the server acts on it later."""
        if action & ACKNOWLEDGE:
            problem.acknowledged = True
        if action & UNACKNOWLEDGE:
            problem.acknowledged = False
        if action & SEVERITY and severity is not None:
            problem.severity = severity
        if action & CLOSE:
            problem.closing = True
        done = Update(int(now), action, message, user)
        problem.updates.append(done)
        return done

    def close_what_is_closing(self, now: float) -> list[Problem]:
        """What the server's task manager does every few seconds."""
        closed = [one for one in self.problems.values() if one.closing and not one.r_eventid]
        for problem in closed:
            self.recover(problem, now)
        return closed
