"""Structured log lines: one JSON object per outcome, with a constant event name and its data.

Every edge writes through `Journal`; `__main__` sets it up. Nothing here ever sees a payload,
a header or a secret: callers pass names, counts, reasons and durations only.
"""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final

LEVELS = {"debug": logging.DEBUG, "info": 20, "warning": 30, "error": 40}
# What steers a terminal and JSON lets through: C1 controls, directions of writing, other ends of a line.
_STEERS: Final = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def _written_out(match: re.Match[str]) -> str:
    return f"\\u{ord(match.group()):04x}"


class Journal:
    """Writes events of one part of the operator."""

    def __init__(self, part: str) -> None:
        self._logger = logging.getLogger(f"intops.{part}")

    def debug(self, event: str, **data: Any) -> None:
        """Something that only helps while looking for a fault."""
        self._logger.debug(event, extra={"data": data})

    def info(self, event: str, **data: Any) -> None:
        """An outcome."""
        self._logger.info(event, extra={"data": data})

    def warning(self, event: str, **data: Any) -> None:
        """Something failed and is tried again."""
        self._logger.warning(event, extra={"data": data})

    def error(self, event: str, **data: Any) -> None:
        """Something failed and a person should look."""
        self._logger.error(event, extra={"data": data})

    def failure(self, event: str, error: Exception, **data: Any) -> None:
        """A defect: what was raised and where, without the values that a traceback shows."""
        self._logger.error(event, extra={"data": {**data, **_told(error)}})


class JsonFormatter(logging.Formatter):
    """One line of JSON; also for libraries' own records, whose text becomes the event."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "part": record.name,
            "event": record.getMessage(),
        }
        line.update(getattr(record, "data", {}))
        if record.exc_info is not None and record.exc_info[1] is not None:
            line |= _told(record.exc_info[1])
        return _STEERS.sub(_written_out, json.dumps(line, ensure_ascii=False, default=str))


def _told(error: BaseException) -> dict[str, str]:
    """Kind and place of an error. Its text may quote what a user wrote, so it is cut short."""
    told = {"error": f"{type(error).__name__}: {error}"[:500]}
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is not None:
        told["where"] = f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}"
    return told


def set_up_journal(level: str) -> None:
    """Send everything to standard error, one line an event; libraries only from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("intops").setLevel(LEVELS.get(level, logging.INFO))
