"""`intops validate DIR`: the findings that admission would give, all at once, each with file and line."""

import argparse
from pathlib import Path

from intops_cli.exits import OK, REFUSED
from intops_cli.output import Table, say, show
from intops_cli.project import Located, open_project

HELP = "check manifests the way admission does"
EPILOG = """\
examples:
  intops validate examples/01-alerts-to-helpdesk
  intops validate . -o json | jq -r '.findings[].message'

exit codes: 0 nothing is refused, 1 something is refused, 2 wrong use or unreadable file"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument("dir", type=Path, help="folder with manifests, or one YAML file")


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    project = open_project(given.dir, namespace=given.namespace)
    if given.output == "table":
        for located in project.findings:
            print(located.sentence())
        say(_summary(len(project.own), project.findings))
    else:
        data = {
            "resources": len(project.own),
            "findings": [_wire(located) for located in project.findings],
        }
        rows = [
            [
                f"{f.file}:{f.line}",
                f.finding.severity,
                f.finding.rule,
                f.finding.path,
                f.finding.message,
            ]
            for f in project.findings
        ]
        show(data, Table(["PLACE", "SEVERITY", "RULE", "FIELD", "MESSAGE"], rows), given.output)
    return REFUSED if project.refused else OK


def _summary(resources: int, findings: list[Located]) -> str:
    denied = sum(1 for f in findings if f.finding.severity == "deny")
    warned = sum(1 for f in findings if f.finding.severity == "warn")
    if denied:
        return f"{resources} resources, {denied} findings refuse them, {warned} warnings."
    return f"{resources} resources are fine, {warned} warnings."


def _wire(located: Located) -> dict[str, object]:
    finding = located.finding
    return {
        "file": str(located.file),
        "line": located.line,
        "object": f"{finding.ref.kind}/{finding.ref.name}",
        "severity": finding.severity,
        "rule": finding.rule,
        "path": finding.path,
        "message": finding.message,
    }
