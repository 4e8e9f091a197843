"""How an attempt reads in `intops trace` and `intops explain message`."""

from __future__ import annotations

from typing import Any

import pytest

from intops_cli.attempt_lines import attempt_lines

AT = "2026-11-25T10:00:00Z"


def attempt(**known: Any) -> dict[str, Any]:
    """An attempt as the console gives it."""
    evidence: dict[str, Any] = known.pop("evidence", {})
    shown = {"rule": evidence.get("rule"), "detail": evidence.get("detail"), "evidence": evidence}
    return {"step": "create", "intentAt": AT, "outcome": None, "errorClass": None, **shown, **known}


SILENCE = {"rule": "transport:timeout", "detail": "desk gave no answer", "status": 504}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (attempt(), "no outcome yet"),
        (attempt(outcome="ok", evidence={"record": "#1"}), "ok; record: #1"),
        (
            attempt(errorClass="timeout", evidence=SILENCE),
            "no outcome yet, timeout by transport:timeout (desk gave no answer)",
        ),
        (
            attempt(
                outcome="absent",
                errorClass="timeout",
                evidence={**SILENCE, "lookup": "nothing found"},
            ),
            "absent, timeout by transport:timeout (desk gave no answer); lookup: nothing found",
        ),
        (attempt(outcome="mismatch", evidence={"differs": ["a", "b"]}), "mismatch; differs: a, b"),
    ],
    ids=["being sent", "plain success", "not known yet", "looked up", "not kept"],
)
def test_an_attempt_says_how_it_ended_and_why_that_was_not_known(
    given: dict[str, Any], words: str
) -> None:
    """The class, the rule that decided, what the system said, and what was found out later."""
    assert list(attempt_lines([given])) == [f"attempt create at {AT}: {words}"]
