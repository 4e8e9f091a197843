"""`intops doctor`: what is wrong with this installation, why it matters, and what to do."""

import argparse
import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

from intops_cli.diagnosis import Diagnosis, in_order
from intops_cli.exits import OK, REFUSED
from intops_cli.machine import machine, tools
from intops_cli.machine_reading import read_machine, read_tools
from intops_cli.output import Table, show
from intops_cli.session import session_at
from intops_cli.whereabouts import cluster_of, in_cluster, where_arguments

HELP = "say what is wrong with this installation, why it matters, and what to do"
EPILOG = """\
examples:
  intops doctor                          this machine and its local run, or the cluster of the kubeconfig
  intops doctor --context production
  intops doctor -n itsm                  rights and admission are tried in that namespace
  intops doctor -o json | jq -r '.[] | select(.level == "broken") | .do'

Nothing is changed: the one object that is tried is a dry run. In a cluster it looks at the kinds, the operator and
who leads, admission and its certificate, the catalogue, workers and their images, volumes that are left over,
metrics, and what you may do; here at Python, the plugin, the worker, its ports and its stores.
exit codes: 0 nothing is broken, 1 something is, 3 the cluster cannot be reached"""

_WIDTH: Final = 100


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    where_arguments(parser)


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    if in_cluster(given):
        # The run of this folder is not what was asked about.
        found = in_order([*tools(read_tools()), *_of_cluster(given)])
    else:
        found = in_order(machine(read_machine(session_at(given.state))))
    if given.output in ("json", "yaml"):
        show([one.as_wire() for one in found], Table([], []), given.output)
    else:
        print(page(found, wide=given.output == "wide"))
    return REFUSED if any(one.level == "broken" for one in found) else OK


def _of_cluster(given: argparse.Namespace) -> list[Diagnosis]:
    from intops_cli import diagnosis_admission, diagnosis_control, diagnosis_workers  # noqa: PLC0415
    from intops_cli.cluster_installation import read_installation  # noqa: PLC0415  takes a second

    seen, now = read_installation(cluster_of(given)), datetime.now(UTC)
    return [
        *diagnosis_control.kinds(seen),
        *diagnosis_control.operators(seen.operation, version("intops")),
        *diagnosis_control.leases(seen.operation, now),
        *diagnosis_admission.admission(seen, now),
        *diagnosis_control.catalogue(seen),
        *diagnosis_workers.workers(seen, now),
        *diagnosis_workers.claims(seen),
        *diagnosis_workers.rights(seen),
        *diagnosis_control.metrics(seen),
    ]


def page(found: Sequence[Diagnosis], *, wide: bool) -> str:
    """One paragraph for what is not well, one line for what is, and a last line that sums up."""
    lines = []
    for one in found:
        head = f"{one.level:8} {one.check}: "
        texts = [one.what, *(t for t in (one.why, f"Do: {one.do}" if one.do else "") if t)]
        lines += _wrapped(head + texts[0], wide=wide, first="")
        for text in texts[1:]:
            lines += _wrapped(text, wide=wide, first=" " * 9)
    counts = {level: sum(one.level == level for one in found) for level in ("broken", "warning")}
    lines += [
        "",
        f"{counts['broken']} broken, {counts['warning']} to look at, of {len(found)} findings.",
    ]
    return "\n".join(lines)


def _wrapped(text: str, *, wide: bool, first: str) -> list[str]:
    if wide:
        return [first + text]
    return textwrap.wrap(
        text, _WIDTH, initial_indent=first, subsequent_indent=" " * 9,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
