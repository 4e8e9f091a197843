"""Write what a platform team plugs in: alert rules, dashboards and runbooks, from `intops_core.monitoring`.

Called by `make generate`, and with `--check` by `make check`, from the root of the source tree. The command
line knows the metrics of both planes, so it is here that every name is checked before a file is written:

    python -m intops_cli.monitoring [--check] [--root DIR]
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import yaml

from intops_cli import generated, measures
from intops_core.monitoring import ALERT_GROUPS, DASHBOARDS
from intops_core.monitoring.alert import rule_file
from intops_core.monitoring.promql import Series, unknown, unknown_in_text
from intops_core.monitoring.runbooks import runbooks_page

CHART: Final = Path("helm/intops/monitoring")
RUNBOOKS: Final = Path("docs/runbooks.md")

_NOTE: Final = "Generated from core/intops_core/monitoring by `make generate`; edit that instead."


def outputs(_: Path) -> dict[Path, str]:
    """Every file, by its path below the root, with its text."""
    rules = yaml.safe_dump(rule_file(ALERT_GROUPS), sort_keys=False, width=100, allow_unicode=True)
    boards = {
        CHART / "dashboards" / f"{board.uid}.json": json.dumps(
            board.to_grafana(), indent=1, ensure_ascii=False
        )
        + "\n"
        for board in DASHBOARDS
    }
    return boards | {
        CHART / "rules.yaml": f"# {_NOTE}\n{rules}",
        RUNBOOKS: f"<!-- {_NOTE} -->\n\n{runbooks_page(ALERT_GROUPS)}",
    }


def problems(known: Series) -> Iterator[str]:
    """What alerts and dashboards name and does not exist, in sentences with the place.

    Args:
        known: Series that there are, with their labels.
    """
    for group in ALERT_GROUPS:
        for alert in group.alerts:
            found = unknown(alert.expression, known)
            for text in (alert.summary, alert.description):
                found += unknown_in_text(text, alert.expression, known)
            yield from (f"{alert.name}: {problem}" for problem in found)
    for board in DASHBOARDS:
        for title, query in board.queries():
            found = unknown(query.expression, known)
            found += unknown_in_text(query.legend, query.expression, known)
            yield from (f'{board.uid}, panel "{title}": {problem}' for problem in found)
        for variable in board.variables:
            found = unknown(f"sum by ({variable.label}) ({variable.series})", known)
            yield from (f"{board.uid}, variable {variable.name}: {problem}" for problem in found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns its exit code: 1 for stale files, or names that do not exist."""
    found = list(problems(measures.series()))
    if found:
        print("\n".join(found), file=sys.stderr)
        print(
            "Metrics are defined in intops_runtime.metrics and intops_operator.metrics.",
            file=sys.stderr,
        )
        return 1
    return generated.run(outputs, "python -m intops_cli.monitoring", arguments)


if __name__ == "__main__":
    sys.exit(main())
