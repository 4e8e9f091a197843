"""`intops audit`: the chain of decisions of a Flow: read it, export it, prove that nobody changed it."""

import argparse
import json
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from intops_cli.exits import OK, REFUSED, USAGE
from intops_cli.output import Table, say, show
from intops_cli.whereabouts import asked, in_cluster, local_worker, where_arguments
from intops_runtime.core.auditing import Row, Verifier, exported, imported, shown

HELP = "read, export and verify what was decided, by whom and on which evidence"
EPILOG = """\
examples:
  intops audit list --flow alerts-to-helpdesk
  intops audit export --flow alerts-to-helpdesk > 2026-11.jsonl
  intops audit verify --flow alerts-to-helpdesk --against 2026-11.jsonl
  intops audit verify --file 2026-11.jsonl
  intops audit erase iop1:oflqlsrjnru3ejgdpflketq5sx3g3in2 --reason "request of the person concerned"

A chain shows any change in it. Only an earlier export shows that its end was cut off: keep exports elsewhere.
exit codes: 0 whole, 1 tampered with or refused, 2 wrong use, 3 no worker answers"""

VERBS = ("list", "export", "verify", "erase")
PAGE = 500
LISTED = 50


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument("verb", choices=VERBS, help="what to do")
    parser.add_argument("key", nargs="?", help="correlation key, for erase")
    parser.add_argument("--flow", help="Flow of the chain, where several run")
    parser.add_argument("--file", type=Path, help="verify: an export instead of a worker")
    parser.add_argument(
        "--against", type=Path, help="verify: an earlier export whose end must be in the chain"
    )
    parser.add_argument("--head", help="verify: an earlier head that must be in the chain, N:HASH")
    parser.add_argument("--reason", help="erase: why")
    parser.add_argument("--limit", type=int, default=LISTED, help="list: the newest so many")
    where_arguments(parser)


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    if given.flow is None and given.file is None and in_cluster(given):
        say("Name the Flow with --flow: each Flow has a chain of its own.")
        return USAGE
    if given.verb == "erase" and in_cluster(given):
        say("Values are erased at the worker's own machine only; see the page on review and audit.")
        return USAGE
    verbs = {"list": _list, "export": _export, "verify": _verify, "erase": _erase}
    try:
        return verbs[given.verb](given)
    except (OSError, ValueError) as error:
        say(str(error))
        return USAGE


def _rows(given: argparse.Namespace) -> Iterator[Row]:
    """Every entry of the chain, from a file or from the worker."""
    if given.file is not None:
        yield from _in_file(given.file)
        return
    client = asked(given)
    after = 0
    while True:
        page: dict[str, Any] = client.ask("/audit", flow=given.flow, after=after, limit=PAGE)
        rows = [imported(line) for line in page["rows"]]
        yield from rows
        if not rows:
            return
        after = rows[-1].seq


def _in_file(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield imported(json.loads(line))
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}.") from error


def _list(given: argparse.Namespace) -> int:
    newest: list[dict[str, Any]] = []
    for row in _rows(given):
        newest.append(shown(row))
        if len(newest) > given.limit:
            newest.pop(0)
    show(newest, entry_table(newest), given.output)
    return OK


def entry_table(entries: list[dict[str, Any]]) -> Table:
    """One row for each entry."""
    headings = ["N", "AT", "ACTION", "MESSAGE", "BY", "WHY", "PLAN", "KEY", "EVIDENCE"]
    rows = []
    for entry in entries:
        values = entry["values"]
        why = values.get("reason") or entry.get("how") or entry.get("errorClass") or ""
        evidence = values.get("detail") or values.get("evidence") or entry.get("record") or ""
        rows.append(
            [
                str(entry["seq"]), entry["at"], entry["action"], str(entry.get("message", "")),
                str(values.get("actor", "intops")), str(why), str(entry.get("plan", "")),
                str(entry.get("key", "")), str(evidence),
            ]
        )  # fmt: skip
    return Table(headings, rows, wide_from=7)


def _export(given: argparse.Namespace) -> int:
    head = _write(given, sys.stdout)
    say(f"head {head}")
    return OK


def _write(given: argparse.Namespace, out: TextIO) -> str:
    seq, hash_ = 0, ""
    for row in _rows(given):
        print(json.dumps(exported(row), ensure_ascii=False), file=out)
        seq, hash_ = row.seq, row.hash
    return f"{seq}:{hash_}"


def _verify(given: argparse.Namespace) -> int:
    heads = list(_heads(given))
    verifier = Verifier()
    verifier.await_heads(*heads)
    for row in _rows(given):
        verifier.feed(row)
    problems = verifier.finish(*heads)
    seq, hash_ = verifier.head
    data = {
        "whole": not problems,
        "entries": verifier.entries,
        "erased": verifier.erased,
        "head": f"{seq}:{hash_}",
        "problems": problems,
    }
    if given.output in ("json", "yaml"):
        show(data, Table([], []), given.output)
    elif problems:
        say(problems)
        say("The audit was tampered with, or its volume is damaged. Compare it with your exports.")
    else:
        print(
            f"{verifier.entries} entries, nothing changed, {verifier.erased} without values by request."
        )
        print(f"head {seq}:{hash_}")
    return REFUSED if problems else OK


def _heads(given: argparse.Namespace) -> Iterator[tuple[int, str]]:
    if given.against is not None:
        yield from ((row.seq, row.hash) for row in deque(_in_file(given.against), maxlen=1))
    if given.head is not None:
        number, separator, hash_ = given.head.partition(":")
        if not separator or not number.isdigit():
            raise ValueError("--head takes N:HASH, as `intops audit export` prints it.")
        yield int(number), hash_


def _erase(given: argparse.Namespace) -> int:
    if not given.key or not given.reason:
        say("Name the correlation key whose values are to be erased, and say why with --reason.")
        return USAGE
    client = local_worker(given)
    answer = client.tell("/erase", {"key": given.key, "reason": given.reason}, flow=given.flow)
    count = answer.get("erased", 0)
    if not count:
        say(f'No entry about "{given.key}" holds a value.')
        return REFUSED
    print(f"{count} entries lost their values; the chain holds.")
    return OK
