"""What is exchanged with a system, as values: a request, an answer, what both are made from and what they mean.

Nothing here touches the network or a secret.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from intops_runtime.core.stepping import Step


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request as it goes out, without the credential. `body` is JSON-ready, or bytes as they are."""

    method: str
    url: str
    headers: dict[str, str]
    body: Any
    timeout_s: float


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One answer. `body` is parsed JSON, else text; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: Any

    def as_value(self) -> dict[str, Any]:
        """The `response` that expressions see."""
        return {"status": self.status, "headers": self.headers, "body": self.body}


@dataclass(frozen=True, slots=True)
class Facts:
    """Values that a request is made from."""

    config: Mapping[str, Any]
    record: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    link: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    personal: tuple[str, ...] = ()
    """What people are told of in `text`: masked where the system quotes it. No expression sees it."""
    step: Step | None = None
    """The way on that was chosen, where the operation has `steps`."""

    def names(self) -> dict[str, Any]:
        """What request expressions see."""
        return {
            "config": self.config,
            "record": self.record,
            "key": self.key,
            "link": self.link,
            "text": self.text,
            "step": self.step.names() if self.step is not None else {},
        }


@dataclass(frozen=True, slots=True)
class Found:
    """What an answer says about one record. `key` is the correlation key that the record carries."""

    native_id: str | None = None
    display_id: str | None = None
    url: str | None = None
    version: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that was written and reads back otherwise."""

    field: str
    wrote: Any
    reads: Any


class RequestError(Exception):
    """A request cannot be made from these values. `path` names the expression in the class."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path
        self.message = message
