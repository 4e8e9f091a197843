"""Wire the operator: settings, servers, lease, cache, feed. Run as `python -m intops_operator`.

Every replica watches and answers admission; the holder of the Lease does the rest. kopf starts
last, because at its end it cancels whatever was started after it, and its end is the process's. A
replica that is told to end stops leading at once, and answers admission until nobody is led to it.
"""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from intops_api import names
from intops_api.kinds import KINDS
from intops_core.catalog import shipped
from intops_operator.admission.certified import Admission
from intops_operator.cache import Cache
from intops_operator.census import Census
from intops_operator.edges.access import AccessError, find_access
from intops_operator.edges.cluster import Cluster, ClusterError
from intops_operator.edges.lease import Lease, LeaseTimes
from intops_operator.handlers.feed import run_feed
from intops_operator.health import HealthServer
from intops_operator.journal import Journal, set_up_journal
from intops_operator.leading import Leading
from intops_operator.settings import Settings, parse_settings

journal = Journal("main")

KINDS_LOOK_S = 1.0


async def run(settings: Settings) -> int:
    """Run one replica until a signal or a fatal error; returns the exit code."""
    access = find_access(settings.kubeconfig)
    ended, told = asyncio.Event(), asyncio.Event()

    def end() -> None:
        told.set()
        ended.set()

    _on_signals(end)
    async with Cluster(access) as cluster, contextlib.AsyncExitStack() as stack:
        cache = Cache()
        times = LeaseTimes(
            settings.lease_duration_s, settings.lease_renew_s, settings.lease_retry_s
        )
        lease = Lease(cluster, settings.namespace, settings.lease_name, settings.identity, times)
        leading = Leading(settings, cluster, lease, cache, shipped())

        def sink(kind: str, body: Mapping[str, Any], deleted: bool) -> None:
            leading.tell(cache.take(kind, body, deleted=deleted))

        census = Census(cluster, cache, sink, settings.watch_namespaces)
        admission = Admission(settings, cluster, lease, cache, census.complete.is_set)
        health = HealthServer(
            settings.health_host,
            settings.health_port,
            lambda: _missing(census.complete.is_set(), told.is_set(), admission),
        )
        await health.start()
        stack.push_async_callback(health.stop)
        await admission.start()
        stack.push_async_callback(admission.stop)
        _write_ports(settings, health=health.port, admission=admission.port)
        background = [
            _start("lease", lease.run(), ended),
            _start("admission certificates", admission.run(), ended),
        ]
        stack.push_async_callback(_stop_all, background)
        stack.push_async_callback(lease.release)
        await _await_kinds(cluster, ended)
        if ended.is_set():
            return 0
        term = _start("leading", leading.run(census.complete), ended)
        background += [_start("census", census.run(settings.purge_interval_s), ended), term]
        feed = asyncio.create_task(
            run_feed(access, sink, settings.watch_namespaces, lambda: _on_signals(end))
        )
        stopping = asyncio.create_task(ended.wait())
        await asyncio.wait({feed, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if told.is_set() and not feed.done():
            leaving = asyncio.create_task(admission.leave(settings.drain_s))
            # Somebody else leads meanwhile.
            await _stop_all([term, background[0]])
            await lease.release()
            await leaving
        await _stop_all([feed, stopping, *background[1:]])
        if feed.done() and not feed.cancelled() and feed.exception() is not None:
            journal.error("feed ended", error=str(feed.exception()))
        return 0 if told.is_set() else 1


def _on_signals(end: Callable[[], None]) -> None:
    """Call this when the process is told to end."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)


def _start(what: str, work: Coroutine[Any, Any, None], ended: asyncio.Event) -> asyncio.Task[None]:
    """Run a part; its unforeseen end is the end of the process, never a silent gap."""
    task = asyncio.create_task(work, name=what)

    def over(done: asyncio.Task[None]) -> None:
        if not done.cancelled() and done.exception() is not None:
            error = done.exception()
            journal.error("part ended", what=what, error=f"{type(error).__name__}: {error}")
            ended.set()

    task.add_done_callback(over)
    return task


async def _stop_all(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _missing(is_complete: bool, ends: bool, admission: Admission) -> list[str]:
    missing = [] if is_complete else ["The cache is not complete yet."]
    missing += ["This replica is about to end."] if ends else []
    return missing + admission.missing()


async def _await_kinds(cluster: Cluster, ended: asyncio.Event) -> None:
    """Wait until the API server serves all our kinds: kopf looks for them once only."""
    path = f"/apis/{names.API_VERSION}"
    told = False
    while not ended.is_set():
        try:
            served = await cluster.serves(path)
        except ClusterError as error:
            journal.warning("API server not reached", error=error.message)
            served = None
        found = {resource["kind"] for resource in (served or {}).get("resources", ())}
        absent = [kind.name for kind in KINDS if kind.name not in found]
        if not absent:
            return
        if not told:
            journal.warning("kinds are not installed yet", absent=absent)
            told = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), KINDS_LOOK_S)


def _write_ports(settings: Settings, **ports: int) -> None:
    if settings.ports_file:
        path = Path(settings.ports_file)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(ports))
        partial.rename(path)


def main() -> None:
    """The `intops-operator` command."""
    settings = parse_settings(sys.argv[1:])
    set_up_journal(settings.log_level)
    try:
        code = asyncio.run(run(settings))
    except AccessError as error:
        print(f"intops-operator: {error}", file=sys.stderr)
        code = 2
    sys.exit(code)


if __name__ == "__main__":
    main()
