"""Runs a real PostgreSQL server with a cluster of its own, for the store that replicas share.

Used by component and fault tests. It can be stopped in order, stopped at once (`crash`) and started again
on the same data.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from pathlib import Path
from typing import ClassVar

from support.peers.process import Peer, require_binary, run_tool

REMEDY = "Install it with: apt-get install postgresql."
ACCOUNT = "postgres"
"""Whose processes they are where the suite runs as root: the server refuses that."""

VERSIONS = Path("/usr/lib/postgresql")


def binaries() -> list[str]:
    """Folders of server programs, newest first; Debian keeps them out of PATH."""
    found = [path for path in VERSIONS.glob("*/bin") if path.parent.name.isdigit()]
    return [str(p) for p in sorted(found, key=lambda p: int(p.parent.name), reverse=True)]


class PostgreSQL(Peer):
    """One server with the database and the superuser `intops`.

    Args:
        settings: Server settings beside the product's defaults, such as `{"fsync": "off"}`.
        data: Where the cluster lies below `workdir`; a test may mount a volume above it.
        bind, port: See `Peer`.
    """

    name: ClassVar[str] = "postgresql"
    user: ClassVar[str] = "intops"

    def __init__(
        self,
        settings: dict[str, str] | None = None,
        *,
        data: str = "data",
        bind: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        folders = binaries()
        self._initdb = require_binary("initdb", remedy=REMEDY, search=folders)
        self._server = require_binary("postgres", remedy=REMEDY, search=folders)
        self._is_ready = require_binary("pg_isready", remedy=REMEDY, search=folders)
        self._psql = require_binary("psql", remedy=REMEDY, search=folders)
        super().__init__(bind=bind, port=port)
        self.settings = settings or {}
        self.password = secrets.token_hex(18)
        self._data = self.workdir / data

    @property
    def dsn(self) -> str:
        """Address with user and password."""
        return f"postgresql://{self.user}:{self.password}@{self.bind}:{self.port}/{self.user}"

    @property
    def secret(self) -> dict[str, str]:
        """The Secret that a Flow names."""
        return {
            "host": self.bind, "port": str(self.port), "database": self.user,
            "user": self.user, "password": self.password, "sslmode": "disable",
        }  # fmt: skip

    def prepare(self) -> None:
        """Make the cluster before the first start."""
        if self._data.exists():
            return
        if os.geteuid() == 0:
            account = pwd.getpwnam(ACCOUNT)
            for folder in (self.workdir, self._data.parent):
                os.chown(folder, account.pw_uid, account.pw_gid)
        word = self.workdir / "password"
        word.write_text(self.password, encoding="utf-8")
        shutil.chown(word, *([ACCOUNT, ACCOUNT] if os.geteuid() == 0 else [os.getuid()]))
        run_tool(
            [
                *_as_account(), self._initdb, "-D", str(self._data), "-U", self.user, "-E", "UTF8",
                "--locale=C", "--auth=scram-sha-256", f"--pwfile={word}", "--no-instructions",
            ],
            cwd=self.workdir,
        )  # fmt: skip
        if self.bind != "127.0.0.1":
            # Pods come from addresses of their own.
            with (self._data / "pg_hba.conf").open("a", encoding="utf-8") as rules:
                rules.write("host all all 0.0.0.0/0 scram-sha-256\n")

    def command(self) -> list[str]:
        """The server itself; it becomes the account without a process in between."""
        wanted = {
            "listen_addresses": self.bind,
            "port": str(self.port),
            "unix_socket_directories": "",
            "shared_buffers": "64MB",
            "max_connections": "60",
            **self.settings,
        }
        given = [part for name, value in wanted.items() for part in ("-c", f"{name}={value}")]
        return [*_as_account(), self._server, "-D", str(self._data), *given]

    def is_ready(self) -> bool:
        """Whether it takes connections; makes the database at the first start."""
        asked = [self._is_ready, "-q", "-h", self.bind, "-p", str(self.port)]
        if subprocess.run(asked, check=False).returncode != 0:
            return False
        if not self._started_once:
            self.sql(f"CREATE DATABASE {self.user}", database="postgres")
        return True

    def stop(self) -> None:
        """Stop in order without waiting for clients; what is committed is checkpointed."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """Stop at once, as `pg_ctl stop -m immediate`: the next start recovers from the log."""
        self._end(signal.SIGQUIT)

    def close(self) -> None:
        """Stop at once and remove the cluster."""
        self.crash()
        super().close()

    def sql(self, statement: str, *, database: str = "intops") -> str:
        """Run SQL and return its rows, columns parted by `|`.

        Raises:
            PeerError: The server refused it.
        """
        return run_tool(
            [
                self._psql, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.bind,
                "-p", str(self.port), "-U", self.user, "-d", database, "-f", "-",
            ],
            cwd=self.workdir,
            environment={"PGPASSWORD": self.password},
            given=statement,
        ).strip()  # fmt: skip


def _as_account() -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--init-groups", "--"]


class PostgresStandby(PostgreSQL):
    """A copy of a running server that follows it, and takes its place when it is promoted."""

    name: ClassVar[str] = "postgresql-standby"

    def __init__(self, primary: PostgreSQL) -> None:
        super().__init__()
        self._basebackup = require_binary("pg_basebackup", remedy=REMEDY, search=binaries())
        self._primary = primary
        self.password = primary.password
        self._started_once = True  # its database comes with the copy

    def prepare(self) -> None:
        """Copy the primary before the first start."""
        if self._data.exists():
            return
        if os.geteuid() == 0:
            account = pwd.getpwnam(ACCOUNT)
            os.chown(self.workdir, account.pw_uid, account.pw_gid)
        run_tool(
            [
                *_as_account(), self._basebackup, "-D", str(self._data), "-R", "-X", "stream",
                "-c", "fast", "-d", self._primary.dsn,
            ],
            cwd=self.workdir,
        )  # fmt: skip

    def promote(self) -> None:
        """Make it take writes."""
        self.sql("SELECT pg_promote()")
