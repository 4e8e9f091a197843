"""The two reference pages about what goes wrong: reactions.md and faults.md.

Made from the documented lists of conditions and from what `make reactions` has measured; `reference` writes
them.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from intops_api.conditions import (
    FLOW_CONDITIONS,
    READY_REASONS_FALSE,
    STANDING_CONDITIONS,
    ConditionType,
    Reason,
)
from intops_api.reasons import SAYS
from intops_cli.pages import page, table
from intops_core.error_classes import ERROR_CLASSES
from intops_operator.core.delivering import WORDS

Reactions = Mapping[str, Mapping[str, Any]]
"""What was measured, by class of errors."""

HEADS: Final = (
    "Fault", "Condition", "Reason", "Ready", "Also told by", "Measured with", "Told after", "Taken back after",
)  # fmt: skip


def _told_rows(measured: Reactions) -> Iterator[tuple[str, ...]]:
    """Faults that a condition tells, in the order in which Ready takes their reasons."""
    for type_, doc in FLOW_CONDITIONS.items():
        for reason in doc.when_false if type_ not in WORDS else ():
            counts = doc.counts_for_ready and reason in READY_REASONS_FALSE
            yield _row(type_, reason, "False" if counts else "as it is", measured)
    own = {reason for doc in FLOW_CONDITIONS.values() for reason in doc.when_false}
    for reason in READY_REASONS_FALSE:
        if reason not in own:
            yield _row(ConditionType.READY, reason, "False", measured)


def _row(type_: ConditionType, reason: Reason, ready: str, measured: Reactions) -> tuple[str, ...]:
    said_by = f"{type_}=False ({reason})"
    shown = [(name, row) for name, row in measured.items() if row["said_by"] == said_by]
    also = [kind for kind, types in STANDING_CONDITIONS.items() if reason in _false(types, type_)]
    return (
        SAYS[reason], f"`{type_}`", f"`{reason}`", ready, ", ".join(also),
        "; ".join(f"`{name}`: {row['cause']}" for name, row in shown),
        "; ".join(_seconds(row["said_after_s"]) for _, row in shown),
        "; ".join(_seconds(row["taken_back_after_s"]) for _, row in shown),
    )  # fmt: skip


def _false(types: Mapping[ConditionType, Any], type_: ConditionType) -> tuple[Reason, ...]:
    doc = types.get(type_)
    return doc.when_false if doc is not None else ()


def _untold_rows(measured: Reactions) -> Iterator[tuple[str, ...]]:
    """Classes of errors that no condition tells while nothing is overdue: name, cause, where, how soon."""
    for entry in ERROR_CLASSES:
        row = measured[entry.name]
        if "=False (" not in row["said_by"]:
            yield (
                f"`{entry.name}`", row["cause"], row["ends"], row["said_by"] or "nothing but the counts",
                _seconds(row["said_after_s"]), _seconds(row["taken_back_after_s"]),
            )  # fmt: skip


def _unjudged() -> str:
    """Condition types that this version does not judge."""
    return ", ".join(f"`{type_}`" for type_ in FLOW_CONDITIONS if type_ in WORDS)


def _seconds(found: float | None) -> str:
    """`2.9 s`, or empty."""
    return "" if found is None else f"{found:.1f} s"


def reactions_page(measured: Path) -> str:
    """How a worker reacted to each class of errors, as `make reactions` has measured it."""
    document = yaml.safe_load(measured.read_text(encoding="utf-8"))
    found, run = document["reactions"], document["measured"]
    rows = [(f"`{entry.name}`", *_reaction(found[entry.name])) for entry in ERROR_CLASSES]
    words = [
        (f"`{name}`", row["words"] or "nothing: it is over before anybody needs to know")
        for name, row in found.items()
    ]
    return page(
        "Reactions to errors, measured",
        f"Measured on {run['on']} ({run['machine']}; Python {run['python']}) by `make reactions`: a real "
        "worker with the embedded store, and a desk that answers as each class of errors demands "
        "(`tests/fault/test_reactions.py`, which also checks every row but the times). What the classes "
        "mean stands in [error-classes.md](error-classes.md).",
        "`Attempts` are writes that were begun for the message. The times are those until the worker's "
        "report, judged as the operator judges it, says so; the operator asks for it every 5 s "
        "(`--report-interval`). A record that waits for a person waits alone: in each of these runs a "
        "message of another record was delivered meanwhile, or waited where the connector is held.",
        table(
            ("Class", "What happened", "Attempts", "What waits", "The message is", "The status says it by",
             "After", "Ended by", "Taken back after"),
            rows,
        ),
        "`bufferPressure` is told from 70 % of the volume's room on (`StoreFilling`, with `Programmed` still True); "
        "senders are answered more and more slowly from there on, and refused at the reserve.",
        "## What a person reads",
        "Conditions stand in the status of the Flow, the rest in `intops review list` and `intops trace`. "
        "Moments are written TIME here.",
        table(("Class", "Words"), words),
    )  # fmt: skip


def faults_page(measured: Path) -> str:
    """Which fault shows where in a status, and how soon it was told and taken back."""
    document = yaml.safe_load(measured.read_text(encoding="utf-8"))
    found, run = document["reactions"], document["measured"]
    without = _unjudged()
    return page(
        "Faults and where they show",
        "Each fault that the status of a Flow tells, in the order in which `Ready` takes their reasons; what the "
        "conditions say stands in [conditions.md](conditions.md). `Also told by` names the kinds whose own status "
        "says it too. `tests/unit/intops_operator/test_fault_table.py` has a case for each row.",
        f"Where seconds are given they were measured on {run['on']} by `make reactions` with a real worker "
        "([reactions.md](reactions.md)): until the worker's report, judged as the operator judges it, says so. "
        "Add up to 5 s, because the operator asks every 5 s (`--report-interval`), and under a flood of changes "
        "the wait for one of four writes a second.",
        table(HEADS, _told_rows(found)),
        f"This version does not judge {without}; they are Unknown." if without else "",
        "## Errors that no condition tells",
        "They concern one record, or are over before anybody needs to know. What waits for a person longer than "
        "`spec.review.dueWithin` is told by `ReviewClear`.",
        table(
            (
                "Class",
                "What happened",
                "The message is",
                "Shown in",
                "Told after",
                "Taken back after",
            ),
            _untold_rows(found),
        ),
    )


def _reaction(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["cause"], str(row["attempts"]), row["scope"], row["ends"],
        row["said_by"], _seconds(row["said_after_s"]),
        row["taken_back_by"], _seconds(row["taken_back_after_s"]),
    )  # fmt: skip
