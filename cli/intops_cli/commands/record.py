"""`intops record show KEY`: one record on both sides, what was agreed last, and who has moved since."""

import argparse
from typing import Any

from intops_cli.exits import OK, REFUSED
from intops_cli.output import Table, render, say, show
from intops_cli.whereabouts import asked, told, where_arguments

HELP = "compare one record on both sides with what was agreed last"
EPILOG = """\
examples:
  intops record show '#42'                                   a ticket number
  intops record show iop1:oflqlsrjnru3ejgdpflketq5sx3g3in2   a correlation key
  intops record show 17 -o json                              a message id

AGREED is what both sides held after the last write, HERE what the newest message makes of the record, THERE
what the system shows now, for the fields that its class reads back.
exit codes: 0 found, 1 nothing of that name, 3 no worker answers, or not all of them"""

# A longer value would push the columns beside it off the screen.
_SHORT = 40


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument("verb", choices=("show",), help="what to do")
    parser.add_argument("key", help="ticket number, fingerprint, correlation key or message id")
    parser.add_argument("--flow", help="only in this Flow")
    where_arguments(parser, everywhere=True)


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    client = asked(given)
    found: list[dict[str, Any]] = client.ask("/record", text=given.key, flow=given.flow) or []
    if not found:
        say(f'No record is known by "{given.key}".')
        return told(client, REFUSED)
    if given.output in ("json", "yaml"):
        show(found, record_table(found[0], wide=True), given.output)
        return told(client, OK)
    print("\n\n".join(record_page(one, wide=given.output == "wide") for one in found))
    for one in found:
        if one["notRead"]:
            say(one["notRead"])
    return told(client, OK)


def record_page(found: dict[str, Any], *, wide: bool) -> str:
    """Which record it is, then its fields."""
    head = f"record {found['record']} of {found['connector']}: {found['url'] or ''}".rstrip(": ")
    moved = [f["field"] for f in found["fields"] if f["differs"] in ("here", "there", "both")]
    said = f"Differs: {', '.join(moved)}" if moved else "Nothing has moved since it was agreed."
    return f"{head}\nkey {found['key']}\n\n{render(record_table(found, wide=wide))}\n\n{said}"


def record_table(found: dict[str, Any], *, wide: bool) -> Table:
    """One row for each field; a narrow one cuts long values."""
    rows = []
    for field in found["fields"]:
        read = found["readAt"] is not None and field["differs"] != "unknown"
        values = [field["agreed"], field["here"], field["there"] if read else "(not read)"]
        texts = [_text(value, wide=wide) for value in values]
        differs = "" if field["differs"] == "unknown" else field["differs"]
        rows.append([field["field"], *texts, differs])
    return Table(["FIELD", "AGREED", "HERE", "THERE", "DIFFERS"], rows)


def _text(value: Any, *, wide: bool) -> str:
    text = "" if value is None else " ".join(str(value).split())
    return text if wide or len(text) <= _SHORT else text[: _SHORT - 1] + "…"
