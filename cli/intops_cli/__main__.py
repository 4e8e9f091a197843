"""`intops`: one command for people. Wires flags, commands and exit codes together."""

import argparse
import contextlib
import importlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import TextIO, cast

from intops_cli.completion_words import completions, for_kubectl
from intops_cli.exits import MEANINGS, OK, REFUSED, UNAVAILABLE, USAGE
from intops_cli.manifests import DEFAULT_NAMESPACE, ManifestError
from intops_cli.output import FORMATS, say
from intops_cli.terminal import HarmlessStream
from intops_cli.worker_client import Refused, WorkerUnavailable

COMMANDS = (
    "run", "new", "validate", "test", "replay", "shadow", "status", "get", "top", "messages", "trace",
    "record", "review", "audit", "explain", "store", "impact", "diff", "graph", "complexity", "doctor",
    "connector", "completion", "version",
)  # fmt: skip

PLUGIN = "kubectl intops"
COMPLETE = "__complete"
"""Asked by the scripts of `intops completion`; not for people, so no help names it."""
_OWN_NAME = re.compile(r"(?:(?<=^)|(?<=[ `(]))intops(?= [a-z-])", re.MULTILINE)

EPILOG = f"""\
examples:
  intops run examples/01-alerts-to-helpdesk     run a folder of manifests on this machine
  intops new connector-class acme --from-sample alert.json    connect a tool of your own
  intops validate .                             what would a cluster refuse?
  intops status                                 is all well, and what needs a person?
  intops get flows                              do messages arrive?
  intops review list                            what waits for a person?
  intops trace '#42'                            from ticket to payload and back

exit codes: {", ".join(f"{code} {says}" for code, says in MEANINGS.items())}"""


def parser(wanted: Sequence[str] = COMMANDS, *, as_plugin: bool = False) -> argparse.ArgumentParser:
    """The command line; only the modules of `wanted` commands are imported, which saves time.

    As a plugin of kubectl it calls itself `kubectl intops`.
    """
    called = PLUGIN if as_plugin else "intops"
    top = argparse.ArgumentParser(
        prog=called,
        description="Run, check and explain IT-service-management integrations.",
        epilog=as_called(EPILOG, called),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.set_defaults(as_plugin=as_plugin)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in wanted:
        module = command_module(name)
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.HELP[0].upper() + module.HELP[1:] + ".",
            epilog=as_called(module.EPILOG, called),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            # A command that speaks to a cluster says itself what -n means there.
            conflict_handler="resolve",
        )
        forms = getattr(module, "FORMS", FORMATS)
        command.add_argument(
            "-o", "--output", choices=forms, default=forms[0], help="form of the answer"
        )
        command.add_argument(
            "-n",
            "--namespace",
            help=f"namespace of manifests that name none (default: {DEFAULT_NAMESPACE})",
        )
        module.arguments(command)
    return top


def command_module(name: str) -> ModuleType:
    """The module of a command: HELP, EPILOG, `arguments` and `run`; FORMS if its answer is no table."""
    return importlib.import_module(f"intops_cli.commands.{name}")


def as_called(text: str, called: str) -> str:
    """A text for people in which the command bears the name by which it was called."""
    return _OWN_NAME.sub(called, text)


def plugin() -> None:
    """Entry point `kubectl-intops`, which kubectl finds as `kubectl intops`."""
    main(as_plugin=True)


def complete_for_kubectl() -> None:
    """Entry point `kubectl_complete-intops`, which kubectl asks what may come after `kubectl intops`."""
    found = completions(COMMANDS, _parser_of, sys.argv[1:], as_plugin=True)
    print("\n".join(for_kubectl(found)))


def _parser_of(name: str) -> argparse.ArgumentParser:
    top = parser([name])
    chosen = next(a for a in top._actions if isinstance(a, argparse._SubParsersAction))
    found: argparse.ArgumentParser = chosen.choices[name]
    return found


def main(arguments: list[str] | None = None, *, as_plugin: bool = False) -> None:
    """Entry point; every way out is an exit code and, where something is wrong, a sentence."""
    given_arguments = sys.argv[1:] if arguments is None else arguments
    if given_arguments[:1] == [COMPLETE]:
        print("\n".join(completions(COMMANDS, _parser_of, given_arguments[1:])))
        return
    wanted = [name for name in COMMANDS if name in given_arguments[:1]] or list(COMMANDS)
    given = parser(wanted, as_plugin=as_plugin).parse_args(given_arguments)
    # In a cluster the default is another one than for manifests, so what was named is kept.
    given.named_namespace = given.namespace
    given.namespace = given.namespace or DEFAULT_NAMESPACE
    # `run` draws its own table, of what the folder says.
    careful = given.command != "run"
    with _careful() if careful else contextlib.nullcontext():
        code = _ended(given)
    sys.exit(code)


@contextlib.contextmanager
def _careful() -> Iterator[None]:
    """What is printed steers no terminal, whoever wrote it."""
    out, err = HarmlessStream(sys.stdout), HarmlessStream(sys.stderr)
    with (
        contextlib.redirect_stdout(cast("TextIO", out)),
        contextlib.redirect_stderr(cast("TextIO", err)),
    ):
        yield


def _ended(given: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    try:
        code = int(command_module(given.command).run(given))
    except ManifestError as error:
        say(str(error))
        code = USAGE
    except Refused as error:
        say(str(error))
        code = REFUSED
    except WorkerUnavailable as error:
        say(str(error))
        code = UNAVAILABLE
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = OK
    return code


if __name__ == "__main__":
    main()
