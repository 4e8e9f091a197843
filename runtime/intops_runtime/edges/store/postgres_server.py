"""A bounded set of connections to one PostgreSQL server, and transactions on them.

Shared by the plans of a worker whose stores are in the same place. Every error of the server becomes one
that says what to do; a server that is away is asked again later and later, at most every five seconds.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, TypeVar

import asyncpg

from intops_runtime.edges.store import postgres_settings as settings
from intops_runtime.edges.store.base import StoreAway, StoreError, StoreFull
from intops_runtime.edges.store.postgres_access import Access

MAX_CONNECTIONS: Final = 4
TURN_TIMEOUT_S: Final = 10.0
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
TRIES: Final = 4

# Nothing of the transaction is there, and it may well pass the next time.
_AGAIN: Final = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)
# The transaction's own mistake; it says nothing about the server.
_MISTAKES: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.exceptions.DatatypeMismatchError,
    asyncpg.PostgresSyntaxError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
)
_LOST: Final = (
    asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError,
)  # fmt: skip

T = TypeVar("T")
Connection = Any
"""An `asyncpg.Connection`; the package has no types."""


class Server:
    """Connections to one server; `access` is asked at every new one."""

    def __init__(self, access: Callable[[], Access]) -> None:
        self._access = access
        self._idle: list[Connection] = []
        self._turns = asyncio.Semaphore(MAX_CONNECTIONS)
        self._pause_s = 0.0
        self._away_until = 0.0
        self._away: str | None = None
        self._closed = False
        self.place = "PostgreSQL"
        """Server and database, for people."""

    async def transact(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run `work` in one transaction; returns its result once the commit is proven.

        Deadlocks and the like are tried again, so `work` must have no effect but on the database.

        Raises:
            StoreFull: the server has no room.
            StoreAway: nothing was written, or it is not known whether it was.
        """
        for attempt in range(1, TRIES + 1):
            try:
                async with self._connection() as connection:
                    await connection.execute(settings.BEGIN)
                    result = await work(connection)
                    await self._commit(connection)
                    return result
            except _AGAIN as error:
                if attempt == TRIES:
                    words = f"{self.place}: {type(error).__name__} again and again; see who holds locks there."
                    raise StoreAway(words) from error
                await asyncio.sleep(random.uniform(0.005, 0.05) * attempt)
        raise AssertionError("the last attempt returns or raises")

    async def ask(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run `work` on a connection without a transaction; for what only reads."""
        async with self._connection() as connection:
            return await work(connection)

    async def close(self) -> None:
        """Give connections back; those in use end with their transaction."""
        self._closed = True
        idle, self._idle = self._idle, []
        for connection in idle:
            with contextlib.suppress(*_LOST):
                await connection.close(timeout=2.0)

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """A connection for one use; whatever goes wrong on it, it is not used again."""
        try:
            async with asyncio.timeout(TURN_TIMEOUT_S):
                await self._turns.acquire()
        except TimeoutError as error:
            raise StoreAway(f"{self.place}: every connection is busy; see its load.") from error
        connection: Connection = None
        try:
            connection = await self._take()
            yield connection
        except BaseException as error:
            if connection is not None:
                await self._give_up(connection, error)
            if isinstance(error, (*_AGAIN, *_MISTAKES, StoreError)) or not isinstance(error, _LOST):
                raise
            raise self._translate(error) from error
        else:
            self._give_back(connection)
        finally:
            self._turns.release()

    async def _take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        if self._away is not None and time.monotonic() < self._away_until:
            raise StoreAway(self._away)
        access = self._access()
        self.place = access.place
        try:
            connection = await asyncpg.connect(**access.arguments)
        except (*_LOST, ValueError) as error:
            self._pause_s = min(max(self._pause_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
            self._away_until = time.monotonic() + self._pause_s * random.uniform(0.5, 1.0)
            self._away = str(self._translate(error))
            raise StoreAway(self._away) from error
        self._pause_s, self._away = 0.0, None
        return connection

    def _give_back(self, connection: Connection) -> None:
        if self._closed or connection.is_closed():
            connection.terminate()
        else:
            self._idle.append(connection)

    async def _give_up(self, connection: Connection, error: BaseException) -> None:
        """Roll back where the server has merely refused something, else drop the connection."""
        if isinstance(error, (*_AGAIN, *_MISTAKES)) and not connection.is_closed():
            try:
                await connection.execute("ROLLBACK")
            except _LOST:
                connection.terminate()
            else:
                self._give_back(connection)
            return
        connection.terminate()
        if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
            # The server became a standby: its other connections lead to the wrong place too.
            idle, self._idle = self._idle, []
            for other in idle:
                other.terminate()

    async def _commit(self, connection: Connection) -> None:
        """Commit, and take nothing for committed that the server does not vouch for."""
        warnings: list[str] = []

        def note(_: Connection, message: Any) -> None:
            if message.severity_en == "WARNING":
                warnings.append(message.message)

        connection.add_log_listener(note)
        try:
            status = await connection.execute(settings.COMMIT)
        finally:
            connection.remove_log_listener(note)
        if status != "COMMIT" or warnings:
            # Such as a wait for the standby that somebody has cancelled.
            raise StoreAway(
                f"{self.place}: the server did not confirm a commit; it is tried again."
            )

    def _translate(self, error: BaseException) -> StoreError:
        """What an error of the server or of the network means, in a sentence without a secret."""
        kind = type(error).__name__
        match error:
            case asyncpg.DiskFullError():
                return StoreFull(f"{self.place}: the server's disk is full; give it more room.")
            case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
                words = "it refuses the user or the password; correct the Secret."
            case asyncpg.InvalidCatalogNameError():
                words = "there is no such database; make it, or correct the Secret."
            case asyncpg.InsufficientPrivilegeError():
                words = (
                    "the user may not do what a store needs; let it own the schema intops, or give it "
                    "CREATE on the database once."
                )
            case asyncpg.LockNotAvailableError():
                words = "somebody holds locks on its tables; see pg_locks there. It is asked again."
            case asyncpg.TooManyConnectionsError():
                words = "it takes no more connections; raise max_connections, or use a pooler."
            case (
                asyncpg.ReadOnlySQLTransactionError()
                | asyncpg.exceptions.TargetServerAttributeNotMatched()
            ):
                words = "this server is a standby; name the one that takes writes."
            case asyncpg.CannotConnectNowError() | asyncpg.AdminShutdownError():
                words = "the server is starting or stopping; it is asked again."
            case ConnectionRefusedError():
                words = "nobody listens there; it is asked again."
            case TimeoutError() | asyncpg.QueryCanceledError():
                words = "the server did not answer in time; it is asked again."
            case _:
                words = f"the server cannot be used ({kind}); it is asked again."
        return StoreAway(f"{self.place}: {words}")
