"""Runs the helpdesk simulator as a process of its own and drives its faults, for tests.

Used by component and fault tests. Looks like `RequestTracker` to a test: `url`, `token`, `tickets`,
`ticket`, `history`, `stop`, `start`; and has `faults`, `ledger` and `kill` besides.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import httpx

from support.peers.desk import TicketDesk
from support.peers.process import Peer, PeerError

TESTS = Path(__file__).resolve().parents[2]
TOKEN_VARIABLE = "HELPDESK_TOKEN"


class HelpdeskSimulator(Peer):
    """The simulated desk; its tickets and ledger survive `stop()`, `kill()` and `start()`.

    Args:
        vices: `all`, `none`, or names with commas; see `desk_rest.VICES`.
        bind, port: See `Peer`.
        token: The accepted token; a new one if empty.
    """

    name: ClassVar[str] = "helpdesk"

    def __init__(
        self, *, vices: str = "all", bind: str = "127.0.0.1", port: int = 0, token: str = ""
    ) -> None:
        super().__init__(bind=bind, port=port)
        self.token = token or f"1-27-{secrets.token_hex(16)}"
        self.password = secrets.token_hex(18)
        self._vices = vices
        self.data = self.workdir / "helpdesk.jsonl"

    def command(self) -> list[str]:
        """Return the command line; the token goes by the environment."""
        return [
            sys.executable,
            "-m",
            "support.simulators.helpdesk",
            *("--host", self.bind, "--port", str(self.port)),
            *("--data", str(self.data), "--vices", self._vices, "--password", self.password),
        ]

    def environment(self) -> dict[str, str]:
        """Return the token and where the package is."""
        path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
        return {TOKEN_VARIABLE: self.token, "PYTHONPATH": path.rstrip(os.pathsep)}

    def is_ready(self) -> bool:
        """Say whether it answers."""
        return self.answers("/_sim/faults")

    def set_faults(self, **settings: Any) -> None:
        """Change fault settings, such as `hang_after_next=3`; the others stay.

        Raises:
            PeerError: A name or a value is wrong.
        """
        answer = httpx.post(f"{self.url}/_sim/faults", json=settings, timeout=10.0)
        if answer.status_code != 200:
            raise PeerError(answer.json()["message"])

    def clear_faults(self) -> None:
        """Return to no faults."""
        httpx.delete(f"{self.url}/_sim/faults", timeout=10.0).raise_for_status()

    def faults(self) -> dict[str, Any]:
        """Return the settings, with what is left of each `…_next`."""
        answer: dict[str, Any] = httpx.get(f"{self.url}/_sim/faults", timeout=10.0).json()
        return answer

    def ledger(self, *, entries: bool = True) -> dict[str, Any]:
        """Return every write and what became of it, read past all faults.

        `{count, tickets, outcomes: {op.outcome: n}, tickets_by_key: {key: n}, duplicates: {key:
        [ids]}, entries: [{at, op, ticket, key, status, outcome, done}]}`.
        """
        params = {} if entries else {"entries": "no"}
        answer = httpx.get(f"{self.url}/_sim/ledger", params=params, timeout=30.0)
        view: dict[str, Any] = answer.raise_for_status().json()
        return view

    def accept_tokens(self, tokens: Sequence[str]) -> None:
        """Replace the accepted tokens; an empty list refuses everybody. Not kept at a restart."""
        httpx.put(f"{self.url}/_sim/tokens", json=list(tokens), timeout=10.0).raise_for_status()

    def tickets(self, query: str = "id > 0") -> list[dict[str, Any]]:
        """Return the tickets that match a TicketSQL query; see `TicketDesk.tickets`."""
        return self._desk().tickets(query)

    def ticket(self, ticket_id: int) -> dict[str, Any]:
        """Return one ticket; see `TicketDesk.ticket`."""
        return self._desk().ticket(ticket_id)

    def history(self, ticket_id: int) -> list[dict[str, Any]]:
        """Return what happened to a ticket; see `TicketDesk.history`."""
        return self._desk().history(ticket_id)

    def _desk(self) -> TicketDesk:
        return TicketDesk(self.url, {"Authorization": f"token {self.token}"})
