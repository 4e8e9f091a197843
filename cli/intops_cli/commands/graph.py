"""`intops graph DIR`: which system exchanges what with which, drawn."""

import argparse
from pathlib import Path
from typing import Final

from intops_cli.commands.complexity import lost_sentences
from intops_cli.exits import OK, REFUSED
from intops_cli.graph_picture import svg
from intops_cli.graph_text import dot, graph_wire, mermaid
from intops_cli.output import Table, say, show
from intops_cli.project import open_project
from intops_core.estate import estate

HELP = "draw which systems the Flows of a folder join, through which models and Mappings"
EPILOG = """\
examples:
  intops graph .                                        Mermaid, for a page on GitHub or a wiki
  intops graph . -o svg > estate.svg                    a picture that any browser shows
  intops graph . --flow alerts-to-helpdesk -o svg > flow.svg
  intops graph . -o dot | dot -Tpdf > estate.pdf        with Graphviz
  intops graph . -o json | jq '.flows[].links[]'

Each Flow is a box with its models. Arrows bear the name of the Mapping; dashed is on trial, dotted has no Mapping.
exit codes: 0 drawn, 1 there is no Flow to draw, 2 wrong use or unreadable file"""
FORMS: Final = ("mermaid", "dot", "svg", "json", "yaml")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument(
        "dir", type=Path, nargs="?", default=Path(), help="folder with manifests (default: here)"
    )
    parser.add_argument("--flow", help="only this Flow")


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    project = open_project(given.dir, namespace=given.namespace)
    wanted = [flow for flow in project.flows() if given.flow in (None, flow.ref.name)]
    flows = estate(wanted, project.resources)
    if not flows:
        what = f'no Flow "{given.flow}"' if given.flow else "no Flow"
        say(f"{given.dir} holds {what}, so there is nothing to draw.")
        return REFUSED
    draw = {"mermaid": mermaid, "dot": dot, "svg": svg}.get(given.output)
    if draw is not None:
        print(draw(flows))
    else:
        show(graph_wire(flows), Table([], []), given.output)
    say(lost_sentences(flows))
    return OK
