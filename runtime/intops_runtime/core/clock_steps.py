"""Notices that the wall clock was set, and how old messages are nevertheless.

Pure; the embedded store asks it at every lease. Times are epoch seconds, `steady` is monotonic seconds.
"""

from dataclasses import dataclass, field
from typing import Final

# Less is the work of a time service that slews, or of a process that was not run for a moment.
LEAST_STEP_S: Final = 2.0


@dataclass(slots=True)
class ClockSteps:
    """The wall clock beside the steady one, since a moment at which both were read."""

    wall: float
    steady: float
    _forward: list[tuple[float, float]] = field(default_factory=list)
    """Steps forward that still hold: the last time before, and its seconds."""

    def look(self, wall: float, steady: float) -> float:
        """By how many seconds the wall clock was set since the last look; 0.0 if it was not."""
        before, passed = self.wall, steady - self.steady
        step = wall - before - passed
        self.wall, self.steady = wall, steady
        if abs(step) < LEAST_STEP_S:
            return 0.0
        if step > 0:
            self._forward.append((wall - step, step))
        else:
            self._take_back(-step)
        return step

    def received_at(self, stamp: float) -> float:
        """When something stamped with the clock of then was received, by the clock of now."""
        for until, step in self._forward:
            if stamp <= until:
                stamp += step
        return stamp

    def _take_back(self, seconds: float) -> None:
        while self._forward and seconds > 0:
            until, step = self._forward.pop()
            if step > seconds:
                self._forward.append((until, step - seconds))
            seconds -= step
