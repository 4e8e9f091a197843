"""`intops explain`: a Mapping or message field by field; a rule, an error class, an alert as the reference says."""

import argparse
from pathlib import Path
from typing import Any

from intops_cli.attempt_lines import attempt_lines
from intops_cli.exits import OK, REFUSED
from intops_cli.output import Table, say, show
from intops_cli.project import open_project
from intops_cli.whereabouts import asked, where_arguments
from intops_core.error_classes import ERROR_CLASSES
from intops_core.monitoring import ALERT_GROUPS
from intops_core.rules import BY_ID

HELP = "explain a Mapping, a message, a rule, an error class or an alert"
EPILOG = """\
examples:
  intops explain mapping alertmanager-to-event --dir examples/01-alerts-to-helpdesk
  intops explain message 17
  intops explain rule COM-06
  intops explain error rateLimited
  intops explain alert IntopsFlowNotReady

exit codes: 0 found, 1 nothing of that name, 3 no worker answers"""

WHAT = ("mapping", "message", "rule", "error", "alert")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument("what", choices=WHAT, help="what is explained")
    parser.add_argument(
        "name", help="name of the Mapping, rule, class or alert, or id of the message"
    )
    parser.add_argument(
        "--dir", type=Path, default=Path(), help="folder with the Mapping (default: here)"
    )
    parser.add_argument("--flow", help="Flow of the message, where several run")
    where_arguments(parser)


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    explain = {
        "mapping": _mapping, "message": _message, "rule": _rule, "error": _error, "alert": _alert,
    }  # fmt: skip
    return explain[given.what](given)


def _mapping(given: argparse.Namespace) -> int:
    project = open_project(given.dir, namespace=given.namespace)
    known = project.mappings()
    if given.name not in known:
        names = ", ".join(sorted(known))
        say(
            f'There is no Mapping "{given.name}" in {given.dir} or in the catalogue. There are: {names}.'
        )
        return REFUSED
    body = known[given.name].body
    rows, data = [], []
    for rule in body.fields:
        source = rule.cel or " else ".join(rule.from_) or "default"
        table = ", ".join(f"{old} → {new}" for old, new in rule.values.items())
        data.append({"to": rule.to, "from": source, "values": rule.values, "meaning": rule.meaning})
        rows.append(
            [rule.to, " ".join(source.split()), rule.on_unmapped or "", rule.meaning, table]
        )
    show(
        data,
        Table(["TO", "FROM", "UNMAPPED", "MEANING", "VALUES"], rows, wide_from=4),
        given.output,
    )
    return OK


def _message(given: argparse.Namespace) -> int:
    client = asked(given)
    found: dict[str, Any] | None = client.ask(f"/messages/{given.name}/explain", flow=given.flow)
    if found is None:
        say(f"There is no message {given.name}; `intops messages` lists them.")
        return REFUSED
    wide = given.output == "wide"
    rows = [
        [
            s["mapping"],
            s["to"],
            _short(s["from"], wide=wide),
            s["rule"],
            _short(s["before"], wide=wide),
            _short(s["after"], wide=wide),
            s["meaning"],
        ]
        for s in found["steps"]
    ]
    table = Table(
        ["MAPPING", "TO", "FROM", "RULE", "BEFORE", "AFTER", "MEANING"], rows, wide_from=6
    )
    show(found, table, given.output)
    if given.output in ("table", "wide"):
        say(found["outcome"])
        for line in attempt_lines(found.get("attempts", ())):
            say(line)
    return OK


def _rule(given: argparse.Namespace) -> int:
    rule = BY_ID.get(given.name)
    if rule is None:
        say(f'There is no rule "{given.name}". There are: {", ".join(BY_ID)}.')
        return REFUSED
    data = {"id": rule.id, "severity": rule.severity, "title": rule.title}
    show(
        data,
        Table(["RULE", "SEVERITY", "SAYS"], [[rule.id, rule.severity, rule.title]]),
        given.output,
    )
    return OK


def _error(given: argparse.Namespace) -> int:
    found = next((known for known in ERROR_CLASSES if known.name == given.name), None)
    if found is None:
        names = ", ".join(known.name for known in ERROR_CLASSES)
        say(f'There is no error class "{given.name}". There are: {names}.')
        return REFUSED
    data = {
        "name": found.name, "detection": found.detection, "strategy": found.strategy,
        "what": found.what,
    }  # fmt: skip
    if given.output in ("table", "wide"):
        print(f"{found.name}: {found.strategy}")
        print(f"\nDetected: {found.detection}\n\nWhat happens: {found.what}")
    else:
        show(data, Table([], []), given.output)
    return OK


def _alert(given: argparse.Namespace) -> int:
    alerts = {alert.name: alert for group in ALERT_GROUPS for alert in group.alerts}
    found = alerts.get(given.name)
    if found is None:
        say(f'There is no alert "{given.name}". There are: {", ".join(alerts)}.')
        return REFUSED
    data = {
        "name": found.name, "severity": found.severity, "means": found.means,
        "noticed": found.noticed, "look": list(found.look), "act": list(found.act),
        "expression": found.expression, "for": found.holds_for,
    }  # fmt: skip
    if given.output in ("table", "wide"):
        steps = "\n".join(f"{number}. {step}" for number, step in enumerate(found.act, start=1))
        commands = "\n".join(f"  {command}" for command in found.look)
        print(f"{found.name}: {found.severity}\n")
        print(f"What it means: {found.means}\n\nWhat users notice: {found.noticed}\n")
        print(f"What to look at:\n{commands}\n\nWhat to do:\n{steps}")
    else:
        show(data, Table([], []), given.output)
    return OK


def _short(value: Any, *, wide: bool) -> str:
    """On one line, and short unless all of it is wanted."""
    text = "" if value is None else " ".join(str(value).split())
    return text if wide or len(text) <= 40 else text[:39] + "…"
