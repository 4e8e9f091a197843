"""Write the reference pages of what is not a kind: rules, error classes, reactions, metrics, flags, commands.

Called by `make generate`, and with `--check` by `make check`, from the root of the source tree. The
command line may import every plane, so it is the one place that knows all of them:

    python -m intops_cli.reference [--check] [--root DIR]
"""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from intops_cli import generated, measures
from intops_cli.__main__ import COMMANDS, command_module, parser
from intops_cli.error_pages import faults_page, reactions_page
from intops_cli.exits import MEANINGS
from intops_cli.measures import Measure
from intops_cli.pages import page, table
from intops_cli.project import shipped_resources
from intops_core.compatibility import TABLE
from intops_core.error_classes import ERROR_CLASSES, ErrorClass
from intops_core.rules import BY_ID, RULES, UNNUMBERED
from intops_core.rules.listing import listed_rules
from intops_core.rules.rule import BuiltInRule
from intops_operator import settings as operator_settings
from intops_runtime import settings as worker_settings

REFERENCE: Final = Path("docs/reference")
REACTIONS: Final = REFERENCE / "reactions.yaml"

# Defaults that the machine decides: what is true where the pages are made is true nowhere else.
_DECIDED_THERE: Final = {
    "--name": "host name",
    "--identity": "host name, which is the pod's name",
    "--namespace": "namespace of the pod, else `default`",
    "--kubeconfig": "the `KUBECONFIG` variable, else the pod's own access",
}
_TYPES: Final = {
    "str": "text", "int": "integer", "float": "number", "Path": "path",
    "_list": "words with commas", "_boolean": "`true` or `false`",
}  # fmt: skip


def outputs(root: Path = Path()) -> dict[Path, str]:
    """Every page, by its path below the root, with its text. What was measured is read below the root."""
    measured = root / REACTIONS
    pages = {}
    if measured.is_file():
        pages[REFERENCE / "reactions.md"] = reactions_page(measured)
        pages[REFERENCE / "faults.md"] = faults_page(measured)
    return pages | {
        REFERENCE / "rules.md": rules_page(),
        REFERENCE / "compatibility.md": compatibility_page(),
        REFERENCE / "error-classes.md": error_classes_page(),
        REFERENCE / "metrics.md": metrics_page(),
        REFERENCE / "flags.md": flags_page(),
        REFERENCE / "cli.md": cli_page(),
    }


def rules_page() -> str:
    """Rules that judge resources, and which shipped Pattern lists them."""
    listed = _listed_in()
    heads = ("Id", "Severity", "What must be the case", "Judges", "Exception")
    numbered = [(*_rule(rule), ", ".join(listed.get(rule.id, ()))) for rule in RULES]
    return page(
        "Rules",
        "Admission, `intops validate`, `intops run` and the operator judge with the same rules. `deny` "
        "refuses the object, `warn` lets it in with a warning, `audit` is only recorded. A Pattern lists "
        "the rules of its Flows by id, each with the severity that it has there (`deny` if it says none). "
        "`intops explain rule ID` shows one. How they are used stands in [governance](../governance.md).",
        "## Rules of Patterns",
        table((*heads, "Listed by"), numbered),
        "What judges a Mapping, a ConnectorClass or a Connector holds whether a Pattern lists it or not, because "
        "they belong to no Pattern; so do rules of Flows from which no exception is possible.",
        "An exception is an entry in `spec.exceptions` of a Flow: the id, a reason, who approved it and its last "
        "day. It turns what the rule finds in this Flow into a record (`audit`).",
        "## Rules without a number",
        "They hold for every object, and no Pattern can leave them out.",
        table(heads, [_rule(rule) for rule in UNNUMBERED]),
    )


def _rule(rule: BuiltInRule) -> tuple[str, str, str, str, str]:
    kinds = ", ".join(rule.kinds)
    may = "possible" if rule.liftable else "not possible"
    return f"`{rule.id}`", f"`{rule.severity}`", rule.title, kinds, may


def _listed_in() -> dict[str, list[str]]:
    """Rule id → shipped Patterns that list it, each with its severity where that is another."""
    return {
        rule_id: [
            f"`{one.pattern}`"
            + ("" if one.rule.severity == BY_ID[rule_id].severity else f" as `{one.rule.severity}`")
            for one in listed
        ]
        for rule_id, listed in listed_rules(shipped_resources()).items()
        if rule_id in BY_ID
    }


def compatibility_page() -> str:
    """What may change in an edition of a CanonicalModel, and what demands a new one."""
    heads = ("Change", "What changes is used", "It is not used", "Step", "Why")
    rows = [
        (kind, f"`{row.used}`", f"`{row.unused}`", f"`{row.step}`", row.why)
        for kind, row in TABLE.items()
    ]
    return page(
        "Compatibility of models",
        "What a change of one edition of a CanonicalModel is for live Flows. `breaking` is refused until it is "
        "accepted ([impact.md](../impact.md)), `risky` warns, `compatible` is let in without a word. `used` means "
        "that a Mapping, a route or a class in the plan of a live Flow touches the field; an edition that no live "
        "Flow uses changes freely.",
        table(heads, rows),
        "`patch` and `minor` stay in the edition. `major` is a new edition (`v2` beside `v1`), served together "
        "with the old one until nothing uses that any more.",
    )


def error_classes_page() -> str:
    """The classes of errors: how each is told and what happens."""
    rows = [
        (f"`{found.name}`", found.detection, f"`{found.strategy}`", _numbers(found))
        for found in ERROR_CLASSES
    ]
    return page(
        "Error classes",
        f"Every failure falls into exactly one of these {len(ERROR_CLASSES)} classes. The class of a "
        "system tells its own errors first (`spec.errors` of a ConnectorClass), then HTTP and the network "
        "decide. `intops explain error CLASS` shows one; `spec.errors` of a Flow changes its policy. What was "
        "measured of each stands in [reactions.md](reactions.md).",
        table(("Class", "How it is told", "By default", "Numbers"), rows),
        "## What happens to the message",
        table(
            ("Class", "What happens"), [(f"`{found.name}`", found.what) for found in ERROR_CLASSES]
        ),
    )


def _numbers(found: ErrorClass) -> str:
    given = found.policy.to_wire()
    return ", ".join(f"{name} {value}" for name, value in given.items() if name != "strategy")


def metrics_page() -> str:
    """Metrics of worker and operator, as they are called in PromQL."""
    heads = ("Metric", "Type", "Labels", "What it says")
    return page(
        "Metrics",
        "Names and labels are API. Neither a payload nor a key is ever a label.",
        "## Worker",
        "At `/metrics` of the operations port (8081). Counters are computed from the store, so they "
        "survive restarts of the worker.",
        table(heads, map(_measure, measures.of_worker())),
        "## Operator",
        "At `/metrics` of the health port (8080).",
        table(heads, map(_measure, measures.of_operator())),
    )


def _measure(of: Measure) -> tuple[str, str, str, str]:
    labels = ", ".join(f"`{name}`" for name in of.labels)
    return f"`{of.name}`", of.kind, labels, of.says


def flags_page() -> str:
    """Flags of the two servers."""
    worker = worker_settings.flags("")
    operator = operator_settings.flags({})
    heads = ("Flag", "Value", "Default", "What it does")
    return page(
        "Flags of the servers",
        "The chart sets them in a cluster. A wrong flag ends the program with 2 and a sentence.",
        f"## {worker.prog}",
        worker.description or "",
        table(heads, [_server_flag(action) for action in _actions(worker)]),
        f"## {operator.prog}",
        operator.description or "",
        operator.epilog or "",
        table(heads, [_server_flag(action) for action in _actions(operator)]),
    )


def _actions(of: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Arguments of a program without its sub-commands and without --help, which every program has."""
    for action in of._actions:  # argparse has no public list of what was added
        if not isinstance(action, argparse._HelpAction | argparse._SubParsersAction):
            yield action


def _flag(action: argparse.Action) -> tuple[str, str, str, str]:
    name = ", ".join(f"`{option}`" for option in action.option_strings)
    # The name of the environment variable and the default have their own places.
    text = re.sub(r" \[INTOPS_\w+\]$| \(default: (?:%\(default\)s|[^()]*)\)", "", action.help or "")
    return name, _value(action), _default(action), text


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return "none"
    if action.choices is not None and action.metavar is None:
        return ", ".join(f"`{choice}`" for choice in action.choices)
    if action.metavar is not None and action.option_strings:
        return f"`{action.metavar}`"
    return _TYPES[getattr(action.type, "__name__", "str")]


def _server_flag(action: argparse.Action) -> tuple[str, str, str, str]:
    name, value, default, text = _flag(action)
    return name, value, _DECIDED_THERE.get(action.option_strings[-1], default), text


def _default(action: argparse.Action) -> str:
    if action.required and action.option_strings:
        return "required"
    if action.default in (None, "", [], False):
        return ""
    return f"`{action.default}`"


def cli_page() -> str:
    """Commands of `intops`: arguments, examples, exit codes."""
    top = parser()
    chosen = next(a for a in top._actions if isinstance(a, argparse._SubParsersAction))
    parts = [
        top.description or "",
        table(("Command", "What it does"), [(f"[`intops {n}`](#intops-{n})", _help(n)) for n in COMMANDS]),
        *_epilog(top.epilog or ""),
    ]  # fmt: skip
    for name in COMMANDS:
        parts += [f"## intops {name}", *_command(chosen.choices[name])]
    parts += [
        "## Exit codes",
        "The same for every command, so that scripts can rely on them.",
        table(("Code", "Answer"), [(str(code), says) for code, says in MEANINGS.items()]),
        "A command that is ended by Ctrl-C exits with 130, except `intops run`, which ends well by it.",
    ]
    return page("The intops command", *parts)


def _help(name: str) -> str:
    text: str = command_module(name).HELP
    return text[0].upper() + text[1:] + "."


def _command(of: argparse.ArgumentParser) -> Iterator[str]:
    actions = list(_actions(of))
    places = [action for action in actions if not action.option_strings]
    usage = " ".join([of.prog, *(_place(action) for action in places), "[flags]"])
    yield of.description or ""
    yield f"```text\n{usage}\n```"
    rows = [
        (f"`{_place(action)}`", _value(action), "", (action.help or "")) for action in places
    ] + [_flag(action) for action in actions if action.option_strings]
    yield table(("Argument", "Value", "Default", "What it does"), rows)
    yield from _epilog(of.epilog or "")


def _place(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest.upper())
    return f"[{name}]" if action.nargs == "?" else name


def _epilog(text: str) -> Iterator[str]:
    """Examples as they are printed, and the other paragraphs as text."""
    for paragraph in text.split("\n\n"):
        first, _, rest = paragraph.partition("\n")
        if first == "examples:":
            lines = "\n".join(line.removeprefix("  ") for line in rest.splitlines())
            yield f"```text\n{lines}\n```"
        else:
            yield from map(_sentence, paragraph.splitlines())


def _sentence(line: str) -> str:
    return line[0].upper() + line[1:].rstrip(".") + "."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns its exit code: 1 if `--check` found stale pages."""
    return generated.run(outputs, "python -m intops_cli.reference", arguments)


if __name__ == "__main__":
    sys.exit(main())
