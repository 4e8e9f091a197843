"""A system that quotes our credential when it refuses us does not make us repeat it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from intops_api.connector_class import Auth
from intops_runtime.core.classifying import Failure
from intops_runtime.core.compiled import compile_plan
from intops_runtime.core.exchanges import Facts, HttpRequest, HttpResponse
from intops_runtime.core.hiding import quotable, without
from intops_runtime.core.proving import credential_headers
from intops_runtime.target import Target
from support.runtime.flows import alerts_to_helpdesk

KEY = "k/1+2=secret"
SECRET = {
    "token": KEY, "user": "intops-user", "password": KEY, "allowedOrigins": "https://rt.example.com",
}  # fmt: skip
BEARER = Auth(scheme="bearer", key="token")
BASIC = Auth(scheme="basic", username_key="user", password_key="password")
HEADER = Auth(scheme="header", header="X-Key", prefix="key=", key="token")


@pytest.mark.parametrize("auth", [BEARER, BASIC, HEADER], ids=lambda auth: str(auth.scheme))
@pytest.mark.parametrize(
    "quoted",
    [
        KEY, "k%2F1%2B2%3Dsecret", f"Bearer {KEY}", f"key={KEY}",
        "Basic " + base64.b64encode(f"intops-user:{KEY}".encode()).decode(),
    ],
)  # fmt: skip
def test_s32_a_quoted_credential_is_masked_in_every_form_in_which_it_was_sent(
    auth: Auth, quoted: str
) -> None:
    """As it stands in the Secret, encoded for an address, and in the header of its scheme."""
    words = quotable(auth, SECRET, credential_headers(auth, SECRET))
    said = without(f"HTTP 422: no {quoted} here, {quoted}", words)

    assert KEY not in said
    if auth is BASIC or not quoted.startswith("Basic"):
        assert said.count("•••") == 2
        assert quoted not in said


def test_s32_what_helps_a_reader_is_not_masked() -> None:
    """The user's name, where the Secret may go, and words that are only short."""
    words = quotable(BASIC, {**SECRET, "token": "demo"}, {})
    text = "intops-user may not create demo at https://rt.example.com"

    assert without(text, words) == text


def test_s32_the_longer_of_two_secrets_is_masked_as_a_whole() -> None:
    """One that begins another leaves no rest of it."""
    words = quotable(BEARER, {"token": "secret", "token.previous": "secret-and-more"}, {})

    assert without("was secret-and-more", words) == "was •••"


class Quoting:
    """A client whose system refuses and quotes the credential and the record."""

    def __init__(self, status: int) -> None:
        self._status = status

    async def send(
        self, request: HttpRequest, credential: Mapping[str, str], *_: Any
    ) -> HttpResponse:
        """See Outbound."""
        words = f"{credential} may not write {request.body}" + " x" * 200
        return HttpResponse(self._status, {}, {"message": words})

    async def close(self) -> None:
        """See Outbound."""


@pytest.mark.parametrize("status", [400, 401, 403, 422, 429, 500, 503])
async def test_s32_what_a_system_quotes_reaches_neither_message_nor_status(status: int) -> None:
    """The failure and the gate, from which logs, store, report and status take their words."""
    compiled = compile_plan(alerts_to_helpdesk("https://rt.example.com")).targets["helpdesk"]
    target = Target(compiled, Quoting(status), lambda _: {"token": KEY}, on_gate=lambda *_: None)
    target.personal = ("Subject",)
    create = target.operation("create")
    assert create is not None
    record = {"Subject": "Jo Weatherby called", "Queue": "Payments", "CustomFields": {}}

    failure = await target.call(create, Facts({"queue": "Payments"}, record, "key"))

    assert isinstance(failure, Failure)
    for said in (failure.detail, str(failure.evidence()), target.gate.detail or ""):
        assert KEY not in said
        assert "Weatherby" not in said
