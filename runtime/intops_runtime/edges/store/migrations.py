"""How an older store becomes a newer one, for every engine: numbered steps, one transaction a step.

Each engine has its own list of steps and its own way to run one; which ones are outstanding, and that a
newer store is refused, is decided here.
"""

from collections.abc import Sequence

from intops_runtime.edges.store.base import StoreTooNew


def outstanding(place: str, current: int, steps: Sequence[str]) -> list[tuple[int, str]]:
    """Steps that are still to be run, each with the version that it leads to.

    Args:
        place: What is migrated, for people: a file, or a server and its database.
        current: Version of the store; 0 for an empty one.
        steps: Every step there ever was, oldest first.

    Raises:
        StoreTooNew: a newer intops has migrated the store.
    """
    if current > len(steps):
        raise StoreTooNew(
            f"{place}: a newer intops wrote this store (schema {current}, this one knows "
            f"{len(steps)}); use that version again."
        )
    return list(enumerate(steps[current:], start=current + 1))
