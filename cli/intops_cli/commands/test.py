"""`intops test DIR`: run the examples of every Mapping and the cases of a folder, without a worker."""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

from intops_cli.cases import run_cases
from intops_cli.exits import OK, REFUSED
from intops_cli.output import Table, say, show
from intops_cli.project import Project, open_project

HELP = "run the examples of Mappings and the cases of a folder"
EPILOG = """\
examples:
  intops test examples/01-alerts-to-helpdesk
  intops test . -o json

Files in DIR/cases say which payloads go in and which requests must come out.
exit codes: 0 all hold, 1 one fails or admission would refuse something, 2 wrong use"""


@dataclass(frozen=True, slots=True)
class Result:
    """One example or case."""

    where: str
    name: str
    ok: bool
    message: str = ""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument("dir", type=Path, help="folder with manifests")


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    project = open_project(given.dir, namespace=given.namespace)
    for located in project.findings:
        say(located.sentence())
    results = [*_examples(project), *_cases(given.dir, project)]
    failed = [result for result in results if not result.ok]
    rows = [[r.where, "ok" if r.ok else "FAILED", r.name, r.message] for r in results]
    data = [{"where": r.where, "name": r.name, "ok": r.ok, "message": r.message} for r in results]
    show(data, Table(["WHERE", "RESULT", "NAME", "MESSAGE"], rows), given.output)
    say(f"{len(results) - len(failed)} of {len(results)} hold.")
    return REFUSED if failed or project.refused else OK


def _examples(project: Project) -> list[Result]:
    own = sorted(ref.name for ref in project.own if ref.kind == "Mapping")
    return [
        Result(f"Mapping/{name}", example.name, example.ok, example.message)
        for name in own
        if name in project.mappings()
        for example in project.examples(name)
    ]


def _cases(folder: Path, project: Project) -> list[Result]:
    started = time.monotonic()
    results = [
        Result(f"Flow/{case.flow}", case.name, case.message is None, case.message or "")
        for case in run_cases(folder, project)
    ]
    if results:
        say(f"{len(results)} cases ran in {time.monotonic() - started:.1f} s.")
    return results
