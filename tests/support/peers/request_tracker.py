"""Runs a real Request Tracker 5 on a database of its own.

Used by component, cluster and fault tests as the ITSM that alerts become tickets in.
"""

from __future__ import annotations

import base64
import shutil
from pathlib import Path
from typing import Any, ClassVar, Self

from support.peers.desk import TicketDesk
from support.peers.process import Peer, PeerError, require_binary
from support.peers.rt_fixture import (
    CREATE_TOKEN,
    REMEDY,
    REVOKE_TOKEN,
    SERVER,
    Fixture,
    fixture,
    run_perl,
    site_environment,
    write_site,
)


class RequestTracker(Peer):
    """Request Tracker with queues `Incidents` and `Payments` and a user `intops`.

    Custom fields of both queues: `intops_key`, `Service`, `Node` (free text) and `Severity` (a
    choice). The database lives as long as the object: `stop()` and `start()` play an outage.

    Args:
        bind, port: See `Peer`. Links in answers carry this address.
        workers: Requests served at once.
    """

    name: ClassVar[str] = "request-tracker"

    def __init__(self, *, bind: str = "127.0.0.1", port: int = 0, workers: int = 2) -> None:
        self._starman = require_binary("starman", remedy=REMEDY)
        self._fixture: Fixture = fixture()
        super().__init__(bind=bind, port=port)
        self._workers = workers
        shutil.copyfile(self._fixture.database, self.workdir / "rt.sqlite")

    @property
    def token(self) -> str:
        """A token of `intops` that exists from the start; send `Authorization: token …`."""
        return self._fixture.token

    def prepare(self) -> None:
        """Write the configuration for this address."""
        write_site(self.workdir, host=self.bind, port=self.port)

    def command(self) -> list[str]:
        """Return the command line of the web server."""
        return [
            self._starman,
            "--preload-app",
            "--workers",
            str(self._workers),
            "--host",
            self.bind,
            "--port",
            str(self.port),
            "--access-log",
            str(self._access_log),
            SERVER,
        ]

    def environment(self) -> dict[str, str]:
        """Return what points RT at this folder."""
        return site_environment(self.workdir)

    def is_ready(self) -> bool:
        """Say whether REST answers; without credentials it answers 401."""
        return self.answers("/REST/2.0/rt", status=401)

    def create_token(self, description: str = "test") -> str:
        """Make another token for `intops`, as a person would on RT's page; takes about 1.5 s."""
        return run_perl(CREATE_TOKEN, description, folder=self._site())

    def revoke_token(self, token: str | None = None) -> None:
        """Make a token worthless at once; without an argument the one from the start.

        Raises:
            PeerError: There is no such token.
        """
        run_perl(REVOKE_TOKEN, folder=self._site(), secret=token or self.token)

    def reset(self) -> Self:
        """Stop, forget every ticket and token made since the start, and start again."""
        self.stop()
        for leftover in self.workdir.glob("rt.sqlite*"):
            leftover.unlink()
        shutil.copyfile(self._fixture.database, self.workdir / "rt.sqlite")
        return self.start()

    def tickets(self, query: str = "id > 0") -> list[dict[str, Any]]:
        """Return the tickets that match a TicketSQL query; see `TicketDesk.tickets`."""
        return self._desk().tickets(query)

    def ticket(self, ticket_id: int) -> dict[str, Any]:
        """Return one ticket; see `TicketDesk.ticket`."""
        return self._desk().ticket(ticket_id)

    def history(self, ticket_id: int) -> list[dict[str, Any]]:
        """Return what happened to a ticket; see `TicketDesk.history`."""
        return self._desk().history(ticket_id)

    def requests(self, status: int | None = None) -> int:
        """Return how many requests were answered since the folder was made.

        Args:
            status: Count only answers of this status, such as 401 for a token that is refused.
        """
        # Combined log format: address, two names, [time], "request", status, ...
        answered = self._access_log.read_text(errors="replace").splitlines()
        return sum(status is None or f'" {status} ' in line for line in answered)

    @property
    def _access_log(self) -> Path:
        return self.workdir / "access.log"

    def _desk(self) -> TicketDesk:
        # As root: a test that revoked the token still wants to look.
        login = base64.b64encode(f"root:{self._fixture.root_password}".encode()).decode()
        return TicketDesk(self.url, {"Authorization": f"Basic {login}"})

    def _site(self) -> Path:
        if not (self.workdir / "RT_SiteConfig.pm").exists():
            raise PeerError("request-tracker was never started; call start() first.")
        return self.workdir
