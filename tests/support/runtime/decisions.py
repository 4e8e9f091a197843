"""Decisions of people as a worker gets them: beside its plan, as the operator writes them there."""

from __future__ import annotations

from typing import Any


def decision(uid: str, action: str = "discard", **parts: Any) -> dict[str, Any]:
    """One decision."""
    return {
        "uid": uid, "action": action, "select": {"allInReview": True}, "reason": "a test",
        "actor": "alice@example.com", **parts,
    }  # fmt: skip
