"""`intops shadow FLOW`: does the Mapping on trial make of live messages what the one beside it makes?"""

import argparse
from collections.abc import Iterable
from typing import Any, Final

from intops_cli.exits import OK, REFUSED
from intops_cli.output import Table, render, say, show
from intops_cli.whereabouts import asked, told, where_arguments
from intops_cli.worker_client import WorkerUnavailable

HELP = "compare Mappings on trial with those that decide, on the live messages of a Flow"
EPILOG = """\
examples:
  intops shadow alerts-to-helpdesk                      a local run
  intops shadow alerts-to-helpdesk -n itsm --context prod -o wide
  intops shadow alerts-to-helpdesk -o json              with the values that the first message had

A binding with shadow: NEW beside its mapping is compared from the load of its plan on, in the memory of the worker:
a new plan and a restart begin anew. Nothing of it is stored or sent, and personal data is masked.
exit codes: 0 messages were compared and none differs or fails, 1 one does, none came yet, or there is no shadow,
2 wrong use, 3 no worker answers"""

# A longer value would push the columns beside it off the screen.
_SHORT: Final = 40
_SENTENCE: Final = 60
_COUNTS: Final = ("same", "differing", "drift", "unmapped", "error", "skipped", "further")
_FAILING: Final = ("drift", "unmapped", "error")
_WORDS: Final = {
    "differs": "gets another value",
    "mends": "fails now and would not",
    "drift": "fails: unknown form",
    "unmapped": "fails: cannot be mapped",
    "error": "fails: crashed",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument("flow", help="name of the Flow")
    where_arguments(parser)


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    client = asked(given)
    answers: list[dict[str, Any]] = client.ask("/shadow", flow=given.flow) or []
    if not answers:
        raise WorkerUnavailable(
            f'No worker that can compare runs Flow "{given.flow}": there is none, or its image is older than '
            "this command. See `intops get flows`."
        )
    found = together(answers)
    if not found:
        say(
            f'Flow "{given.flow}" has no Mapping on trial. Write shadow: the name of the new Mapping beside '
            "mapping in spec.roles, and apply the Flow."
        )
    elif given.output in ("json", "yaml"):
        show(found, Table([], []), given.output)
    else:
        print(trial_page(found, wide=given.output == "wide"))
    return told(client, OK if found and all(agrees(one) for one in found) else REFUSED)


def together(answers: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Trials of all replicas, counts added up; of each field the first example that one of them had.

    Those of different plans, as during a change, are trials of their own.
    """
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for answer in answers:
        for one in answer["shadows"]:
            key = (answer["plan"], one["binding"], one["mapping"])
            found[key] = _added(found[key], one) if key in found else one
    return list(found.values())


def _added(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    fields = {(field["path"], field["result"]): field for field in one["fields"]}
    for field in other["fields"]:
        key = (field["path"], field["result"])
        known = fields.get(key)
        fields[key] = (
            field
            if known is None
            else {
                **known,
                "messages": known["messages"] + field["messages"],
                "since": min(known["since"], field["since"]),
            }
        )
    counts = {name: one[name] + other[name] for name in _COUNTS}
    since = {"since": min(one["since"], other["since"])}
    return {**other, **one, **counts, **since, "fields": list(fields.values())}


def agrees(trial: dict[str, Any]) -> bool:
    """Whether messages were compared and the shadow made the same of every one."""
    return not trial.get("stopped") and 0 < trial["same"] == compared(trial)


def compared(trial: dict[str, Any]) -> int:
    """How many messages went through both Mappings."""
    return int(trial["same"] + trial["differing"]) + failing(trial)


def failing(trial: dict[str, Any]) -> int:
    """How many of them the shadow could not map."""
    return sum(int(trial[name]) for name in _FAILING)


def trial_page(found: list[dict[str, Any]], *, wide: bool) -> str:
    """One line a binding, then the fields over which the Mappings disagree, then what to do."""
    parts = [render(trial_table(found))]
    if any(one["fields"] for one in found):
        parts.append(render(field_table(found, wide=wide).cut(wide=wide)))
    parts.append("\n".join(_advice(one) for one in found))
    return "\n\n".join(parts)


def trial_table(found: list[dict[str, Any]]) -> Table:
    """Counts of each trial."""
    rows = [
        [
            one["binding"], one["mapping"], str(compared(one)), str(one["same"]),
            str(one["differing"]), str(failing(one)), str(one["skipped"]), one["since"],
        ]
        for one in found
    ]  # fmt: skip
    headings = ["BINDING", "SHADOW", "COMPARED", "SAME", "DIFFER", "FAIL", "SKIPPED", "SINCE"]
    return Table(headings, rows)


def field_table(found: list[dict[str, Any]], *, wide: bool) -> Table:
    """Fields over which they disagree, with the values of the first message."""
    rows = [
        [
            str(field["messages"]), one["binding"], field["path"], _WORDS[field["result"]],
            _text(field["now"], wide=wide), _text(field["candidate"], wide=wide),
            "" if field["example"] is None else str(field["example"]),
            _text(field["detail"], wide=wide, most=_SENTENCE),
            field["since"],
        ]
        for one in found
        for field in one["fields"]
    ]  # fmt: skip
    headings = [
        "MESSAGES", "BINDING", "FIELD", "WHAT", "NOW", "WOULD BE", "EXAMPLE", "DETAIL", "SINCE",
    ]  # fmt: skip
    return Table(headings, rows, wide_from=8)


def _advice(one: dict[str, Any]) -> str:
    binding, mapping = one["binding"], one["mapping"]
    if one.get("stopped"):
        return str(one["stopped"])
    if not compared(one):
        return f"{binding}: no message has come since the trial began. Wait for some, or send one."
    take_over = f"write mapping: {mapping} and remove shadow to let it take over."
    if agrees(one):
        return f"{binding}: {mapping} makes the same of every message; {take_over}"
    further = (
        f" {one['further']} more disagreements are about fields that are not listed."
        if one["further"]
        else ""
    )
    return (
        f"{binding}: look at the fields (`intops explain message EXAMPLE` shows where a value comes from). "
        f"If they are meant, {take_over} Else mend {mapping}; it is then compared anew.{further}"
    )


def _text(value: Any, *, wide: bool, most: int = _SHORT) -> str:
    text = "" if value is None else " ".join(str(value).split())
    return text if wide or len(text) <= most else text[: most - 1] + "…"
