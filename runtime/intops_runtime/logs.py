"""Log lines as JSON objects, one an outcome. Never a payload, a header or a secret.

Set up by the entry point; `extra={"data": {...}}` carries the facts of a line.
"""

import asyncio
import errno
import json
import logging
import re
import sys
import time
from typing import Any, Final, TextIO

log = logging.getLogger("intops.worker")

SAY_AGAIN_S: Final = 60.0
# What steers a terminal and JSON lets through: C1 controls, directions of writing, other ends of a line.
_STEERS: Final = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def _written_out(match: re.Match[str]) -> str:
    return f"\\u{ord(match.group()):04x}"


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, event, facts; the place of a crash without its values."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line.update(getattr(record, "data", {}))
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["at"] = _places(record.exc_info[2])
        return _STEERS.sub(_written_out, json.dumps(line, ensure_ascii=False, default=str))


def _places(traceback: object) -> list[str]:
    """Files and lines of a crash. Messages of exceptions may quote a payload, so they are left out."""
    places = []
    while traceback is not None:
        frame = traceback.tb_frame  # type: ignore[attr-defined]
        name = frame.f_code.co_filename.rsplit("/", 1)[-1]
        places.append(f"{name}:{traceback.tb_lineno} {frame.f_code.co_name}")  # type: ignore[attr-defined]
        traceback = traceback.tb_next  # type: ignore[attr-defined]
    return places[-8:]


def quiet_about_files(loop: asyncio.AbstractEventLoop) -> None:
    """Say once in a while that no connection can be taken; the event loop would say it a thousand times.

    It tries again a second later by itself.
    """
    said_at = -SAY_AGAIN_S

    def trouble(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal said_at
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in (errno.EMFILE, errno.ENFILE):
            loop.default_exception_handler(context)
        elif loop.time() >= said_at + SAY_AGAIN_S:
            said_at = loop.time()
            log.warning(
                "no more files can be opened, so senders wait; raise the limit of open files or see who "
                "keeps connections open",
                extra={"data": {"why": error.strerror}},
            )

    loop.set_exception_handler(trouble)


def set_up(level: int = logging.INFO, *, stream: TextIO | None = None) -> None:
    """Write every line of this process to `stream`, standard error by default."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("aiohttp.access").setLevel(logging.ERROR)
