"""`intops replay DIR --dry-run`: what would these manifests make of the messages that came already?"""

import argparse
from pathlib import Path
from typing import Any

from intops_api.common import duration_s
from intops_api.plan import FlowPlan
from intops_cli.exits import OK, REFUSED, UNAVAILABLE, USAGE
from intops_cli.output import Table, render, say, show
from intops_cli.project import open_project
from intops_cli.whereabouts import asked, namespace_of, where_arguments
from intops_core.planning import encode_plan

HELP = (
    "compare what changed manifests would make of stored deliveries with what the running ones make"
)
EPILOG = """\
examples:
  intops replay . --dry-run                             the newest 1,000 deliveries of every Flow of the folder
  intops replay . --dry-run --flow alerts-to-helpdesk --since 24h
  intops replay . --dry-run -n itsm --context prod      against the workers of a cluster

The worker runs its stored deliveries through the plan that it has and through the one that the folder makes,
up to the request that would be sent. Nothing is sent, nothing is written, and personal data is masked.
To deliver a message again use `intops review retry`.
exit codes: 0 no message that can be sent now would fail, 1 one would, or the manifests are refused,
2 wrong use, 3 no worker answers"""

# A longer value would push the columns beside it off the screen.
_SHORT = 40
_TURNS = {
    "breaks": "can be sent now and would fail",
    "mends": "fails now and could be sent",
    "appears": "would be there and is not now",
    "vanishes": "is there now and would not be",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument("dir", type=Path, help="folder with the changed manifests")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        required=True,
        help="compare only; there is no other way yet",
    )
    parser.add_argument("--flow", help="only this Flow")
    parser.add_argument("--since", help="only deliveries that came within this time, such as 24h")
    parser.add_argument(
        "--limit",
        type=int,
        default=1000,
        help="at most so many deliveries of each Flow, newest first",
    )
    where_arguments(parser)


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    try:
        since_s = duration_s(given.since) if given.since is not None else None
    except ValueError as error:
        say(f"--since: {error}.")
        return USAGE
    project = open_project(given.dir, namespace=namespace_of(given))
    for located in project.findings:
        say(located.sentence())
    plans, why = ([], []) if project.refused else project.plans()
    say(why)
    if project.refused or why:
        say(
            "Nothing was compared: a cluster would refuse these manifests. Mend them and run again."
        )
        return REFUSED
    wanted = [plan for _, plan in plans if given.flow in (None, plan.flow.name)]
    if not wanted:
        say(
            f'There is no Flow "{given.flow}" in this folder.'
            if given.flow
            else "There is no Flow here."
        )
        return USAGE
    found = [_asked(given, plan, since_s) for plan in wanted]
    compared = [one for one in found if one is not None]
    if given.output in ("json", "yaml"):
        show(compared, Table([], []), given.output)
    else:
        print("\n\n".join(comparison_page(one, wide=given.output == "wide") for one in compared))
    if len(compared) < len(found):
        return UNAVAILABLE
    return REFUSED if any(one["breaks"] for one in compared) else OK


def _asked(
    given: argparse.Namespace, plan: FlowPlan, since_s: float | None
) -> dict[str, Any] | None:
    answer: dict[str, Any] | None = asked(given).ask(
        "/replay", given=encode_plan(plan), flow=plan.flow.name, since_s=since_s, limit=given.limit
    )
    if answer is None:
        where = f"{plan.flow.namespace}/{plan.flow.name}"
        say(f'No worker runs Flow "{where}", so there is nothing to compare with.')
    return answer


def comparison_page(found: dict[str, Any], *, wide: bool) -> str:
    """What was compared, what would fail, and which fields would change."""
    if not found["deliveries"]:
        return f"Flow {found['flow']}: no delivery is stored from that time."
    head = (
        f"Flow {found['flow']}: {found['messages']} messages of {found['deliveries']} deliveries since "
        f"{found['oldestAt']}. {found['same']} stay the same."
    )
    parts = [head]
    if found["failures"]:
        parts.append(render(failure_table(found)))
    if found["changes"]:
        parts.append(render(change_table(found, wide=wide)))
    if found["furtherMessages"]:
        parts.append(f"{found['furtherMessages']} messages change in further ways.")
    return "\n\n".join(parts)


def failure_table(found: dict[str, Any]) -> Table:
    """Messages whose fate would be another one."""
    rows = [
        [
            str(one["messages"]), _TURNS[one["turn"]], one["class"] or "", _example(one),
            one["detail"],
        ]
        for one in found["failures"]
    ]  # fmt: skip
    return Table(["MESSAGES", "WHAT", "CLASS", "EXAMPLE", "DETAIL"], rows)


def change_table(found: dict[str, Any], *, wide: bool) -> Table:
    """Fields that would get another value."""
    rows = [
        [
            str(one["messages"]), one["field"], _text(one["now"], wide=wide),
            _text(one["candidate"], wide=wide), _example(one),
        ]
        for one in found["changes"]
    ]  # fmt: skip
    return Table(["MESSAGES", "FIELD", "NOW", "WOULD BE", "EXAMPLE"], rows)


def _example(one: dict[str, Any]) -> str:
    return "" if one["example"] is None else str(one["example"])


def _text(value: Any, *, wide: bool) -> str:
    text = "" if value is None else " ".join(str(value).split())
    return text if wide or len(text) <= _SHORT else text[: _SHORT - 1] + "…"
