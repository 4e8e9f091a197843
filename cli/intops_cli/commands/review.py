"""`intops review`: what waits for a person, and what that person decides about it."""

import argparse
import json
import uuid
from typing import Any

from intops_cli.exits import OK, REFUSED, USAGE
from intops_cli.output import flow_of, say, show
from intops_cli.review_tables import group_table, item_page, item_table
from intops_cli.whereabouts import (
    Asked,
    asked,
    cluster_of,
    in_cluster,
    local_worker,
    told,
    where_arguments,
)

HELP = "see what waits for a person, and decide about it"
EPILOG = """\
examples:
  intops review list                                           equal errors are one line
  intops review list --each -o wide                            every message
  intops review show 17                                        original, mapped form, what to do
  intops review retry 17                                       the cause is gone: try again
  intops review retry 17 --equal                               and all with the same error
  intops review edit 17 --set severity=major --reason "..."    correct a field, then deliver
  intops review discard --all --flow alerts-to-helpdesk --reason "a test of the monitoring"
  intops review retry 17 --flow alerts-to-helpdesk --context production -n itsm
  intops review approve retry-5d3c1a9e07 -n itsm               a second person, where the Flow asks for one

Every decision is recorded with who made it. A decision is applied once: repeat it with the same --id.
In a cluster a decision is a FlowAction in your own name, which the API server verifies.
exit codes: 0 done, 1 refused or nothing of that name, 2 wrong use, 3 no worker answers, or not all of them"""

VERBS = ("list", "show", "retry", "edit", "discard", "approve")
DECISIONS = ("retry", "edit", "discard")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument("verb", choices=VERBS, help="what to do")
    parser.add_argument(
        "message",
        nargs="?",
        help="number of a message in review; for approve: name of the FlowAction",
    )
    parser.add_argument("--flow", help="only of this Flow")
    parser.add_argument(
        "--equal", action="store_true", help="also all messages whose error is equal"
    )
    parser.add_argument("--fingerprint", help="all messages whose error has this fingerprint")
    parser.add_argument("--all", action="store_true", help="everything in review of the Flow")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="corrected field of the canonical record, for edit; null takes it away; may be repeated",
    )
    parser.add_argument("--reason", help="why, in words that an auditor understands")
    parser.add_argument(
        "--approved-by", help="second person of a local run, where the Flow asks for one"
    )
    parser.add_argument("--id", help="name of this decision; the same one is applied only once")
    parser.add_argument("--each", action="store_true", help="list: every message, not groups")
    parser.add_argument("--limit", type=int, default=50, help="list --each: at most so many")
    parser.add_argument(
        "--timeout", type=float, default=60.0, help="seconds to wait for the answer in a cluster"
    )
    where_arguments(parser, everywhere=True)


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    wrong = wrong_use(given)
    if wrong is not None:
        say(wrong)
        return USAGE
    if given.verb == "approve":
        from intops_cli.cluster_review import approve_in_cluster  # noqa: PLC0415  takes a second

        return approve_in_cluster(given, cluster_of(given), given.message)
    client = asked(given)
    if given.verb == "list":
        return _list(given, client)
    if given.verb == "show":
        return _show(given, client)
    return _decide(given, client)


def wrong_use(given: argparse.Namespace) -> str | None:
    """What is wrong with the flags, in a sentence."""
    if given.everywhere and given.verb not in ("list", "show"):
        return f"Name the namespace with -n: {given.verb} is about one Flow, and -A about all."
    if given.verb == "list":
        return None
    if given.verb == "approve":
        return None if given.message else "Name the FlowAction: intops review approve NAME."
    if given.message is not None and not given.message.isdigit():
        return f'"{given.message}" is no number of a message; `intops review list` shows them.'
    if given.verb == "show":
        return None if given.message is not None else "Name a message: intops review show 17."
    ways = [given.message is not None, given.fingerprint is not None, given.all]
    if sum(ways) != 1:
        return (
            f"Say which messages are meant: intops review {given.verb} 17 (with --equal for all like "
            "it), or --fingerprint, or --all."
        )
    if given.all and given.flow is None:
        return "With --all, name the Flow with --flow, so that nothing else is decided by accident."
    if given.equal and given.message is None:
        return "--equal goes with the number of a message."
    if given.verb == "edit" and not given.set:
        return "An edit needs a corrected field: --set severity=major."
    if given.verb != "edit" and given.set:
        return f"--set goes with edit, not with {given.verb}."
    if given.verb != "retry" and not given.reason:
        return f"Say why with --reason; {given.verb} is recorded for good."
    if given.approved_by and in_cluster(given):
        return "In a cluster the second person approves by `intops review approve NAME`."
    if any("=" not in text for text in given.set):
        return "--set takes FIELD=VALUE, such as severity=major."
    return None


def _list(given: argparse.Namespace, client: Asked) -> int:
    if given.each:
        found: list[dict[str, Any]] = client.ask(
            "/review/items", flow=given.flow, fingerprint=given.fingerprint, limit=given.limit
        )
        show(found, item_table(found), given.output)
        return told(client, OK)
    groups: list[dict[str, Any]] = client.ask("/review", flow=given.flow)
    groups.sort(key=lambda group: group["dueAt"] or "")
    show(groups, group_table(groups), given.output)
    return told(client, OK)


def _show(given: argparse.Namespace, client: Asked) -> int:
    found = _item(given, client)
    if found is None:
        return REFUSED
    if given.output in ("json", "yaml"):
        show(found, item_table([]), given.output)
    else:
        print(item_page(found))
    return told(client, OK)


def _item(given: argparse.Namespace, client: Asked) -> dict[str, Any] | None:
    """The one message that is meant; None, with a sentence, where there is none or are several."""
    found: list[dict[str, Any]] = client.ask("/review/items", flow=given.flow, ids=given.message)
    if client.unanswered and not given.flow:
        say(client.unanswered)
        say(
            f"Who did not answer may have a message {given.message} too; name the Flow with --flow."
        )
        return None
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(map(flow_of, found))
        say(f"Several Flows have a message {given.message} ({names}); name one with --flow.")
    else:
        say(f"No message {given.message} is in review; `intops review list` shows them.")
    return None


def _decide(given: argparse.Namespace, client: Asked) -> int:
    select: dict[str, Any] = {}
    flow = given.flow
    if given.equal:
        item = _item(given, client)
        if item is None:
            return REFUSED
        select["fingerprint"], flow = item["fingerprint"], item["flow"]
    elif given.message is not None:
        select["messages"] = [given.message]
    elif given.fingerprint is not None:
        select["fingerprint"] = given.fingerprint
    else:
        select["allInReview"] = True
    if in_cluster(given):
        if flow is None:
            say("Name the Flow with --flow: a decision in a cluster is about one Flow.")
            return USAGE
        from intops_cli.cluster_review import decide_in_cluster  # noqa: PLC0415  takes a second

        return decide_in_cluster(
            given, cluster_of(given), flow=flow, select=select, patch=patch_of(given.set)
        )
    decision = {
        "id": given.id or uuid.uuid4().hex,
        "action": given.verb,
        "select": select,
        "patch": patch_of(given.set),
        "reason": given.reason or "no reason given",
        "approvedBy": given.approved_by,
    }
    answer = local_worker(given).tell("/decisions", decision, flow=flow)
    return tell_answer(given, answer)


def patch_of(texts: list[str]) -> list[dict[str, Any]]:
    """Corrections from FIELD=VALUE; a value that is JSON is taken as such, everything else is a text."""
    found = []
    for text in texts:
        path, _, value = text.partition("=")
        found.append({"path": path.strip(), "value": _value(value)})
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def tell_answer(given: argparse.Namespace, answer: dict[str, Any]) -> int:
    """Say what became of a decision; returns the exit code."""
    if given.output in ("json", "yaml"):
        show(answer, item_table([]), given.output)
        return REFUSED if answer.get("refused") else OK
    if answer.get("refused"):
        say(f"Nothing was changed. {answer['refused']}")
        return REFUSED
    count = answer["applied"]
    what = "1 message" if count == 1 else f"{count} messages"
    done = {
        "retry": f"{what} of {answer['flow']} tried again.",
        "edit": f"{what} of {answer['flow']} corrected and tried again.",
        "discard": f"{what} of {answer['flow']} discarded.",
    }[given.verb]
    again = " (This decision had been applied before.)" if answer.get("repeated") else ""
    print(done + again)
    if answer.get("left"):
        say(answer["left"])
    return OK
