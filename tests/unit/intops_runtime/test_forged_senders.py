"""Senders that are not who they say: near misses of every kind, and proofs of one scheme shown as another."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
from collections.abc import Iterator

import pytest

from intops_api.connector_class import Verify
from intops_runtime.core.verifying import Proof, verify, verify_headers

SECRET = {"token": "t" * 40, "username": "am", "password": "p" * 39, "a": "k" * 40, "b": "k" * 40}
SCHEMES = {
    "bearer": Verify(scheme="bearer", key="token"),
    "basic": Verify(scheme="basic", username_key="username", password_key="password"),
    "sha256 in hex": Verify(scheme="hmac", key="a", header="X-Signature", prefix="sha256="),
    "sha256 in another header": Verify(scheme="hmac", key="b", header="X-Hub-Signature", prefix="v1="),
    "sha512 in hex": Verify(
        scheme="hmac", key="a", header="X-Signature", prefix="sha512=", algorithm="sha512"
    ),
    "sha256 in Base64": Verify(scheme="hmac", key="a", header="X-Signature", encoding="base64"),
}  # fmt: skip
BODY = b'{"alerts": [{"status": "firing", "labels": {"a": 1}}]}'


def proof_of(scheme: Verify) -> dict[str, str]:
    """Headers of a sender who knows the secret."""
    if scheme.scheme == "bearer":
        return {"authorization": f"Bearer {SECRET['token']}"}
    if scheme.scheme == "basic":
        pair = f"{SECRET['username']}:{SECRET['password']}".encode()
        return {"authorization": "Basic " + base64.b64encode(pair).decode()}
    digest = hmac.new(SECRET[scheme.key or ""].encode(), BODY, scheme.algorithm).digest()
    text = digest.hex() if scheme.encoding == "hex" else base64.b64encode(digest).decode()
    return {(scheme.header or "").lower(): scheme.prefix + text}


def mutated(text: str, draw: random.Random) -> str:
    """The text with one thing wrong."""
    at = draw.randrange(len(text))
    kinds = (
        lambda: text[:at] + chr(ord(text[at]) ^ (1 << draw.randrange(7))) + text[at + 1 :],
        lambda: text[:at],
        lambda: text[at:] if at else text[:-1],
        lambda: text[:at] + text[at] + text[at:],
        lambda: text.swapcase() if text.swapcase() != text else text[:-1],
        lambda: text[:at] + draw.choice("äß\u212a\uff11\udc80\x00\x7f") + text[at + 1 :],
        lambda: text + draw.choice("\x00=a") * draw.choice((1, 2, 65536)),
        lambda: "",
    )
    return draw.choice(kinds)()


def pair_in(text: str) -> bytes | None:
    """User and password of a basic header, None where there are none."""
    try:
        return base64.b64decode(text.partition(" ")[2], validate=True)
    except ValueError:
        return None


def forgeries(scheme: Verify, draw: random.Random, count: int) -> Iterator[dict[str, str]]:
    """Headers that are nearly right."""
    (name, text), *_ = proof_of(scheme).items()
    for _ in range(count):
        wrong = mutated(text, draw)
        # Case of the scheme's own word, and of hex digits that are none, is not part of the proof.
        if wrong.casefold().split() == text.casefold().split() or wrong.strip() == text.strip():
            continue
        if scheme.scheme == "basic" and pair_in(wrong) == pair_in(text):
            continue  # Base64 has several ways to write the same bytes
        yield {name: wrong}


@pytest.mark.parametrize("name", SCHEMES)
def test_s01_no_near_miss_of_a_proof_is_taken(name: str, seed: int) -> None:
    """Flipped bits, other lengths, other cases, other alphabets, 64 KiB: wrong each time, and never an error."""
    scheme = SCHEMES[name]
    draw = random.Random(f"{seed}/{name}")
    tried = 0
    for headers in forgeries(scheme, draw, 3000):
        tried += 1
        assert verify([scheme], SECRET, headers, BODY) is Proof.WRONG, headers
    assert tried > 1500
    assert verify([scheme], SECRET, proof_of(scheme), BODY) is Proof.GOOD


@pytest.mark.parametrize("name", [name for name in SCHEMES if name.startswith("sha")])
def test_s01_a_signature_is_worth_nothing_over_another_body(name: str, seed: int) -> None:
    """Each changed bit of the body, and the same JSON written differently."""
    scheme = SCHEMES[name]
    draw = random.Random(seed)
    others = {BODY.replace(b": ", b":"), BODY + b" ", b"", BODY[:-1]}
    for _ in range(500):
        changed = bytearray(BODY)
        changed[draw.randrange(len(BODY))] ^= 1 << draw.randrange(8)
        others.add(bytes(changed))
    for body in others:
        assert verify([scheme], SECRET, proof_of(scheme), body) is Proof.WRONG, body


@pytest.mark.parametrize("shown", SCHEMES)
@pytest.mark.parametrize("wanted", SCHEMES)
def test_s04_a_proof_of_one_scheme_is_none_of_another(shown: str, wanted: str) -> None:
    """Only the diagonal passes, also before the body is read."""
    headers = proof_of(SCHEMES[shown])
    good = shown == wanted

    assert (verify([SCHEMES[wanted]], SECRET, headers, BODY) is Proof.GOOD) is good
    early = verify_headers([SCHEMES[wanted]], SECRET, headers)
    assert early in ((None, Proof.GOOD) if good else (None, Proof.WRONG))


def test_s04_a_weaker_hash_is_not_known() -> None:
    """SHA-1, which some senders still send beside the other, is nothing that a class can ask for."""
    digest = hmac.new(SECRET["a"].encode(), BODY, hashlib.sha1).hexdigest()

    assert set(Verify.model_json_schema()["properties"]["algorithm"]["enum"]) == {
        "sha256",
        "sha512",
    }
    for headers in ({"x-signature": f"sha1={digest}"}, {"x-signature": f"sha256={digest}"}):
        assert verify([SCHEMES["sha256 in hex"]], SECRET, headers, BODY) is Proof.WRONG
