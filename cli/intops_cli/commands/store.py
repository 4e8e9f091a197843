"""`intops store move`: a Flow's messages from the embedded store to PostgreSQL, while no worker runs."""

import argparse
import asyncio
import time
from pathlib import Path
from typing import Any

from intops_cli.exits import OK, REFUSED, USAGE
from intops_cli.output import Table, say, show
from intops_runtime.edges.store.base import StoreError
from intops_runtime.edges.store.moving import Moved, move
from intops_runtime.edges.store.postgres_access import access_from
from intops_runtime.edges.store.postgres_server import Server

HELP = "move the messages of a Flow to another store"
EPILOG = """\
examples:
  intops store move --store .intops/data/itsm.alerts-to-helpdesk/store.sqlite --secret ./database
  intops store move --store /data/itsm.alerts/store.sqlite --secret /secrets/database -o json

Stop the worker first. The folder of --secret holds one file a key, as a mounted Secret does: dsn, or host,
port, database, user and password. Everything is copied, counted and compared; only then is the old store
marked as moved, and refused by every worker. It may be killed at any moment and run again.

exit codes: 0 moved, 1 refused and nothing has changed, 2 wrong use"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument("action", choices=("move",), help="what to do")
    parser.add_argument("--store", type=Path, required=True, help="file of the embedded store")
    parser.add_argument(
        "--secret", type=Path, required=True, help="folder with the keys of the database's Secret"
    )
    parser.add_argument("--flow", help="name of the Flow (default: that of the store's folder)")


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    namespace, _, flow = given.store.absolute().parent.name.partition(".")
    if given.flow is not None:
        namespace, flow = given.namespace, given.flow
    if not flow:
        say("The store's folder is not named NAMESPACE.FLOW; name the Flow with --flow.")
        return USAGE
    try:
        moved = asyncio.run(_move(given.store, given.secret, namespace, flow))
    except StoreError as error:
        say(str(error))
        return REFUSED
    data: dict[str, Any] = {"flow": flow, "rows": moved.rows, "digest": moved.digest}
    rows = [[name, str(count)] for name, count in moved.rows.items()]
    show(data, Table(["TABLE", "ROWS"], rows), given.output)
    say(f"Moved and compared. Let {namespace}/{flow} name the Secret in runtime.store.postgres.")
    return OK


async def _move(store: Path, secret: Path, namespace: str, flow: str) -> Moved:
    values = {
        file.name: file.read_text(encoding="utf-8").strip("\r\n")
        for file in sorted(secret.glob("[!.]*"))
        if file.is_file()
    }
    server = Server(lambda: access_from(secret.name, values))
    try:
        return await move(store, server, namespace=namespace, flow=flow, now=time.time())
    finally:
        await server.close()
