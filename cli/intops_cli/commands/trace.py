"""`intops trace TEXT`: from a ticket number, an alert fingerprint, a key or a message id to everything about it."""

import argparse
from typing import Any

from intops_cli.attempt_lines import attempt_lines
from intops_cli.commands.messages import message_table
from intops_cli.exits import OK, REFUSED
from intops_cli.output import render, say, show
from intops_cli.whereabouts import asked, told, where_arguments

HELP = "follow one thing from ticket to payload and back"
EPILOG = """\
examples:
  intops trace '#42'                 a ticket number
  intops trace 8b3897563cc2333a      a fingerprint of Alertmanager
  intops trace 17 -o json            a message id, with the original payload

exit codes: 0 found, 1 nothing of that name, 3 no worker answers, or not all of them"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument("text", help="ticket number, fingerprint, correlation key or message id")
    parser.add_argument("--flow", help="only in this Flow")
    where_arguments(parser, everywhere=True)


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    client = asked(given)
    found: list[dict[str, Any]] = client.ask("/trace", text=given.text, flow=given.flow) or []
    if not found:
        say(f'No message and no record is known by "{given.text}".')
        return told(client, REFUSED)
    if given.output in ("json", "yaml"):
        show(found, message_table([]), given.output)
        return told(client, OK)
    for trace in found:
        print(render(message_table(trace["messages"]).cut(wide=given.output == "wide")))
        for link in trace["links"]:
            print(
                f"\nrecord {link['displayId'] or link['nativeId']} of {link['connector']}: {link['url'] or ''}"
            )
        for message in trace["messages"]:
            print(f"\nmessage {message['id']}, received {message['receivedAt']}:")
            for step in message["transitions"]:
                print(
                    f"  {step['at']}  {step['from'] or '-'} → {step['to']}  {step['reason'] or ''}"
                )
            for line in attempt_lines(message["attempts"]):
                print(f"  {line}")
    return told(client, OK)
