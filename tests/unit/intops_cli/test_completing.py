"""Which words may come next, on the real command line and on words as values."""

from __future__ import annotations

from pathlib import Path

import pytest

from intops_cli.__main__ import COMMANDS, as_called, command_module, main, parser
from intops_cli.completing import next_words
from intops_cli.completion_words import completions, for_kubectl
from support.lists_api import kubeconfig, lists_api


def parser_of(name: str) -> object:
    raise AssertionError(name)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["st"], ["status", "store"]),
        (["comple"], ["complexity", "completion"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["messages", "--state", "re"], ["review"]),
        (["messages", "--state", "review", "--st"], []),
        (["review", "re"], ["retry"]),
        (["top", "--so"], ["--sort"]),
        (["top", "--sort", "cp"], ["cpu"]),
        (["get", "flowac"], ["flowaction", "flowactions"]),
        (["status", "-o", ""], ["table", "wide", "json", "yaml"]),
        (["run", ""], [":files"]),
        (["diff", "--kubeconfig", "/"], [":files"]),
        (["get", "flows", "one", ""], []),
        (["nothing", ""], []),
    ],
    ids=" ".join,
)
def test_commands_flags_choices_and_paths_are_completed(
    typed: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """As the shell's script asks, with the last word begun or empty."""
    main(["__complete", *typed])

    assert capsys.readouterr().out.split() == words


def test_a_flag_that_was_given_is_not_offered_again_unless_it_may_be_repeated() -> None:
    """`run --endpoint` may, `run --port` may not."""
    main_parser = parser(["run"])._actions[-1].choices["run"]  # type: ignore[index]
    offered = next_words(main_parser, ["--port", "0", "--endpoint", "a=b", "--"]).words

    assert "--endpoint" in offered
    assert "--port" not in offered


def test_names_of_flows_are_asked_for_where_a_flow_is_meant() -> None:
    """After --flow, after `get flow`, and after `shadow`; not after `get mapping`."""
    choices = parser(["get", "messages", "shadow"])._actions[-1].choices
    assert choices is not None
    asked = {
        name: next_words(choices[name], words).names  # type: ignore[index]
        for name, words in [
            ("messages", ["--flow", ""]), ("shadow", [""]), ("get", ["flow", ""]),
        ]
    }  # fmt: skip

    assert asked == {"messages": "flows", "shadow": "flows", "get": "flows"}
    assert next_words(choices["get"], ["mapping", ""]).names is None  # type: ignore[index]


def test_kubectl_is_told_whether_paths_may_come() -> None:
    """The last line is a number that its own completion understands."""
    assert for_kubectl(["status", "store"]) == ["status", "store", ":4"]
    assert for_kubectl([":files"]) == [":0"]
    assert completions(COMMANDS, parser_of, ["zz"]) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("name", COMMANDS)
def test_as_a_plugin_every_help_calls_the_command_kubectl_intops(name: str) -> None:
    """Usage, examples and sentences: nobody is sent to a command that is not there."""
    told = as_called(command_module(name).EPILOG, "kubectl intops")
    usage = parser([name], as_plugin=True)._actions[-1].choices[name].format_usage()  # type: ignore[index]

    assert usage.startswith(f"usage: kubectl intops {name} ")
    examples = [line for line in told.splitlines() if line.startswith("  ") and "intops" in line]
    assert all("kubectl intops" in line or "kubectl get" in line for line in examples)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["status", "--context", ""], ["one", "other"]),
        (["messages", "--state", "review", "--context", "ot"], ["other"]),
        (["status", "--context", "one", "-n", ""], ["desk", "itsm"]),
        (["get", "flows", "--context", "one", "--namespace", "it"], ["itsm"]),
        (["messages", "--context", "one", "--flow", ""], ["alerts"]),
        (["get", "--context", "one", "-A", "flow", ""], ["alerts", "pages"]),
        (["status", "--context", "-n", "itsm", "--context", ""], []),
    ],
    ids=" ".join,
)
def test_contexts_namespaces_and_flows_are_completed_from_the_kubeconfig_and_the_cluster(
    typed: list[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A flag that waits for its value is the usual case; none needs a current context."""
    flows = [{"metadata": {"name": name}} for name in ("alerts", "pages")]
    lists = {
        "/api/v1/namespaces": [{"metadata": {"name": name}} for name in ("itsm", "desk")],
        "/apis/intops.io/v1alpha1/flows": flows,
        "/apis/intops.io/v1alpha1/namespaces/itsm/flows": flows[:1],
    }
    contexts = {"one": "itsm", "other": ""}
    with lists_api(lists) as server:
        file = kubeconfig(tmp_path / "config", server, current=None, contexts=contexts)
        main(["__complete", typed[0], "--kubeconfig", file, *typed[1:]])

    assert capsys.readouterr().out.split() == words
