"""`make bench`: an event by parts, the worker against peers, at fixed rates, with a backlog, with many plans.

`python -m bench [parts|sides|offered|backlog|plans|pool]...` runs parts of it. The measured process is pinned to the
first core, load and target to the second. Prints Markdown tables for docs/performance.md; nothing is asserted.
"""

from __future__ import annotations

import sys

from bench import backlog, offered, parts, plans, pool, sides
from bench.measuring import machine

PARTS = {
    "parts": parts.run,
    "sides": sides.run,
    "offered": offered.run,
    "backlog": backlog.run,
    "plans": plans.run,
    "pool": pool.run,
}


def main(names: list[str]) -> int:
    """Run the named parts, or all."""
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f'There is no benchmark "{unknown[0]}"; there are {", ".join(PARTS)}.')
        return 2
    print(machine())
    for name in names or PARTS:
        print(f"\n{name}: ", end="")
        PARTS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
