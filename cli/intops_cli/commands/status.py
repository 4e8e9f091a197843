"""`intops status`: the estate on one screen: is every Flow well, and what needs a person?"""

import argparse
import sys
import time
from datetime import UTC, datetime
from typing import Final

from intops_cli.estate import Estate
from intops_cli.estate_screen import screen
from intops_cli.estate_sources import estate_reader
from intops_cli.exits import OK, REFUSED
from intops_cli.output import Table, say, show, uses_colour
from intops_cli.whereabouts import where_arguments

HELP = "show on one screen whether every Flow is well, and what needs a person"
EPILOG = """\
examples:
  intops status                          a local run, or the namespace of the kubeconfig's context
  intops status -A --context production
  intops status -o wide                  everything, as wide as it is
  intops status -A -o json | jq -r '.needs[] | select(.urgent) | .sentence'
  intops status --watch                  until Ctrl-C

A cluster is read by lists of Flows, Connectors and FlowActions; no worker is asked, so numbers are as old as the
status, at most a minute while messages flow. Suspended Flows need nobody.
exit codes: 0 all is well, 1 something needs a person, 3 no worker runs here, or the cluster cannot be read"""

REFRESH_S: Final = 2.0
_CLEAR: Final = "\x1b[H\x1b[2J"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument(
        "-w", "--watch", action="store_true", help="show it again every 2 s, until Ctrl-C"
    )
    where_arguments(parser, everywhere=True)


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    read = estate_reader(given)
    while True:
        now = datetime.now(UTC)
        found = read(now)
        _tell(given, found, now)
        if not given.watch:
            return OK if found.is_well else REFUSED
        time.sleep(REFRESH_S)


def _tell(given: argparse.Namespace, found: Estate, now: datetime) -> None:
    if given.output in ("json", "yaml"):
        show(found.as_wire(), Table([], []), given.output)
        return
    if given.watch and sys.stdout.isatty():
        # Printed text steers no terminal (see `terminal`), but this is ours.
        print(_CLEAR, end="", file=sys.__stdout__)
    text = screen(
        found,
        now,
        wide=given.output == "wide",
        namespaces=given.everywhere,
        colour=uses_colour(sys.stdout),
    )
    print(text, flush=True)
    if not found.flows:
        say("There is no Flow here; name another namespace with -n, or all with -A.")
