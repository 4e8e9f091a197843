"""Whether a sender is who it says."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from intops_api.connector_class import Verify
from intops_runtime.core.verifying import (
    Proof,
    outdated_proof,
    previous_keys,
    verify,
    weak_keys,
)

BEARER = Verify(scheme="bearer", key="token")
BASIC = Verify(scheme="basic", username_key="username", password_key="password")
HMAC = Verify(scheme="hmac", key="shared", header="X-Signature", prefix="sha256=")
HMAC_512 = Verify(
    scheme="hmac", key="shared", header="X-Signature", algorithm="sha512", encoding="base64"
)
SECRET = {
    "token": "new", "token.previous": "old", "username": "am", "password": "pä:ss",
    "password.previous": "before", "shared": "s1", "shared.previous": "s0",
}  # fmt: skip
BODY = b'{"a": 1}'


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def signed(key: str, body: bytes = BODY) -> str:
    return "sha256=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


def judged(scheme: Verify, headers: dict[str, str], secret: dict[str, str] | None = None) -> Proof:
    return verify([scheme], SECRET if secret is None else secret, headers, BODY)


@pytest.mark.parametrize(
    ("text", "proof"),
    [
        ("Bearer new", Proof.GOOD), ("bearer  new ", Proof.GOOD), ("Bearer old", Proof.GOOD),
        ("Bearer ne", Proof.WRONG), ("Bearer neww", Proof.WRONG), ("Bearer ", Proof.WRONG),
        ("Basic new", Proof.WRONG), ("new", Proof.WRONG), ("", Proof.WRONG),
        ("Bearer n\udce9w", Proof.WRONG),
    ],
)  # fmt: skip
def test_a_bearer_token_is_the_current_or_the_previous_one(text: str, proof: Proof) -> None:
    """S-35: A token can be changed without losing a message, and nothing near it is good."""
    assert judged(BEARER, {"authorization": text}) is proof


def test_the_previous_token_ends_when_its_key_is_taken_away() -> None:
    """Changing a credential has an end."""
    assert judged(BEARER, {"authorization": "Bearer old"}, {"token": "new"}) is Proof.WRONG


@pytest.mark.parametrize(
    ("text", "proof"),
    [
        (basic("am:pä:ss"), Proof.GOOD), (basic("am:before"), Proof.GOOD),
        (basic("am:wrong"), Proof.WRONG), (basic("pm:pä:ss"), Proof.WRONG),
        (basic("am"), Proof.WRONG), (basic(":"), Proof.WRONG), ("Basic !!!", Proof.WRONG),
        ("Basic /w==", Proof.WRONG), ("Basic é", Proof.WRONG), ("", Proof.WRONG),
        (basic("am:pä:ss").replace("Basic", "Bearer"), Proof.WRONG),
    ],
)  # fmt: skip
def test_basic_needs_the_name_and_the_password(text: str, proof: Proof) -> None:
    """A password may hold colons and letters of any language; garbage is wrong, not an error."""
    assert judged(BASIC, {"authorization": text}) is proof


@pytest.mark.parametrize(
    ("text", "proof"),
    [
        (signed("s1"), Proof.GOOD), (signed("s0"), Proof.GOOD),
        (f"sha256=00, {signed('s1')}", Proof.GOOD), (signed("s2"), Proof.WRONG),
        (signed("s1", b'{"a":1}'), Proof.WRONG), (signed("s1").removeprefix("sha256="), Proof.WRONG),
        ("sha256=", Proof.WRONG), ("", Proof.WRONG),
    ],
)  # fmt: skip
def test_a_signature_is_over_the_bytes_that_came(text: str, proof: Proof) -> None:
    """S-01: The same JSON with other spaces has another signature; one good one of several suffices."""
    assert judged(HMAC, {"x-signature": text}) is proof


def test_a_signature_may_be_sha512_in_base64() -> None:
    """Senders differ in hash and in writing."""
    digest = hmac.new(b"s1", BODY, hashlib.sha512).digest()

    assert judged(HMAC_512, {"x-signature": base64.b64encode(digest).decode()}) is Proof.GOOD
    assert judged(HMAC_512, {"x-signature": digest.hex()}) is Proof.WRONG


@pytest.mark.parametrize(
    "secret", [None, {}, {"token": ""}, {"username": "am"}, {"token.previous": "old"}]
)
def test_without_a_key_nobody_can_be_told_from_anybody(secret: dict[str, str] | None) -> None:
    """The sender is told to come again, not that it is wrong; and nobody is let in."""
    headers = {"authorization": "Bearer old"}

    assert verify([BEARER, BASIC], secret, headers, BODY) is Proof.NOT_READY
    assert verify([BEARER, BASIC], secret, {"authorization": "Bearer "}, BODY) is Proof.NOT_READY


def test_any_one_scheme_suffices_and_only_those_with_keys_count() -> None:
    """A class that accepts both takes what its Secret can prove."""
    both = [BEARER, BASIC]

    assert verify(both, SECRET, {"authorization": "Bearer new"}, BODY) is Proof.GOOD
    assert verify(both, SECRET, {"authorization": basic("am:before")}, BODY) is Proof.GOOD
    only_basic = {"username": "am", "password": "p"}
    assert verify(both, only_basic, {"authorization": "Bearer new"}, BODY) is Proof.WRONG


def test_a_class_that_accepts_nothing_lets_nobody_in() -> None:
    """No scheme is no proof."""
    assert verify([], SECRET, {}, BODY) is Proof.NOT_READY


@pytest.mark.parametrize(
    ("scheme", "right", "wrong"),
    [
        (BEARER, {"authorization": "Bearer new"}, {"authorization": "Bearer xxx"}),
        (BASIC, {"authorization": basic("am:pä:ss")}, {"authorization": basic("xx:yy")}),
        (HMAC, {"x-signature": signed("s1")}, {"x-signature": signed("s2")}),
    ],
    ids=["bearer", "basic", "hmac"],
)
def test_a_right_and_a_wrong_credential_cost_the_same_comparisons(
    scheme: Verify, right: dict[str, str], wrong: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """S-02: How long an answer takes does not tell how near a guess was."""
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def counting(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return real(a, b)

    monkeypatch.setattr(hmac, "compare_digest", counting)

    assert judged(scheme, right) is Proof.GOOD
    for_right = len(compared)
    assert judged(scheme, wrong) is Proof.WRONG

    assert for_right > 1
    assert len(compared) == 2 * for_right


LONG, SHORT = "x" * 32, "x" * 31
ALL = [BEARER, BASIC, HMAC]


@pytest.mark.parametrize(
    ("secret", "weak"),
    [
        ({"token": LONG}, []), ({"token": SHORT}, ["token"]), ({"token": "ä" * 16}, []),
        ({"shared": LONG}, []), ({"shared": "s"}, ["shared"]),
        ({"username": "am", "password": LONG}, []),
        ({"username": "am", "password": "p"}, ["password"]),
        ({"token": LONG, "token.previous": "old"}, ["token.previous"]),
        ({"token": "new", "token.previous": "old"}, ["token", "token.previous"]),
        ({"token": LONG, "shared": "s"}, ["shared"]),
        ({"password": "nobody proves with it"}, []), ({"token.previous": "nor with this"}, []),
        ({"token": LONG, "apiToken": "ours", "allowedOrigins": "x"}, []), ({"token": ""}, []), ({}, []),
    ],
)  # fmt: skip
def test_s15_what_proves_a_sender_is_weak_below_32_bytes(
    secret: dict[str, str], weak: list[str]
) -> None:
    """Every value that is good now counts, the previous one too; names of users and our own tokens do not."""
    assert weak_keys(ALL, secret) == weak


@pytest.mark.parametrize(
    ("headers", "needed"),
    [
        ({"authorization": "Bearer new"}, []), ({"authorization": "Bearer old"}, ["token.previous"]),
        ({"authorization": basic("am:pä:ss")}, []),
        ({"authorization": basic("am:before")}, ["password.previous"]),
        ({"x-signature": signed("s1")}, []), ({"x-signature": signed("s0")}, ["shared.previous"]),
        ({"x-signature": f"{signed('s0')}, {signed('s1')}"}, []),
        (
            {"authorization": "Bearer old", "x-signature": signed("s0")},
            ["shared.previous", "token.previous"],
        ),
        ({"authorization": "Bearer old", "x-signature": signed("s1")}, []),
        ({"authorization": "Bearer wrong"}, []),
    ],
)  # fmt: skip
def test_s15_it_is_known_whose_proof_needs_a_previous_value(
    headers: dict[str, str], needed: list[str]
) -> None:
    """Whoever would be kept out without it; a sender that has the new one too needs nothing."""
    assert outdated_proof(ALL, SECRET, headers, BODY) == needed
    assert verify(ALL, {k: v for k, v in SECRET.items() if k not in needed}, headers, BODY) is (
        Proof.GOOD
        if verify(ALL, SECRET, headers, BODY) is Proof.GOOD and not needed
        else Proof.WRONG
    )


def test_a_previous_value_without_a_current_one_proves_nobody() -> None:
    """So nobody is told that it is still good."""
    assert previous_keys(ALL, {"token.previous": "old"}) == []
    assert previous_keys(ALL, SECRET) == ["password.previous", "shared.previous", "token.previous"]
    assert outdated_proof(ALL, {"token": "new"}, {"authorization": "Bearer new"}, BODY) == []
