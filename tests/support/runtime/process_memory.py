"""Looks for values in the memory of a process that runs, as whoever may read it could.

Needs the same user or root. What the process has given back to the kernel, or what was swapped out, is not seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

OURS_TO_PASS_OVER = ("[vvar", "[vsyscall")
"""Pages of the kernel, which cannot be read."""


def found_in_memory(pid: int, values: Iterable[str]) -> dict[str, int]:
    """How often each value stands in the memory of a process, as UTF-8.

    Args:
        pid: Of a process that may go on meanwhile.
        values: What is looked for.
    """
    wanted = {value: value.encode() for value in values}
    counts = dict.fromkeys(wanted, 0)
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines():
            place, rights, *rest = line.split()
            if "r" not in rights or rest[-1].startswith(OURS_TO_PASS_OVER):
                continue
            start, end = (int(part, 16) for part in place.split("-"))
            try:
                memory.seek(start)
                data = memory.read(end - start)
            except (OSError, OverflowError):
                continue  # gone, or none of the process's own
            for value, text in wanted.items():
                counts[value] += data.count(text)
    return counts
