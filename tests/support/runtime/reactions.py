"""The measured reaction to one class of errors, and the file that keeps all of them for the documentation.

`make reactions` writes the file; docs/reference/error-classes.md is generated from it.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import yaml

from intops_core.error_classes import ERROR_CLASSES

Scope = Literal["the message", "the connector", "the delivery", "the sender"]

HEAD = """\
# How a worker reacted to each class of errors, measured by `make reactions`; not edited by hand.
# docs/reference/error-classes.md is generated from it.
"""


@dataclass(frozen=True, slots=True)
class Reaction:
    """One row of the table.

    Attributes:
        cause: What the system or the sender did.
        attempts: Writes that were begun for the message.
        scope: What waits or is set aside because of it.
        ends: What becomes of the message.
        said_by: Where the status tells of it; empty where it is over before anybody needs to know.
        said_after_s: Seconds from the cause until a status made from the worker's report says it.
        words: What a person reads.
        taken_back_by: What ends the trouble; empty where nothing was said.
        taken_back_after_s: Seconds from that until the status says nothing of it any more.
    """

    cause: str
    attempts: int
    scope: Scope
    ends: str
    said_by: str = ""
    said_after_s: float | None = None
    words: str = ""
    taken_back_by: str = ""
    taken_back_after_s: float | None = None


def write_reactions(path: Path, measured: Mapping[str, Reaction]) -> None:
    """Keep the rows of all classes, in the order of the classes.

    Raises:
        ValueError: A class is missing; a table with holes is not kept.
    """
    wanted = [entry.name for entry in ERROR_CLASSES]
    missing = [name for name in wanted if name not in measured]
    if missing:
        raise ValueError(f"not measured: {', '.join(missing)}")
    document = {
        "measured": {
            "on": datetime.now(UTC).date().isoformat(),
            "machine": f"{platform.system()}, {os.cpu_count()} processors, shared with others",
            "python": platform.python_version(),
        },
        "reactions": {name: asdict(measured[name]) for name in wanted},
    }
    text = yaml.safe_dump(document, sort_keys=False, width=100, allow_unicode=True)
    path.write_text(HEAD + text, encoding="utf-8")
