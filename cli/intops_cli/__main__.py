"""`intops`: one command for people. Wires flags, commands and exit codes together."""

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import TextIO, cast

from intops_cli.exits import MEANINGS, OK, REFUSED, UNAVAILABLE, USAGE
from intops_cli.manifests import DEFAULT_NAMESPACE, ManifestError
from intops_cli.output import FORMATS, say
from intops_cli.terminal import HarmlessStream
from intops_cli.worker_client import Refused, WorkerUnavailable

COMMANDS = (
    "run", "validate", "test", "replay", "shadow", "get", "messages", "trace", "record", "review", "audit", "explain",
    "store", "impact", "diff", "graph", "complexity", "version",
)  # fmt: skip

EPILOG = f"""\
examples:
  intops run examples/01-alerts-to-helpdesk     run a folder of manifests on this machine
  intops validate .                             what would a cluster refuse?
  intops get flows                              do messages arrive?
  intops review list                            what waits for a person?
  intops trace '#42'                            from ticket to payload and back

exit codes: {", ".join(f"{code} {says}" for code, says in MEANINGS.items())}"""


def parser(wanted: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """The command line; only the modules of `wanted` commands are imported, which saves time."""
    top = argparse.ArgumentParser(
        prog="intops",
        description="Run, check and explain IT-service-management integrations.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in wanted:
        module = command_module(name)
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.HELP[0].upper() + module.HELP[1:] + ".",
            epilog=module.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        forms = getattr(module, "FORMS", FORMATS)
        command.add_argument(
            "-o", "--output", choices=forms, default=forms[0], help="form of the answer"
        )
        command.add_argument(
            "-n",
            "--namespace",
            default=DEFAULT_NAMESPACE,
            help="namespace of manifests that name none (default: %(default)s)",
        )
        module.arguments(command)
    return top


def command_module(name: str) -> ModuleType:
    """The module of a command: HELP, EPILOG, `arguments` and `run`; FORMS if its answer is no table."""
    return importlib.import_module(f"intops_cli.commands.{name}")


def main(arguments: list[str] | None = None) -> None:
    """Entry point; every way out is an exit code and, where something is wrong, a sentence."""
    given_arguments = sys.argv[1:] if arguments is None else arguments
    wanted = [name for name in COMMANDS if name in given_arguments[:1]] or list(COMMANDS)
    given = parser(wanted).parse_args(given_arguments)
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
