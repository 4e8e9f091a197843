"""`intops messages`: messages of a local run or of a cluster, by flow, state, error class, key and age."""

import argparse
from typing import Any

from intops_api.common import duration_s
from intops_cli.exits import OK, USAGE
from intops_cli.output import Table, age, flow_of, say, show
from intops_cli.whereabouts import asked, told, where_arguments

HELP = "list messages and what became of them"
EPILOG = """\
examples:
  intops messages
  intops messages --state review -o wide
  intops messages --flow alerts-to-helpdesk --class validation --older-than 10m -o json

exit codes: 0 answered, 2 wrong use, 3 no worker answers, or not all of them"""

STATES = ("waiting", "held", "sending", "review", "done", "dropped", "discarded")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument("--flow", help="only of this Flow")
    parser.add_argument("--state", dest="message_state", choices=STATES, help="only in this state")
    parser.add_argument("--class", dest="error_class", help="only with this error class")
    parser.add_argument("--key", help="only with this correlation key")
    parser.add_argument("--older-than", help="only received longer ago, such as 10m")
    parser.add_argument("--limit", type=int, default=50, help="at most so many, newest first")
    where_arguments(parser, everywhere=True)


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    older_s = None
    if given.older_than is not None:
        try:
            older_s = duration_s(given.older_than)
        except ValueError as error:
            say(f"--older-than: {error}.")
            return USAGE
    client = asked(given)
    found: list[dict[str, Any]] = client.ask(
        "/messages",
        flow=given.flow,
        state=given.message_state,
        error_class=given.error_class,
        key=given.key,
        older_s=older_s,
        limit=given.limit,
    )
    show(found, message_table(found), given.output)
    return told(client, OK)


def message_table(found: list[dict[str, Any]]) -> Table:
    """One row a message."""
    headings = [
        "ID", "FLOW", "STATE", "REASON", "CLASS", "TITLE", "RECORD", "TRIES", "AGE", "KEY", "DETAIL",
    ]  # fmt: skip
    rows = [
        [
            str(m["id"]), flow_of(m), m["state"], m["reason"] or "", m.get("errorClass") or "",
            m.get("title") or "", m.get("record") or "", str(m["tries"]), age(m["receivedAt"]),
            m["key"], m.get("detail") or "",
        ]
        for m in found
    ]  # fmt: skip
    return Table(headings, rows, wide_from=9)
