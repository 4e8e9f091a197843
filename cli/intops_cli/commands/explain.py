"""`intops explain`: a Mapping or message field by field; a rule, an error class, an alert as the reference says."""

import argparse
from pathlib import Path
from typing import Any

from intops_cli.attempt_lines import attempt_lines
from intops_cli.exits import OK, REFUSED
from intops_cli.manifests import ManifestError
from intops_cli.output import Table, say, show
from intops_cli.project import open_project, shipped_resources
from intops_cli.whereabouts import asked, where_arguments
from intops_core.error_classes import ERROR_CLASSES
from intops_core.expression_errors import did_you_mean
from intops_core.monitoring import ALERT_GROUPS
from intops_core.resources import Resources
from intops_core.rules import BY_ID
from intops_core.rules.listing import listed_rules

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
        "--dir", type=Path, help="folder with the Mapping or Pattern (default: here)"
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
    folder: Path = given.dir or Path()
    project = open_project(folder, namespace=given.namespace)
    known = project.mappings()
    if given.name not in known:
        names = ", ".join(sorted(known))
        say(
            f'There is no Mapping "{given.name}" in {folder} or in the catalogue. There are: {names}.'
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
    listed = listed_rules(_patterns(given, is_built_in=rule is not None))
    found = listed.get(given.name, [])
    if rule is None and not found:
        names = list(dict.fromkeys([*BY_ID, *sorted(listed)]))
        hint = did_you_mean(given.name, names)
        say(f'There is no rule "{given.name}".{hint} There are: {", ".join(names)}.')
        return REFUSED
    patterns = [{"pattern": one.pattern, "severity": one.rule.severity} for one in found]
    data: dict[str, Any]
    if rule is not None:
        data = {"id": rule.id, "severity": rule.severity, "title": rule.title}
        kinds, liftable = rule.kinds, rule.liftable
    else:  # a Pattern's own; those that extend it say the same
        own = found[0].rule
        data = {"id": own.id, "severity": own.severity, "title": own.message or ""}
        data["brokenWhen"] = own.when
        kinds, liftable = ("Flow",), True
    data |= {"judges": list(kinds), "exception": liftable, "listedBy": patterns}
    row = [
        data["id"],
        data["severity"],
        data["title"],
        ", ".join(kinds),
        "possible" if liftable else "not possible",
        ", ".join(f"{one['pattern']} ({one['severity']})" for one in patterns),
    ]
    heads = ["RULE", "SEVERITY", "SAYS", "JUDGES", "EXCEPTION", "LISTED BY"]
    show(data, Table(heads, [row], wide_from=3), given.output)
    return OK


def _patterns(given: argparse.Namespace, *, is_built_in: bool) -> Resources:
    """The shipped Patterns, with those of a folder that is given or may hold a rule of one's own."""
    if given.dir is not None:
        return open_project(given.dir, namespace=given.namespace).resources
    if is_built_in:
        return shipped_resources()
    try:
        return open_project(Path(), namespace=given.namespace).resources
    except ManifestError:
        return shipped_resources()  # nobody said that this folder holds manifests


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
