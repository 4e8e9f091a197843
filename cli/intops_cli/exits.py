"""Exit codes of every command. They are API; `intops --help` and docs/reference/cli.md list them.

Used by the commands, and by what documents them.
"""

from collections.abc import Mapping
from typing import Final

OK: Final = 0
# The command worked and its answer is no: refused, failed examples, nothing of that name.
REFUSED: Final = 1
# Wrong use: a flag, a file that cannot be read.
USAGE: Final = 2
# Something that the command needs is not there: no worker, no cluster, a port that is taken.
UNAVAILABLE: Final = 3

MEANINGS: Final[Mapping[int, str]] = {
    OK: "yes",
    REFUSED: "no (refused, failed, not found)",
    USAGE: "wrong use",
    UNAVAILABLE: "something needed is not there",
}
