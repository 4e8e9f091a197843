"""`intops version`: what this is."""

import argparse
import platform
from importlib.metadata import version

from intops_api.names import API_VERSION
from intops_cli.exits import OK
from intops_cli.output import Table, show

HELP = "print the version"
EPILOG = "examples:\n  intops version\n  intops version -o json"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command: none."""


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    data = {"intops": version("intops"), "api": API_VERSION, "python": platform.python_version()}
    show(data, Table(["INTOPS", "API", "PYTHON"], [list(data.values())]), given.output)
    return OK
