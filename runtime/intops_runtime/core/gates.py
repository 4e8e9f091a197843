"""The gate before one system: open to traffic, limited, held, or closed while it is down.

Held is what a person must mend: a credential that was refused, an address that may not be used.

Pure: every method takes the time (seconds, monotonic) and returns the next gate. One gate a target binding.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

GateState = Literal["ok", "limited", "held", "open"]

# Domain reference 3.1, class 11: five connection failures in a row, or half of the last twenty calls.
FAILURES_IN_A_ROW = 5
WINDOW = 20
FAILURE_SHARE = 0.5
# A dead system is asked every ten seconds, so that a flow is Ready again within 30 s of its return
# (docs/adr/0003-circuit-timing.md tells why not 60 s).
PROBE_EVERY_S = 10.0
# After a first failure the system is asked at once and often, so that an outage shows within ten
# seconds even where hardly any message arrives.
DOUBT_PROBE_EVERY_S = 2.0
# A refused credential is asked for every five minutes; a changed Secret is tried at once.
CREDENTIAL_PROBE_EVERY_S = 300.0
# After a recovery the load grows from a tenth to all of it, so that the system is not felled again.
RAMP_S = 20.0
RAMP_FROM = 0.1
# Domain reference 3.1, class 3: after a limit half as much at once, then a tenth more each minute.
LIMIT_SHARE = 0.5
LEAST_SHARE = 0.1
SHARE_PER_S = 0.1 / 60.0
LIMIT_MEMORY_S = 30.0
LONGEST_PAUSE_S = 60.0
_ALL_WELL = (True,) * WINDOW


@dataclass(frozen=True, slots=True)
class Gate:
    """State of one gate. Times are monotonic seconds, `since_wall` is epoch seconds for people."""

    state: GateState = "ok"
    error_class: str | None = None
    detail: str | None = None
    since_wall: float | None = None
    next_probe_at: float = 0.0
    limited_until: float = 0.0
    failures_in_a_row: int = 0
    recent: tuple[bool, ...] = field(default=())
    ramp_started_at: float | None = None
    repeats: int = 0
    """How often the limit came back soon after its pause."""
    slowed_to: float = 1.0
    """Share of the load that is left after the last limit; grows again from `limited_until` on."""

    def admits(self, now: float) -> bool:
        """Whether a message may be sent now."""
        return self.state == "ok" or (self.state == "limited" and now >= self.limited_until)

    def wants_probe(self, now: float) -> bool:
        """Whether it is time to ask whether the system is there."""
        doubtful = self.state in ("ok", "limited") and self.failures_in_a_row > 0
        return (doubtful or self.state in ("held", "open")) and now >= self.next_probe_at

    def share(self, now: float) -> float:
        """Part of the allowed concurrency that may be used now, from 0 to 1."""
        allowed = min(1.0, self.slowed_to + SHARE_PER_S * max(now - self.limited_until, 0.0))
        if self.ramp_started_at is None:
            return allowed
        done = (now - self.ramp_started_at) / RAMP_S
        return min(allowed, RAMP_FROM + (1.0 - RAMP_FROM) * max(done, 0.0))

    def succeeded(self, now: float) -> "Gate":
        """After an answer that shows the system alive."""
        if self.state == "ok" and self.ramp_started_at is None and self.recent == _ALL_WELL:
            return self  # as nearly always
        recent = (*self.recent, True)[-WINDOW:]
        if self.state in ("held", "open"):
            return Gate(ramp_started_at=now)
        if self.state == "limited" and now >= self.limited_until:
            return replace(
                self, state="ok", error_class=None, detail=None, since_wall=None,
                failures_in_a_row=0, recent=recent,
            )  # fmt: skip
        ramp = self.ramp_started_at
        if ramp is not None and now - ramp >= RAMP_S:
            ramp = None
        return replace(self, failures_in_a_row=0, recent=recent, ramp_started_at=ramp)

    def failed(self, now: float, wall: float, error_class: str, detail: str) -> "Gate":
        """After a failure that speaks against the system: network, timeout, 5xx."""
        recent = (*self.recent, False)[-WINDOW:]
        in_a_row = self.failures_in_a_row + 1
        many = len(recent) == WINDOW and recent.count(False) >= WINDOW * FAILURE_SHARE
        if self.state in ("open", "held") or not (in_a_row >= FAILURES_IN_A_ROW or many):
            next_probe_at = self.next_probe_at
            if self.state in ("ok", "limited"):
                next_probe_at = now + DOUBT_PROBE_EVERY_S
            return replace(
                self, failures_in_a_row=in_a_row, recent=recent, next_probe_at=next_probe_at
            )
        return self.shut(now, wall, error_class, detail)

    def shut(self, now: float, wall: float, error_class: str, detail: str) -> "Gate":
        """Close at once: the system is down."""
        return Gate(
            "open", error_class, detail, self.since_wall or wall, next_probe_at=now + PROBE_EVERY_S
        )

    def probe_failed(self, now: float) -> "Gate":
        """Still down or still refused: ask again later. Before that, a failure like any other."""
        if self.state not in ("held", "open"):
            return self
        every = CREDENTIAL_PROBE_EVERY_S if self.state == "held" else PROBE_EVERY_S
        return replace(self, next_probe_at=now + every)

    def hold(self, now: float, wall: float, error_class: str, detail: str) -> "Gate":
        """The credential was refused or is missing, or the address may not be used: stop all traffic."""
        if self.state == "held" and self.error_class == error_class:
            return self
        return Gate("held", error_class, detail, wall, next_probe_at=now + CREDENTIAL_PROBE_EVERY_S)

    def mended(self, now: float) -> "Gate":
        """What it was held for is another now: messages go on, and the system is asked at once."""
        return Gate(ramp_started_at=now, failures_in_a_row=1, next_probe_at=now)

    def limit(self, now: float, wall: float, seconds: float, detail: str) -> "Gate":
        """The system asked for a pause. Never counts as a failure.

        A limit that comes back soon is asked for twice as long: a message takes several requests, and a
        pause that lets only one through would let none come to its end.
        """
        if self.state not in ("ok", "limited"):
            return self
        same_burst = self.state == "limited" and now < self.limited_until
        soon = self.limited_until > 0.0 and now - self.limited_until < LIMIT_MEMORY_S
        repeats = self.repeats if same_burst else self.repeats + 1 if soon else 0
        pause_s = min(seconds * 2.0 ** min(repeats, 10), max(seconds, LONGEST_PAUSE_S))
        return replace(
            self,
            state="limited",
            error_class="rateLimited",
            detail=detail,
            since_wall=self.since_wall or wall,
            limited_until=max(self.limited_until, now + pause_s),
            repeats=repeats,
            slowed_to=self.slowed_to
            if same_burst
            else max(LEAST_SHARE, LIMIT_SHARE * self.share(now)),
        )
