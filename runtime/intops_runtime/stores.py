"""Opens the store that a plan names: a file in the worker's own volume, or a PostgreSQL database.

Called by the worker when a plan is loaded. Plans that name the same Secret share its connections.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial

from intops_api.common import duration_s
from intops_api.plan import FlowPlan
from intops_runtime.edges.store.base import Store
from intops_runtime.edges.store.postgres import PostgresStore
from intops_runtime.edges.store.postgres_access import access_from
from intops_runtime.edges.store.postgres_server import Server
from intops_runtime.edges.store.sqlite import open_store
from intops_runtime.settings import Settings

# Domain reference 3.1, class 7; the Pattern's defaults usually say the same.
REVIEW_DUE_WITHIN = "8h"


class Stores:
    """Every store of a worker. `secret` reads a mounted Secret by its name."""

    def __init__(
        self, settings: Settings, secret: Callable[[str | None], Mapping[str, str] | None]
    ) -> None:
        self._settings = settings
        self._secret = secret
        self._servers: dict[str, Server] = {}
        self._users: dict[str, int] = {}

    async def open(self, plan: FlowPlan, *, on_fatal: Callable[[str], None]) -> Store:
        """The store of a plan.

        Raises:
            StoreError: the file cannot be used; with a sentence. A database is never refused here: it says
                in its report what it lacks, and is tried again.
        """
        review_due_s = duration_s(plan.review.due_within or REVIEW_DUE_WITHIN)
        namespace, flow = plan.flow.namespace, plan.flow.name
        if plan.store.postgres is None:
            return await open_store(
                self._settings.data / f"{namespace}.{flow}" / "store.sqlite",
                now=time.time(),
                review_due_s=review_due_s,
                allow_volatile=self._settings.allow_volatile,
                on_fatal=on_fatal,
            )
        name = plan.store.postgres.secret_name
        return PostgresStore(
            self._use(name),
            namespace=namespace,
            flow=flow,
            name=self._settings.name,
            review_due_s=review_due_s,
            on_close=partial(self._done_with, name),
        )

    def _use(self, secret_name: str) -> Server:
        self._users[secret_name] = self._users.get(secret_name, 0) + 1
        if secret_name not in self._servers:
            self._servers[secret_name] = Server(
                lambda: access_from(secret_name, self._secret(secret_name))
            )
        return self._servers[secret_name]

    async def _done_with(self, secret_name: str) -> None:
        self._users[secret_name] -= 1
        if not self._users[secret_name]:
            await self._servers.pop(secret_name).close()
