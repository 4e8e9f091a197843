"""How review items and groups look: tables, and one page for one message.

Used by `review`.
"""

from datetime import UTC, datetime
from typing import Any

import yaml

from intops_cli.output import Table, age, flow_of

# What fits beside the other columns on a line of a terminal.
_SHORT = 60


def group_table(groups: list[dict[str, Any]], now: datetime | None = None) -> Table:
    """One row for each group of equal errors."""
    headings = [
        "ID", "COUNT", "FLOW", "CLASS", "FIELD", "OWNER", "DUE", "WHY", "FINGERPRINT", "AGE", "DO",
    ]  # fmt: skip
    rows = [
        [
            str(g["ids"][0]), str(g["count"]), flow_of(g), g["errorClass"] or "", g["path"] or "",
            g["owner"], due(g["dueAt"], now), _short(g["detail"] or g["reason"]), g["fingerprint"],
            age(g["receivedAt"], now), g["suggestion"],
        ]
        for g in groups
    ]  # fmt: skip
    return Table(headings, rows, wide_from=8)


def item_table(items: list[dict[str, Any]], now: datetime | None = None) -> Table:
    """One row for each message."""
    headings = ["ID", "FLOW", "CLASS", "FIELD", "OWNER", "DUE", "WHY", "FINGERPRINT", "AGE", "KEY"]
    rows = [
        [
            str(m["id"]), flow_of(m), m["errorClass"] or "", m["path"] or "", m["owner"],
            due(m["dueAt"], now), _short(m["detail"] or m["reason"]), m["fingerprint"],
            age(m["receivedAt"], now), m["key"],
        ]
        for m in items
    ]  # fmt: skip
    return Table(headings, rows, wide_from=7)


def item_page(item: dict[str, Any], now: datetime | None = None) -> str:
    """Everything that a decision about one message needs."""
    lines = [
        f"Message:   {item['id']} of {flow_of(item)}, from {item['source']}, received {item['receivedAt']}",
        f"Decides:   {item['owner']}, by {item['dueAt']} ({due(item['dueAt'], now)})",
        f"Class:     {item['errorClass'] or '-'}",
        f"Field:     {item['path'] or '-'}",
        f"Why:       {item['detail'] or item['reason']}",
        f"Do:        {item['suggestion']}",
        f"Equal:     fingerprint {item['fingerprint']}",
    ]
    if item["newer"]:
        count = item["newer"]
        newer = "1 newer message" if count == 1 else f"{count} newer messages"
        lines.append(f"Mind:      {newer} of the same record delivered already")
    for title, name in (
        ("As it came", "original"),
        ("In the words of the model", "record"),
        ("As the target would get it", "native"),
    ):
        if item[name] is not None:
            lines += ["", f"{title}:", _indented(item[name])]
    return "\n".join(lines)


def due(stamp: str | None, now: datetime | None = None) -> str:
    """How long until something is due, or since when it is overdue.

    >>> due("2026-11-25T10:00:00Z", datetime(2026, 11, 25, 12, 30, tzinfo=UTC))
    'overdue 150m'
    """
    if not stamp:
        return ""
    moment = now or datetime.now(UTC)
    left_s = (datetime.fromisoformat(stamp) - moment).total_seconds()
    if left_s < 0:
        return f"overdue {age(stamp, moment)}"
    ahead = datetime.fromtimestamp(moment.timestamp() + left_s, UTC)
    return f"in {age(moment.isoformat(), ahead)}"


def _indented(value: Any) -> str:
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
    return "\n".join(f"  {line}" for line in text.rstrip().splitlines())


def _short(text: str) -> str:
    return text if len(text) <= _SHORT else text[: _SHORT - 1] + "…"
