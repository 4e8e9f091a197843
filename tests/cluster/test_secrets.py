"""Credentials that are rotated, and that are missing in every way: on a real kubelet, under load."""

from __future__ import annotations

import secrets
import time

import httpx
import pytest

from support.cluster.onenode import OneNode
from support.cluster.polling import until
from support.cluster.scenario import FIRING, SOURCE_TOKEN
from support.cluster.tenants import DESK_SECRET, SOURCE_SECRET, Tenant, tenant

pytestmark = [pytest.mark.cluster, pytest.mark.peers]

USED_WITHIN_S = 120.0
"""Longest time until a changed Secret is used (design section 3)."""
ROTATIONS = {"short": 3, "full": 200}
WAYS = {"short": ("deleted", "another key"), "full": ("deleted", "empty", "another key") * 5}


def answer_to(found: Tenant, token: str) -> int:
    """Status of the answer to a webhook without alerts; 0 if nobody answers."""
    headers = {"Authorization": f"Bearer {token}", "Connection": "close"}
    try:
        url = found.capture_url()
        return httpx.post(url, json={**FIRING, "alerts": []}, headers=headers).status_code
    except httpx.TransportError:
        return 0


def uses(found: Tenant, name: str) -> int:
    """How often the worker has said that it uses other values of a Secret."""
    logged = found.cluster.kubectl.run(
        "logs", "-n", found.space, found.pods()[0]["metadata"]["name"]
    )
    return sum("a secret changed" in line and name in line for line in logged.splitlines())


def test_f71_rotated_credentials_are_used_without_a_restart_and_no_event_fails(
    operators: OneNode, fault_runs: str
) -> None:
    """F71: new values within 120 s, by kubelet alone and at once; the old one is good as long as it is named."""
    with tenant(operators, "rotated") as found, found.sender() as sender:
        pods, took_s = found.lives(), []
        for number in range(ROTATIONS[fault_runs]):
            before, after = sender.token, f"source-{number}"
            # Each twentieth waits for kubelet's own period; for the others it looks at once.
            took_s.append(_rotated(found, before, after, at_once=number % 20 > 0))
            sender.token = after
            found.write_secret(SOURCE_SECRET, token=sender.token)
            sender.await_more(1)
        sender.stop()
        print(f"used after {took_s[0]:.1f} s by itself, {max(took_s[1:]):.1f} s at most when told")
        assert max(took_s) < USED_WITHIN_S
        assert set(sender.answers) == {200}, sender.answers
        assert found.lives() == pods
        found.await_agreement()


def _rotated(found: Tenant, before: str, after: str, *, at_once: bool) -> float:
    """Change both credentials with an overlap; seconds until the worker uses both."""
    desk_before, desk_after = found.desk.token, secrets.token_hex(16)
    found.desk.accept_tokens([desk_before, desk_after])
    said, began = uses(found, DESK_SECRET), time.monotonic()
    both = {"token": after, "token.previous": before}
    found.write_secret(SOURCE_SECRET, at_once=False, **both)
    found.write_secret(DESK_SECRET, at_once=at_once, token=desk_after)
    until(
        lambda: answer_to(found, after) == 200 and uses(found, DESK_SECRET) > said,
        "both new credentials to be used", timeout_s=USED_WITHIN_S, every_s=0.5,
    )  # fmt: skip
    took_s = time.monotonic() - began
    assert answer_to(found, before) == 200, "the old credential is good during the overlap"
    found.desk.accept_tokens([desk_after])
    found.desk.token = desk_after
    return took_s


def test_f71_without_the_previous_value_a_sender_of_the_old_one_is_refused(
    operators: OneNode,
) -> None:
    """F71: a rotation that names no previous value refuses who has not followed yet."""
    with tenant(operators, "rotated-at-once") as found:
        found.write_secret(SOURCE_SECRET, token="another")
        until(lambda: answer_to(found, "another") == 200, "the new credential to be used")
        assert answer_to(found, SOURCE_TOKEN) == 401


def test_f72_a_secret_that_is_missing_in_any_way_is_told_and_costs_no_event(
    operators: OneNode, fault_runs: str
) -> None:
    """F72: not there yet, deleted, empty, of another key: 503 and never 401, and deliveries are held."""
    with tenant(operators, "secretless", secrets=False) as found:
        _told(found, f'Secret "{SOURCE_SECRET}"', "does not exist")
        until(lambda: answer_to(found, SOURCE_TOKEN) == 503, "a sender to be told to come again")
        found.write_secrets()
        found.look_at_volumes()
        found.await_ready()
        assert answer_to(found, "not-the-token") == 401, "a stranger is refused where a Secret is"

        pods = found.lives()
        with found.sender() as sender:
            for how in WAYS[fault_runs]:
                _break(found, DESK_SECRET, how)
                _told(found, f'Secret "{DESK_SECRET}"', how_it_is_said(how))
                sender.await_more(3)
                made = found.desk.ledger(entries=False)["count"]
                _break(found, SOURCE_SECRET, how)
                refused = sender.answers[503]
                until(
                    lambda was=refused: sender.answers[503] > was + 3, "senders to be told to wait"
                )
                _told(found, f'Secret "{SOURCE_SECRET}"', how_it_is_said(how))
                assert found.desk.ledger(entries=False)["count"] == made, (
                    "nothing goes out unproven"
                )
                found.write_secrets()
                found.look_at_volumes()
                found.await_ready()
                sender.await_more(1)
            sender.stop()
            assert sender.answers.keys() <= {200, 503}, sender.answers
            assert found.lives() == pods
            found.await_agreement()


def how_it_is_said(how: str) -> str:
    """What the status says of a Secret that is broken like this; nobody can see an empty one from within."""
    return 'lacks the key "token"' if how == "another key" else "does not exist"


def _break(found: Tenant, name: str, how: str) -> None:
    if how == "deleted":
        found.delete_secret(name)
    elif how == "empty":
        found.write_secret(name)
    else:
        found.write_secret(name, tokn="of no use")


def _told(found: Tenant, *words: str) -> None:
    """Wait until the condition names what is missing, and the summary with it."""

    def said() -> bool:
        told, ready = found.condition("CredentialsValid"), found.condition("Ready")
        return (
            told.get("reason") == ready.get("reason") == "SecretMissing"
            and all(word in told["message"] for word in words)
        )  # fmt: skip

    until(said, f"the status to say {words}", timeout_s=60, every_s=0.3,
          explain=lambda: str(found.condition("CredentialsValid")))  # fmt: skip
