"""`intops complexity DIR`: how many translations there are, and how many there would be without models."""

import argparse
from pathlib import Path
from typing import Any, Final

from intops_cli.exits import OK, REFUSED, USAGE
from intops_cli.output import Table, render, say, show
from intops_cli.project import open_project
from intops_core.catalog import shipped
from intops_core.complexity import Complexity, complexity, hub, mesh
from intops_core.estate import FlowLinks, estate

HELP = "count translations through models against those from system to system"
EPILOG = """\
examples:
  intops complexity examples/01-alerts-to-helpdesk
  intops complexity . -o json | jq .saving
  intops complexity --systems 50                what N systems would cost, without any manifest

N systems have N(N−1)/2 pairs, which grows quadratically; with a model in the middle each is joined once. At three
systems both are three; below that the model costs more, and the saving is negative.
Systems are Connectors that a Flow binds with a Mapping. Shadows and roles that are only told do not count.
exit codes: 0 counted, 1 there is no Flow to count, 2 wrong use or unreadable file"""

# What a person can imagine; a larger number says nothing more.
_MOST: Final = 1_000_000


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument(
        "dir", type=Path, nargs="?", default=Path(), help="folder with manifests (default: here)"
    )
    parser.add_argument(
        "--systems", type=int, metavar="N", help="say only what N systems cost in both ways"
    )


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    if given.systems is not None:
        return _forecast(given)
    project = open_project(given.dir, namespace=given.namespace)
    flows = estate(project.flows(), project.resources)
    if not flows:
        say(f"{given.dir} holds no Flow, so nothing is joined; name the folder that holds Flows.")
        return REFUSED
    patterns = frozenset(raw["metadata"]["name"] for raw in shipped() if raw["kind"] == "Pattern")
    found = complexity(flows, patterns)
    if given.output in ("json", "yaml"):
        show(complexity_wire(found), Table([], []), given.output)
    else:
        print(complexity_page(found))
    say(lost_sentences(flows))
    return OK


def _forecast(given: argparse.Namespace) -> int:
    count: int = given.systems
    if not 1 <= count <= _MOST:
        say(f"--systems {count}: write a number of systems from 1 to {_MOST}.")
        return USAGE
    saving = 1 - hub(count) / mesh(count) if mesh(count) else None
    data = {
        "systems": count,
        "possiblePairs": mesh(count),
        "connections": hub(count),
        "saving": saving,
    }
    row = [str(count), str(mesh(count)), str(hub(count)), _percent(saving)]
    show(data, Table(["SYSTEMS", "SYSTEM TO SYSTEM", "THROUGH A MODEL", "SAVED"], [row]), given.output)  # fmt: skip
    return OK


def lost_sentences(flows: tuple[FlowLinks, ...]) -> list[str]:
    """Fields whose names lead nowhere, so that they join nothing."""
    return [
        f'Flow "{one.flow.name}" names what does not exist and so joins nothing, in {", ".join(one.lost)}. '
        "`intops validate` says what to write."
        for one in flows
        if one.lost
    ]


def complexity_page(found: Complexity) -> str:
    """Sentences first, then one line a model."""
    return "\n\n".join((" ".join(_sentences(found)), render(model_table(found))))


def model_table(found: Complexity) -> Table:
    """What each model spares."""
    rows = [
        [
            share.model, str(share.systems), str(share.mappings), str(share.uses),
            str(share.direct),
        ]
        for share in found.models
    ]  # fmt: skip
    headings = ["MODEL", "SYSTEMS", "MAPPINGS", "USES", "SYSTEM TO SYSTEM"]
    return Table(headings, rows)


def complexity_wire(found: Complexity) -> dict[str, Any]:
    """The counts as JSON."""
    return {
        "flows": found.flows,
        "flowsOnStandardPattern": found.standard,
        "systems": found.systems,
        "possiblePairs": mesh(found.systems),
        "pairs": found.pairs,
        "systemToSystem": found.direct,
        "connections": found.connections,
        "mappings": found.mappings,
        "uses": found.uses,
        "mappingsBetweenModels": found.between,
        "saving": found.saving,
        "reuse": found.reuse,
        "models": [
            {
                "model": share.model,
                "systems": share.systems,
                "mappings": share.mappings,
                "uses": share.uses,
                "systemToSystem": share.direct,
            }
            for share in found.models
        ],
    }


def _sentences(found: Complexity) -> list[str]:
    first = (
        f"You connect {_count(found.systems, 'system')} in {_count(found.pairs, 'pair')} of "
        f"{mesh(found.systems)} that are possible, with {_count(found.flows, 'Flow')} ({found.standard} on a "
        "shipped Pattern)."
    )
    if not found.direct or found.reuse is None or found.saving is None:
        return [first, "No Flow moves data from one system to another by Mappings yet."]
    said = [first]
    said.append(
        f"System to system this would be {_count(found.direct, 'translation')}; through models it is "
        f"{_count(found.connections, 'connection')}, made by {_count(found.mappings, 'Mapping')}, each used "
        f"{found.reuse:.1f} times on average."
    )
    if found.saving > 0:
        said.append(f"That saves {_percent(found.saving)}.")
    elif found.saving == 0:
        said.append("Both cost the same; the next system makes the difference.")
    else:
        more = found.connections - found.direct
        said.append(f"That is {more} more: models pay only with further systems.")
    said.append(
        f"One more source needs 1 new Mapping instead of {found.targets}, one more target 1 instead of "
        f"{found.sources}."
    )
    return said


def _count(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"
