"""Questions to a worker on this machine, through the socket of its session.

Used by `get`, `messages`, `trace`, `explain message`, `review` and `audit`.
"""

from collections.abc import Sequence
from typing import Any

import httpx

from intops_cli.session import Session

TIMEOUT_S = 10.0
# A decision about a hundred thousand messages takes a while; the worker ends it whoever waits.
DECISION_TIMEOUT_S = 600.0
# A replay of ten thousand deliveries beside the worker's own work.
REPLAY_TIMEOUT_S = 300.0


class WorkerUnavailable(Exception):
    """No worker answers; the text says what to do."""


class Refused(Exception):
    """The API server or the worker said no; the text is its own sentence."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class WorkerClient:
    """One session's worker. `unanswered` is empty: where it does not answer, nobody does."""

    unanswered: Sequence[str] = ()

    def __init__(self, session: Session) -> None:
        self._session = session

    def ask(self, path: str, *, given: bytes | None = None, **query: Any) -> Any:
        """JSON answer of the worker; None where it knows nothing of that name.

        Raises:
            WorkerUnavailable: nobody answers.
            Refused: it does not take what was given.
        """
        params = {name: str(value) for name, value in query.items() if value is not None}
        if given is None:
            answer = self._send("GET", path, params=params)
        else:
            answer = self._send(
                "POST", path, timeout_s=REPLAY_TIMEOUT_S, params=params, content=given
            )
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if answer.status_code == httpx.codes.CONFLICT:
            raise Refused(_words(answer), answer.status_code)
        if answer.is_error:
            raise WorkerUnavailable(f"The worker could not answer: {_words(answer)}")
        return answer.json()

    def tell(self, path: str, body: dict[str, Any], **query: Any) -> dict[str, Any]:
        """JSON answer of the worker to a decision; `refused` says why it was not taken.

        Raises:
            WorkerUnavailable: nobody answers, or the store cannot be written.
        """
        params = {name: str(value) for name, value in query.items() if value is not None}
        answer = self._send("POST", path, timeout_s=DECISION_TIMEOUT_S, params=params, json=body)
        if answer.is_error and answer.status_code != httpx.codes.CONFLICT:
            raise WorkerUnavailable(f"The worker could not take it: {_words(answer)}")
        found: dict[str, Any] = answer.json()
        return found

    def _send(
        self, method: str, path: str, *, timeout_s: float = TIMEOUT_S, **parts: Any
    ) -> httpx.Response:
        transport = httpx.HTTPTransport(uds=str(self._session.socket))
        try:
            with httpx.Client(transport=transport, base_url="http://worker") as client:
                return client.request(method, path, timeout=timeout_s, **parts)
        except httpx.HTTPError as error:
            raise WorkerUnavailable(
                f"No worker answers from {self._session.root}. Start one with `intops run DIR`, "
                "or name its folder with --session."
            ) from error


def _words(answer: httpx.Response) -> str:
    """What the worker said in its own words, however it said them."""
    try:
        body = answer.json()
    except ValueError:
        return answer.text.strip()
    return str(body.get("refused", body)) if isinstance(body, dict) else str(body)
