"""`intops-worker`: wires the worker together and runs it until SIGTERM, on the loop of libuv."""

import asyncio
import logging
import os
import signal
import socket
import sys
from importlib.metadata import version

import uvloop

from intops_runtime import logs
from intops_runtime.settings import Settings, parse
from intops_runtime.worker import Worker, close_quietly

log = logging.getLogger("intops.worker")


async def serve(settings: Settings) -> int:
    """Run one worker; 0 after SIGTERM, 1 where it had to give up."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    worker = Worker(settings, version=version("intops"))
    try:
        await worker.start()
    except OSError as error:
        log.error("a port cannot be opened", extra={"data": {"why": str(error)}})
        await close_quietly(worker)
        return 1
    words = await worker.run(stop)
    if words is not None:
        log.error("the worker gives up", extra={"data": {"why": words}})
    await worker.close()
    return 0 if words is None else 1


def main(arguments: list[str] | None = None) -> None:
    """Entry point."""
    logs.set_up()
    settings = parse(
        sys.argv[1:] if arguments is None else arguments,
        hostname=socket.gethostname(),
        api_server=os.environ.get("KUBERNETES_SERVICE_HOST"),
    )
    sys.exit(uvloop.run(serve(settings)))


if __name__ == "__main__":
    main()
