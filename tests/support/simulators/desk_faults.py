"""Decides which fault, if any, meets a request of the helpdesk simulator.

Used by the server for every request; set by tests through `/_sim/faults`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import Enum
from typing import Any

SCOPES = ("creates", "writes", "reads", "all")


class Fault(Enum):
    """What happens to one request; the value is what the ledger says."""

    FAIL = "failed"
    """An error status, nothing done."""
    RESET_BEFORE = "reset_before"
    """The connection is reset, nothing done."""
    HANG_BEFORE = "hung_before"
    """No answer ever, nothing done."""
    RESET_AFTER = "reset_after"
    """The work is done, then the connection is reset."""
    HANG_AFTER = "hung_after"
    """The work is done, then no answer ever."""


@dataclass(frozen=True, slots=True)
class Faults:
    """The settings of `/_sim/faults`; every default means "no fault".

    `…_next` counts requests that are still to meet the fault; -1 is every request until changed.
    `…_probability` is drawn for each request. Both look only at requests within `scope`.
    """

    search_lag_s: float = 0.0
    """Seconds until a created ticket shows in search; reading it by id works at once."""
    latency_s: float = 0.0
    """Seconds added to every answer."""
    fail_next: int = 0
    fail_probability: float = 0.0
    fail_status: int = 503
    fail_retry_after_s: int | None = None
    """Value of `Retry-After` on failed requests; None leaves the header out."""
    fail_message: str = "Service unavailable, try again later"
    """What failed requests are told."""
    reset_before_next: int = 0
    reset_before_probability: float = 0.0
    hang_before_next: int = 0
    hang_before_probability: float = 0.0
    reset_after_next: int = 0
    reset_after_probability: float = 0.0
    hang_after_next: int = 0
    hang_after_probability: float = 0.0
    scope: str = "writes"
    """Which requests meet the faults above: `creates`, `writes`, `reads` or `all`."""
    refuse_token: bool = False
    """Answer 401 whatever the credentials."""
    maintenance: bool = False
    """Answer everything with 200 and an HTML page."""
    seed: int = 0
    """Of the draws; setting it starts them anew."""


class FaultSource:
    """Holds the current settings and draws faults from them."""

    def __init__(self) -> None:
        self.settings = Faults()
        self._random = random.Random(0)

    def change(self, wanted: Mapping[str, Any]) -> None:
        """Change some settings; the others stay.

        Raises:
            ValueError: A name or value is wrong; the text says which and what to write.
        """
        known = {field.name: field for field in fields(Faults)}
        for name, value in wanted.items():
            if name not in known:
                names = ", ".join(sorted(known))
                raise ValueError(f'There is no fault setting "{name}". Known: {names}.')
            default = getattr(Faults(), name)
            if not _is_like(default, value):
                kind = "int" if default is None else type(default).__name__
                raise ValueError(f'The fault setting "{name}" takes a {kind}, not {value!r}.')
        if wanted.get("scope", "all") not in SCOPES:
            raise ValueError(f'The fault setting "scope" is one of {", ".join(SCOPES)}.')
        self.settings = replace(self.settings, **wanted)
        if "seed" in wanted:
            self._random = random.Random(wanted["seed"])

    def clear(self) -> None:
        """Return to no faults at all."""
        self.settings = Faults()

    def as_dict(self) -> dict[str, Any]:
        """Return the current settings, with what is left of each `…_next`."""
        return asdict(self.settings)

    def draw(self, operation: str) -> Fault | None:
        """Return the fault that meets a request and use it up.

        Args:
            operation: `create`, `update`, `comment`, `correspond` or `read`.
        """
        if not self._is_in_scope(operation):
            return None
        for fault, name in (
            (Fault.FAIL, "fail"),
            (Fault.RESET_BEFORE, "reset_before"),
            (Fault.HANG_BEFORE, "hang_before"),
            (Fault.RESET_AFTER, "reset_after"),
            (Fault.HANG_AFTER, "hang_after"),
        ):
            left: int = getattr(self.settings, f"{name}_next")
            if left:
                if left > 0:
                    spent: dict[str, Any] = {f"{name}_next": left - 1}
                    self.settings = replace(self.settings, **spent)
                return fault
            probability: float = getattr(self.settings, f"{name}_probability")
            if probability and self._random.random() < probability:
                return fault
        return None

    def _is_in_scope(self, operation: str) -> bool:
        if self.settings.scope == "all":
            return True
        if self.settings.scope == "creates":
            return operation == "create"
        if self.settings.scope == "reads":
            return operation == "read"
        return operation != "read"


def _is_like(default: object, value: object) -> bool:
    if default is None:
        return value is None or type(value) is int
    if isinstance(default, float):
        return type(value) in (int, float)
    return type(value) is type(default)
