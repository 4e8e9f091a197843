"""Which test shows what for each row of the fault matrix: writes docs/reliability.md.

How a test names its rows stands in `shown_rows`. Run by `.ci/generate.sh`; with --check it compares and fails
where the page is stale.
"""

from __future__ import annotations

import sys
from pathlib import Path

from support.shown_rows import TREE, rows_of, write

PAGE = TREE / "docs" / "reliability.md"
LAST_RUN = TREE / "docs" / "fault-report.md"
"""What the last long run has shown; its summary stands on the page, too."""
LEVELS = ("component", "fault", "cluster")

GROUPS: dict[str, dict[str, str]] = {
    "The worker's process and its disk": {
        "F01": "killed before or while a delivery is acknowledged",
        "F02": "killed while a message is on its way",
        "F03": "killed within a commit, system call by system call",
        "F04": "power cut within a commit",
        "F05": "pages or log frames torn by a power cut",
        "F06": "one sync of the disk fails",
        "F07": "every sync of the disk fails",
        "F08": "no room on the volume",
        "F09": "no inodes; a volume that turns read-only",
        "F10": "flipped bits in the store",
        "F11": "a slow disk",
        "F12": "two workers on one volume",
        "F13": "out of memory",
        "F14": "a process that freezes and wakes up",
        "F15": "no file descriptors",
        "F16": "a clock that jumps",
        "F17": "another monotonic clock after a restart",
    },
    "The target and the way to it": {
        "F20": "down for hours",
        "F21": "slow, byte by byte",
        "F22": "storms of refusals for too many requests",
        "F23": "bursts of server errors, errors in a 200",
        "F24": "every status of HTTP",
        "F25": "a peer that vanishes without a word",
        "F26": "a connection cut at any byte",
        "F27": "a search that lags behind",
        "F28": "garbage answers",
        "F29": "bad certificates",
        "F30": "name resolution fails, lies or changes",
        "F31": "a firewall in between",
        "F32": "up and down again and again",
    },
    "The messages": {
        "F40": "the same delivery again and again",
        "F41": "deliveries out of order",
        "F42": "deliveries that are too late",
        "F43": "deliveries that never come",
        "F44": "a message that the worker dies of",
        "F45": "a write of ours that comes back as an event",
        "F46": "bursts and overload",
        "F47": "a queue that is full",
        "F48": "a Mapping that changes meanwhile",
        "F49": "a Flow that is paused, deleted or made again",
        "F50": "payloads of another version",
    },
    "PostgreSQL as the store": {
        "F90": "the server is killed",
        "F91": "power cut of the server",
        "F92": "the answer to a commit is lost",
        "F93": "fail-over to a synchronous standby",
        "F94": "a replica freezes for longer than its lease",
        "F95": "a replica is killed",
        "F96": "clocks of replicas differ",
        "F97": "the server lacks room, connections or locks",
        "F98": "some replicas cannot reach the server",
        "F99": "moved from the embedded store",
        "F100": "the schema is migrated while others work",
        "F101": "restored from a backup",
    },
    "The API server and the operator": {
        "F60": "the API server restarts or is away",
        "F61": "its store restarts, is slow or full",
        "F62": "watches that end, fall silent or must list anew",
        "F63": "conflicts at every write",
        "F64": "refusals for too many requests, errors, no answers",
        "F65": "the operator is killed before or after any of its requests",
        "F66": "an older API server after a newer one",
        "F67": "events that come twice or never",
        "F68": "two operators at once, a leader that freezes",
        "F69": "admission is down, slow, or answers garbage",
        "F70": "the certificate of admission expires",
        "F71": "a Secret is rotated",
        "F72": "a Secret is missing, empty, or deleted",
        "F73": "a worker's pod is deleted or cannot start",
        "F74": "a node is lost",
        "F75": "kubelet restarts",
        "F76": "a namespace is deleted with its Flows",
        "F77": "the operator is removed and installed again",
        "F78": "upgrades forth and back",
        "F79": "half an upgrade",
        "F80": "quotas and policies of a strict tenant",
        "F81": "people edit children",
    },
}

_HEAD = """\
# What was broken on purpose

Written by `make generate` from the tests: each row is a fault, each line below it a sentence that a test shows
to be true. `make test` runs the short forms, `make fault` the long ones and writes `build/fault-report.md`;
`make fault HOURS=8` breaks things at random for so long, and `make crash-points` takes every request of the operator
to the API server as a point to die at ([crash-points.md](crash-points.md)). A line that begins with *without* or
names a missing safeguard is a control: the same run with the safeguard off must do the harm.

Every run compares ledgers: what senders were told is kept, what the target has done, and what the worker reports.
Runs of the control plane compare what the operator has made of a Flow with what it makes when nothing is disturbed.
What follows for messages is in [durability.md](durability.md).
"""


def summary(report: str) -> str:
    """The summary of a report, under a heading of its own."""
    told = report.partition("## Summary\n")[2].partition("\n## ")[0].strip()
    return f"## The last long run\n\n{told}\n\nMore is in [fault-report.md](fault-report.md).\n"


def page(folder: Path = TREE / "tests") -> str:
    """The whole page.

    Raises:
        KeyError: a test names a row that there is not.
    """
    known = {row for rows in GROUPS.values() for row in rows}
    files = [path for level in LEVELS for path in sorted((folder / level).glob("test_*.py"))]
    found = rows_of(files, known, "F")
    parts = [_HEAD, summary(LAST_RUN.read_text(encoding="utf-8"))]
    parts.append(f"{sum(row in found for row in known)} of {len(known)} rows have a test.\n")
    for title, rows in GROUPS.items():
        parts.append(f"## {title}\n")
        for row, happens in rows.items():
            parts.append(f"**{row}: {happens}**\n")
            lines = [one.line for one in found.get(row, [])]
            parts.append("\n".join(lines or ["- not shown by a test yet"]) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(write(PAGE, page(), check="--check" in sys.argv[1:]))
