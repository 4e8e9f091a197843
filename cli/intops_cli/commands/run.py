"""`intops run DIR`: the manifests of a folder on this machine, without a cluster.

The same admission rules, plan, worker and table as in a cluster; the store is SQLite in the state folder.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

from intops_api.flow import FlowSpec
from intops_api.names import CAPTURE_PATH, PLAN_KEY
from intops_api.plan import FlowPlan
from intops_cli.exits import OK, REFUSED, UNAVAILABLE, USAGE
from intops_cli.flows import FlowView, flow_table
from intops_cli.output import render, say, uses_colour
from intops_cli.project import Project, open_project
from intops_cli.session import Running, Session, session_at
from intops_core.planning import encode_plan
from intops_runtime import logs
from intops_runtime.core.addresses import AddressPolicy
from intops_runtime.settings import Settings
from intops_runtime.worker import Worker

HELP = "run the Flows of a folder on this machine, without a cluster"
EPILOG = """\
examples:
  intops run examples/01-alerts-to-helpdesk
  intops run . --endpoint helpdesk=http://127.0.0.1:8081 --port 9000

Secrets are read from the Secret manifests of the folder. Messages survive: run it again and it goes on.
exit codes: 0 ended by Ctrl-C or SIGTERM, 1 refused, 2 wrong use, 3 a port is taken or the store is in use"""

REFRESH_S = 0.5


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument("dir", type=Path, help="folder with manifests")
    parser.add_argument(
        "--session", dest="state", help="folder for stores and sockets (default: .intops)"
    )
    parser.add_argument("--port", type=int, default=8080, help="port of capture (0: any free one)")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address of capture (default: %(default)s)"
    )
    parser.add_argument(
        "--endpoint",
        action="append",
        default=[],
        metavar="CONNECTOR=URL",
        help="use another endpoint for a Connector; may be repeated",
    )
    parser.add_argument("--quiet", action="store_true", help="no live table, only what goes wrong")


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    endpoints = {}
    for text in given.endpoint:
        name, separator, url = text.partition("=")
        if not separator or "://" not in url:
            say(
                f'--endpoint "{text}" is not CONNECTOR=URL, such as helpdesk=http://127.0.0.1:8081.'
            )
            return USAGE
        endpoints[name] = url
    project = open_project(given.dir, namespace=given.namespace, endpoints=endpoints)
    for located in project.findings:
        say(located.sentence())
    if project.refused:
        say("Nothing was started: a cluster would refuse these manifests. Mend them and run again.")
        return REFUSED
    session = session_at(given.state)
    if session.running() is not None:
        say(
            f"A worker already runs from {session.root}; stop it, or name another folder with --session."
        )
        return UNAVAILABLE
    if session.too_deep:
        say(f"The path {session.root} is too long for a socket; name a shorter one with --session.")
        return USAGE
    session.prepare()
    views = _write_plans(project, session)
    if views is None:
        return REFUSED
    for (_, name), values in project.folder.secrets.items():
        session.write_secret(name, values)
    return asyncio.run(_serve(given, session, views, endpoints))


def _write_plans(project: Project, session: Session) -> list[FlowView] | None:
    """Plan every Flow of the folder; None where one cannot be planned."""
    plans, why = project.plans()
    say(why)
    if why:
        return None
    views = []
    for flow, plan in plans:
        folder = session.plans / f"{flow.ref.namespace}.{flow.ref.name}"
        folder.mkdir(exist_ok=True)
        (folder / PLAN_KEY).write_bytes(encode_plan(plan))
        if isinstance(flow.spec, FlowSpec):
            views.append(FlowView(flow.spec, plan))
    wanted = {f"{v.plan.flow.namespace}.{v.plan.flow.name}" for v in views}
    for folder in session.plans.iterdir():
        if folder.name not in wanted:
            (folder / PLAN_KEY).unlink(missing_ok=True)
    if not views:
        say("There is no Flow in this folder; add one.")
        return None
    return views


async def _serve(
    given: argparse.Namespace,
    session: Session,
    views: list[FlowView],
    endpoints: dict[str, str],
) -> int:
    log_file = (session.root / "worker.log").open("a", encoding="utf-8")
    logs.set_up(logging.INFO, stream=log_file)
    worker = Worker(
        Settings(
            plans=session.plans,
            secrets=session.secrets,
            data=session.data,
            name="local",
            capture_host=given.host,
            capture_port=given.port,
            operations_host="127.0.0.1",
            operations_port=0,
            console_socket=session.socket,
            addresses=AddressPolicy(allow_loopback=True),
            allow_volatile=True,
        ),
        version=version("intops"),
    )
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    try:
        await worker.start()
    except OSError as error:
        say(
            f"Port {given.port} on {given.host} cannot be opened: {error.strerror or error}. "
            "Stop what uses it, or choose another with --port."
        )
        await worker.close()
        session.forget()
        log_file.close()
        return UNAVAILABLE
    session.note(
        Running(
            os.getpid(),
            str(given.dir.absolute()),
            worker.capture_port,
            worker.operations_port,
            endpoints,
        )
    )
    say(_where(worker, session, given.host, [view.plan for view in views]))
    showing = asyncio.create_task(_show(worker, views, quiet=given.quiet))
    try:
        words = await worker.run(stop)
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)
        await worker.close()
        session.forget()
        log_file.close()
    if words is not None:
        say(words)
        return UNAVAILABLE
    return OK


def _where(worker: Worker, session: Session, host: str, plans: list[FlowPlan]) -> list[str]:
    lines = []
    for plan in plans:
        for binding in plan.bindings_of("source"):
            path = CAPTURE_PATH.format(
                namespace=plan.flow.namespace, flow=plan.flow.name, binding=binding.name
            )
            lines.append(f"{binding.name} delivers to http://{host}:{worker.capture_port}{path}")
    lines.append(f"metrics and report: http://127.0.0.1:{worker.operations_port}/metrics, /report")
    lines.append(f"stores and log: {session.root}")
    return lines


async def _show(worker: Worker, views: list[FlowView], *, quiet: bool) -> None:
    """The table of `kubectl get flows`, live on a terminal, else a line whenever something changed."""
    if quiet:
        return
    if sys.stdout.isatty():
        console = Console(no_color=not uses_colour(sys.stdout))
        with Live(console=console, auto_refresh=False, transient=False) as live:
            while True:
                table = render(
                    flow_table(views, worker.report()).cut(wide=False),
                    colour=uses_colour(sys.stdout),
                )
                live.update(Text.from_ansi(table), refresh=True)
                await asyncio.sleep(REFRESH_S)
    shown = ""
    while True:
        table = render(flow_table(views, worker.report(), ages=False).cut(wide=False))
        if table != shown:
            shown = table
            with contextlib.suppress(BrokenPipeError):
                print(table, flush=True)
        await asyncio.sleep(REFRESH_S)
