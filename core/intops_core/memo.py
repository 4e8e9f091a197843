"""Results that are made once for each content.

A `lru_cache` keeps the arguments of every call alive. Here only a key that stands for the content and the result are
kept: a Mapping that was judged to be sound costs a hundred bytes then, not thirty thousand.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Memo(Generic[_T]):
    """The results that were asked for last. Several threads may ask: each step on the dictionary is whole.

    Args:
        most: How many are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[str, _T] = OrderedDict()

    def get(self, key: str, make: Callable[[], _T]) -> _T:
        """The result for a key; `make` is called where it is not known, at worst by two threads at once."""
        try:
            self._known.move_to_end(key)
            return self._known[key]
        except KeyError:  # not known, or dropped by another thread between the two lines
            made = make()
        self._known[key] = made
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return made
