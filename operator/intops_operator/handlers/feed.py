"""The event feed: kopf tells what is there and what changed, this module passes it on.

`__main__` starts it last and ends with it. kopf's other handlers write annotations and finalizers
onto users' objects, and its index is quadratic; none of them is used.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import kopf
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory

from intops_api import names
from intops_api.kinds import KINDS
from intops_operator.core.children import CHILD_KINDS
from intops_operator.edges.access import Access
from intops_operator.edges.apiserver import ENDPOINTS

Sink = Callable[[str, Mapping[str, Any], bool], None]
"""Takes a kind, an object and whether it is gone."""

WATCHED_CHILDREN = (*CHILD_KINDS, "Pod")
WATCHED = (*(kind.name for kind in KINDS), *WATCHED_CHILDREN)
"""Every kind that the feed brings."""

SELECTOR = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY},{names.LABEL_COMPONENT}=worker"
TOKEN_LIFE = timedelta(minutes=10)  # kubelet replaces the file hourly, long before it expires


class _NoDiffs(kopf.DiffBaseStorage):
    """Nothing is compared: kopf would copy each object several times to find what nobody asks."""

    def fetch(self, *, body: kopf.Body) -> None:
        """Nothing was kept."""

    def build(self, *, body: kopf.Body, extra_fields: Any = None) -> Any:
        """Nothing to compare."""
        return {}

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: Any) -> None:
        """Nothing is kept."""


class _NoProgress(kopf.ProgressStorage):
    """No handler makes progress on an object, so none is looked for in its annotations."""

    def fetch(self, *, key: Any, body: kopf.Body) -> None:
        """Nothing was kept."""

    def store(self, *, key: Any, record: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        """Nothing is kept."""

    def purge(self, *, key: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        """Nothing was kept."""

    def touch(self, *, body: kopf.Body, patch: kopf.Patch, value: str | None) -> None:
        """Objects are never touched."""

    def clear(self, *, essence: Any) -> Any:
        """Nothing was kept."""
        return essence


class _NoMemories(ResourceMemories):
    """Nothing is remembered of an object: kopf would keep 2 KiB of each for handlers that we do not have.

    `kopf.spawn_tasks` takes such memories, but their class is not exported.
    """

    async def recall(self, raw_body: kopf.RawBody, **given: Any) -> ResourceMemory:
        """A memory for one event."""
        return await super().recall(raw_body, **{**given, "ephemeral": True})


def feed_settings() -> kopf.OperatorSettings:
    """Settings under which kopf only watches: no posts, no scans, no peering, bounded memory."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    # What is parsed and not yet looked at is the largest thing in memory at a start, and leaves it in pieces.
    settings.watching.chunk_size = 100
    for kind in WATCHED_CHILDREN:
        group, _, version = ENDPOINTS[kind].api_version.rpartition("/")
        where = (
            (group, version, ENDPOINTS[kind].plural) if group else (version, ENDPOINTS[kind].plural)
        )
        settings.watching.label_selectors[where] = SELECTOR
    settings.queueing.worker_limit = 100  # safe only without kopf.index
    # An idle worker keeps its slot, and what waits for one its object.
    settings.queueing.idle_timeout = 0.005
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.persistence.finalizer = f"{names.GROUP}/finalizer"
    settings.persistence.diffbase_storage = _NoDiffs()
    settings.persistence.progress_storage = _NoProgress()
    return settings


def feed_registry(access: Access, sink: Sink) -> kopf.OperatorRegistry:
    """One `on.event` handler for each watched kind, and how to log in."""
    registry = kopf.OperatorRegistry()
    for kind in WATCHED:
        group, _, version = ENDPOINTS[kind].api_version.rpartition("/")
        kopf.on.event(group, version, ENDPOINTS[kind].plural, id=f"feed-{kind}", registry=registry)(
            _listener(kind, sink)
        )

    @kopf.on.login(registry=registry)
    def login(**_: Any) -> kopf.ConnectionInfo:
        """The same credentials as the operator's own client."""
        rotates = access.token_file is not None
        return kopf.ConnectionInfo(
            server=access.server,
            ca_data=access.ca,
            certificate_data=access.certificate,
            private_key_data=access.key,
            scheme="Bearer" if access.token() else None,
            token=access.token(),
            expiration=datetime.now(UTC) + TOKEN_LIFE if rotates else None,
        )

    return registry


def _listener(kind: str, sink: Sink) -> Callable[..., Awaitable[None]]:
    async def feed(type: str | None, body: kopf.Body, **_: Any) -> None:
        """Pass on one object; what happened to it does not matter, unless it is gone."""
        sink(kind, dict(body), type == "DELETED")

    return feed


async def run_feed(
    access: Access, sink: Sink, namespaces: Sequence[str], take_signals: Callable[[], None]
) -> None:
    """Feed until it is cancelled, or a fatal error; the process must end then.

    Args:
        access: How to reach the API server.
        sink: Gets every object at first, and each change after.
        namespaces: Where to watch; everywhere if empty.
        take_signals: Sets the handlers of signals again, which kopf takes when it begins. It would end the
            feed at once, and admission would judge by what was true then.
    """
    # kopf asks for the name of the user; a container's user has a number only.
    os.environ.setdefault("LOGNAME", "intops")
    others = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=feed_registry(access, sink),
        settings=feed_settings(),
        memories=_NoMemories(),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=list(namespaces),
    )
    take_signals()
    await kopf.run_tasks(tasks, ignored=others)
