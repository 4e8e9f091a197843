"""Runs a helpdesk that speaks Request Tracker's REST 2.0, with its vices, as its own process.

    python -m support.simulators.helpdesk --token SECRET [--port 0] [--data FILE] [--vices LIST]

Used by `make demo`, and by tests through `HelpdeskSimulator`. Needs aiohttp and nothing else. Prints
its address as one line when it is ready. Faults are set and the ledger of all writes is read on
the same port, from this machine only:

    GET, POST, DELETE /_sim/faults     settings of `desk_faults.Faults`; POST changes some
    GET               /_sim/ledger     every write and what became of it; `?entries=no`: counts
    PUT               /_sim/tokens     the list of accepted tokens
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from support.simulators.desk_rest import VICES
from support.simulators.desk_server import Settings, serve

TOKEN_VARIABLE = "HELPDESK_TOKEN"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; return 0, or 1 with a sentence on standard error."""
    try:
        settings = _settings(arguments)
        asyncio.run(_run(settings))
    except OSError as error:
        # strerror of a failed bind carries Python's own words; the number does not.
        reason = os.strerror(error.errno or 0)
        print(f"helpdesk: cannot start: {reason}: {_place(error, settings)}", file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"helpdesk: cannot start: {error}", file=sys.stderr)
        return 1
    return 0


async def _run(settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    ready: asyncio.Future[str] = loop.create_future()
    ready.add_done_callback(lambda done: print(done.result(), flush=True))
    await serve(settings, ready=ready, stop=stop)


def _settings(arguments: Sequence[str] | None) -> Settings:
    vices = "\n".join(f"  {name}: {meaning}" for name, meaning in VICES.items())
    parser = argparse.ArgumentParser(
        prog="python -m support.simulators.helpdesk",
        description="A helpdesk that speaks Request Tracker's REST 2.0, with its vices.",
        epilog=f"vices:\n{vices}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="port; 0 chooses a free one")
    parser.add_argument(
        "--token", action="append", help=f"accepted token, repeatable; or {TOKEN_VARIABLE}"
    )
    parser.add_argument("--password", help="accept this password of user intops, too")
    parser.add_argument("--data", type=Path, help="file that keeps tickets over a restart")
    parser.add_argument("--vices", default="all", help="all, none, or a list with commas")
    given = parser.parse_args(arguments)
    tokens = given.token or [t for t in [os.environ.get(TOKEN_VARIABLE)] if t]
    if not tokens:
        parser.error(f"give --token or set {TOKEN_VARIABLE}; without one nobody could log in")
    return Settings(
        tokens=tokens,
        password=given.password,
        vices=_vices(given.vices, parser),
        data=given.data,
        host=given.host,
        port=given.port,
    )


def _vices(text: str, parser: argparse.ArgumentParser) -> frozenset[str]:
    if text in ("all", "none"):
        return frozenset(VICES if text == "all" else ())
    chosen = frozenset(text.split(","))
    for name in sorted(chosen - VICES.keys()):
        parser.error(f'there is no vice "{name}"; known: {", ".join(VICES)}')
    return chosen


def _place(error: OSError, settings: Settings) -> str:
    return str(error.filename or f"{settings.host}:{settings.port}")


if __name__ == "__main__":
    sys.exit(main())
