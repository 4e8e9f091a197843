"""Words for the shell that asks what may come next; what cannot be asked is not offered, and nothing is said.

Called through `intops __complete`, which the scripts of `intops completion` run, and by kubectl through
`kubectl_complete-intops`.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Final

from intops_api.kinds import FLOW
from intops_cli.completing import Asked, Next, next_words
from intops_cli.whereabouts import cluster_of, in_cluster, local_worker
from intops_cli.worker_client import Refused, WorkerUnavailable

FILES: Final = ":files"
"""The one line of an answer that means: let the shell complete paths."""
KUBECTL_FILES: Final = ":0"
KUBECTL_WORDS: Final = ":4"
"""How kubectl is told whether paths may come (cobra's ShellCompDirectiveNoFileComp)."""

Parsers = Callable[[str], argparse.ArgumentParser]


def completions(
    commands: Sequence[str], parser_of: Parsers, typed: Sequence[str], *, as_plugin: bool = False
) -> list[str]:
    """Words that may stand last, and that begin as it begins; `[FILES]` where a path may come.

    Args:
        commands: Names of the commands.
        parser_of: The parser of one of them.
        typed: What was typed after the name of the program; the last word may be empty or begun.
        as_plugin: Whether kubectl asks, so that its cluster is meant.
    """
    *before, begun = typed or [""]
    if not before:
        return [name for name in commands if name.startswith(begun)]
    if before[0] not in commands:
        return []
    found = next_words(parser_of(before[0]), typed[1:])
    if found.files:
        return [FILES]
    return [word for word in _words(found, before[1:], as_plugin) if word.startswith(begun)]


def for_kubectl(words: Sequence[str]) -> list[str]:
    """The same in the form that kubectl reads: the words, then a line that says whether paths may come."""
    return [KUBECTL_FILES] if list(words) == [FILES] else [*words, KUBECTL_WORDS]


def _words(found: Next, before: Sequence[str], as_plugin: bool) -> Sequence[str]:
    if found.names is None:
        return found.words
    try:
        return sorted(set(_names(found.names, _place(before, as_plugin))))
    except (WorkerUnavailable, Refused, argparse.ArgumentError):
        return ()


def _place(before: Sequence[str], as_plugin: bool) -> argparse.Namespace:
    """The flags that say who is asked, as far as they were typed; the rest does not matter here.

    Raises:
        argparse.ArgumentError: they lack a value somewhere else than at the end.
    """
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--session", dest="state")
    parser.add_argument("--context")
    parser.add_argument("--kubeconfig")
    parser.add_argument("-n", "--namespace", dest="named_namespace")
    parser.add_argument("-A", "--all-namespaces", dest="everywhere", action="store_true")
    try:
        given, _ = parser.parse_known_args(before)
    except argparse.ArgumentError:
        # The last flag waits for the very word that is asked for.
        given, _ = parser.parse_known_args(before[:-1])
    given.as_plugin = as_plugin
    return given


def _names(what: Asked, given: argparse.Namespace) -> list[str]:
    if what == "contexts":
        return _contexts(given.kubeconfig)
    if what == "namespaces":
        if not in_cluster(given):
            return []
        listed = cluster_of(given).requests.items("/api/v1/namespaces")
        return [str(one["metadata"]["name"]) for one in listed]
    if in_cluster(given):
        return [str(one["metadata"]["name"]) for one in cluster_of(given).here(FLOW)]
    report = local_worker(given).ask("/report") or {}
    return [str(plan["flow"]["name"]) for plan in report.get("plans", ())]


def _contexts(kubeconfig: str | None) -> list[str]:
    from intops_cli import kubeconfigs  # noqa: PLC0415  takes a second

    try:
        return kubeconfigs.context_names(kubeconfig)
    except kubeconfigs.UNREADABLE:
        return []
