"""The admission endpoint and reviews that no API server would send: forged, cut off, mutated."""

from __future__ import annotations

import json
import logging
import random
import ssl
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, TCPConnector

from intops_operator.admission.server import PATH, AdmissionServer
from intops_operator.cache import Cache
from support.certificates import new_authority
from support.conformance import manifests
from support.fuzz.values import damaged, mutated

pytestmark = pytest.mark.component

FORGED = 600


def reviews() -> list[dict[str, Any]]:
    """A sound review of every manifest of the catalogue and the first example."""
    return [
        {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "5d3c1a9e",
                "kind": {"group": "intops.io", "version": "v1alpha1", "kind": raw["kind"]},
                "operation": "CREATE",
                "object": raw,
                "oldObject": None,
            },
        }
        for raw in manifests()
    ]


@pytest.fixture
async def endpoint(tmp_path: Path) -> AsyncIterator[tuple[ClientSession, str]]:
    """A session that trusts the endpoint, and its address. It knows catalogue and first example."""
    cache = Cache()
    for raw in manifests():
        cache.take(raw["kind"], raw)
    signer = new_authority()
    server = AdmissionServer(cache, lambda: True, deadline_s=3.5)
    await server.start("127.0.0.1", 0, signer.server_context(tmp_path))
    trust = ssl.create_default_context(cadata=signer.pem)
    async with ClientSession(connector=TCPConnector(ssl=trust)) as session:
        yield session, f"https://127.0.0.1:{server.port}{PATH}"
    await server.stop()


async def test_no_forged_review_makes_the_endpoint_fail(
    endpoint: tuple[ClientSession, str], seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    """S-52: It answers with a verdict or says what is wrong; never with an error of its own, or a traceback."""
    session, address = endpoint
    draw = random.Random(seed)
    sound = reviews()
    wrong = []
    caplog.set_level(logging.ERROR)
    for _ in range(FORGED):
        forged = json.dumps(mutated(draw.choice(sound), draw), default=str).encode()
        body = damaged(forged, draw) if draw.random() < 0.2 else forged
        async with session.post(address, data=BytesIO(body)) as answer:
            said = await answer.text()
            code = json.loads(said)["response"].get("status", {}) if answer.status == 200 else {}
            if answer.status not in {200, 400, 413} or code.get("code", 403) >= 500:
                wrong.append((answer.status, said[:300], body[:300]))

    assert wrong == []
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


async def test_every_sound_review_is_allowed(endpoint: tuple[ClientSession, str]) -> None:
    """The control: what the forgeries are made from is judged, and is right."""
    session, address = endpoint
    for review in reviews():
        async with session.post(address, json=review) as answer:
            response = (await answer.json())["response"]

        assert (answer.status, response["allowed"]) == (200, True), response
