"""Runs a ServiceNow instance, as far as its Table API goes, with its vices, as its own process.

    SERVICENOW_PASSWORD=SECRET python -m support.simulators.servicenow [--user intops] [--port 0] [--vices LIST]

Needs aiohttp and nothing else. Prints its address as one line when it is ready; what it holds is gone when it
ends. It is driven on the same port, from this machine only:

    GET, POST, DELETE /_sim/faults     settings of `desk_faults.Faults`; POST changes some
    GET, POST         /_sim/instance   limit, sleep, hidden and mandatory fields: `snow_server.Instance`
    GET               /_sim/ledger     every write and what became of it
    POST              /_sim/edit       {sys_id, user, FIELD: value}: a person changes an incident

It imitates the Table API for incident, problem, change_request, cmdb_ci, sys_user, sys_user_group, sys_dictionary,
sys_choice and sys_journal_field; Basic, OAuth 2 (password, client_credentials) and API keys; limits; and the rules
of an incident. It is written from public documentation and no instance was asked.

Not imitated: scripts and workflows of customers, notifications and outbound REST messages, change states and
approvals, import sets, the CMDB API, dot-walking, views, domains, roles one by one (a user reads all fields but the
hidden ones), the 30 seconds after which a limit begins to bite, closing of resolved incidents after days, refresh
tokens, time zones of users, and search that lags.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence

from aiohttp import web

from support.simulators.snow_rest import VICES
from support.simulators.snow_server import Instance, SnowServer

PASSWORD_VARIABLE = "SERVICENOW_PASSWORD"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; return 0, or 1 with a sentence on standard error."""
    vices = "\n".join(f"  {name}: {meaning}" for name, meaning in VICES.items())
    parser = argparse.ArgumentParser(
        prog="python -m support.simulators.servicenow",
        description="A ServiceNow instance, as far as its Table API goes, with its vices.",
        epilog=f"vices:\n{vices}\n\nThe user's password is read from {PASSWORD_VARIABLE}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="port; 0 chooses a free one")
    parser.add_argument("--user", default="intops", help="name of the user that is accepted")
    parser.add_argument("--vices", default="all", help="all, none, or a list with commas")
    given = parser.parse_args(arguments)
    password = os.environ.get(PASSWORD_VARIABLE)
    if not password:
        parser.error(f"set {PASSWORD_VARIABLE}; without it nobody could log in")
    named = {"all": list(VICES), "none": []}.get(given.vices, given.vices.split(","))
    for name in sorted(set(named) - VICES.keys()):
        parser.error(f'there is no vice "{name}"; known: {", ".join(VICES)}')
    try:
        listener = socket.create_server((given.host, given.port), backlog=1024)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        print(f"servicenow: cannot start: {reason}: {given.host}:{given.port}", file=sys.stderr)
        return 1
    asyncio.run(_run(listener, Instance({given.user: password}), frozenset(named)))
    return 0


async def _run(listener: socket.socket, instance: Instance, vices: frozenset[str]) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    host, port = listener.getsockname()[:2]
    url = f"http://{host}:{port}"
    server = SnowServer(instance, vices, url)
    runner = web.AppRunner(
        server.app(), access_log=None, handler_cancellation=True, shutdown_timeout=0.2
    )
    logging.getLogger("aiohttp").setLevel(logging.ERROR)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    print(url, flush=True)
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    sys.exit(main())
