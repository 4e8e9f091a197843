"""Which words may come next on a command line: decided from the parser of the command. Pure.

Used by `completion_words`, which reads the names that a cluster or a local run knows.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Asked = Literal["flows", "contexts", "namespaces"]
_ASKED: dict[str, Asked] = {"flow": "flows", "context": "contexts", "namespace": "namespaces"}
_FLOW_KINDS = frozenset({"flow", "flows", "iflow"})


@dataclass(frozen=True, slots=True)
class Next:
    """What may come next.

    Attributes:
        words: Words that are known, whatever has been typed of the last one.
        files: Whether a path may come.
        names: Names that must be asked for.
    """

    words: tuple[str, ...] = ()
    files: bool = False
    names: Asked | None = None


def next_words(parser: argparse.ArgumentParser, typed: Sequence[str]) -> Next:
    """What may come as the last of the words after the name of a command; it may be empty or begun."""
    *before, begun = typed or [""]
    waiting: argparse.Action | None = None
    places: list[str] = []
    used: set[str] = set()
    for word in before:
        if waiting is not None:
            waiting = None
        elif word.startswith("-"):
            action = parser._option_string_actions.get(word.partition("=")[0])
            if action is not None:
                used.add(action.dest)
                waiting = action if action.nargs is None and "=" not in word else None
        else:
            places.append(word)
    if waiting is not None:
        return _values(waiting)
    if begun.startswith("-"):
        return Next(words=tuple(_flags(parser, used)))
    return _place(parser, places)


def _flags(parser: argparse.ArgumentParser, used: set[str]) -> list[str]:
    """Long names of flags that may still be given; one that may be repeated always may."""
    return sorted(
        next((o for o in action.option_strings if o.startswith("--")), action.option_strings[0])
        for action in parser._actions
        if action.option_strings
        and (action.dest not in used or isinstance(action, argparse._AppendAction))
    )


def _place(parser: argparse.ArgumentParser, places: Sequence[str]) -> Next:
    wanted = [action for action in parser._actions if not action.option_strings]
    if len(places) >= len(wanted):
        return Next()
    action = wanted[len(places)]
    if action.dest == "name" and places and places[0] in _FLOW_KINDS:
        return Next(names="flows")
    return _values(action)


def _values(action: argparse.Action) -> Next:
    """What an argument takes: one of its choices, a path, or a name that others know."""
    if action.choices is not None:
        return Next(words=tuple(map(str, action.choices)))
    if action.type is Path or action.dest in ("kubeconfig", "state"):
        return Next(files=True)
    return Next(names=_ASKED.get(action.dest))
