"""Named points on the message path where a test may stop the worker. Without a test nothing happens.

A hook is set only by a test entry point outside this package; production code never sets one.
The names K01 to K28 are those of the fault matrix; M01 to M04 are in a move, D01 and D02 around a decision's commit.
"""

from collections.abc import Callable

Hook = Callable[[str], None]

_hook: Hook | None = None


def install(hook: Hook | None) -> None:
    """Set what happens at every point; None takes it away."""
    global _hook  # noqa: PLW0603  one process, one hook
    _hook = hook


def installed() -> bool:
    """Whether a test looks."""
    return _hook is not None


def reach(point: str) -> None:
    """Say that the message path has come to `point`."""
    if _hook is not None:
        _hook(point)
