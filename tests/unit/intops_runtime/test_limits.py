"""What a request may be at most before it is stored, and which headers are stored with it."""

from __future__ import annotations

import time

import pytest

from intops_runtime.core.limits import (
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    headers_too_large,
    is_too_deep,
    kept_headers,
)

LIMIT = 4


@pytest.mark.parametrize(
    ("body", "deep"),
    [
        (b"[" * 4 + b"]" * 4, False),
        (b"[" * 5 + b"]" * 5, True),
        (b'{"a":' * 5 + b"1" + b"}" * 5, True),
        (b"[]" * 50, False),
        (b'["[[[[[[[["]', False),
        (b'["\\"[[[[[[[["]', False),
        (b'["a\\\\", [[[[1]]]]]', True),
        (b"[[[[[ no json", True),
        (b"", False),
    ],
    ids=[
        "as deep as allowed", "one deeper", "maps count", "many side by side", "brackets in a text",
        "after an escaped quote", "after an escaped backslash", "no JSON", "empty",
    ],
)  # fmt: skip
def test_depth_is_what_nests_outside_of_texts(body: bytes, deep: bool) -> None:
    """S-09: A sender cannot hide depth, and a text full of brackets is no depth."""
    assert is_too_deep(body, LIMIT) is deep


@pytest.mark.parametrize(
    "tail",
    [b'"' + b'\\"' * 200_000, b'"' * 400_001, b'"' + b"\\\n" * 200_000],
    ids=["escaped quotes", "quotes", "escaped line ends"],
)
def test_a_text_without_an_end_costs_no_more_than_another(tail: bytes) -> None:
    """One body made for it must not stop the worker: it is read once, not once a quote."""
    started = time.process_time()

    assert not is_too_deep(b"[]" * (LIMIT + 1) + tail, LIMIT)

    # About 10 ms here; reading once a quote takes minutes.
    assert time.process_time() - started < 2.0


def test_headers_are_limited_in_number_and_in_size() -> None:
    """S-19: No sender needs more, and each costs memory before it is known who it is."""
    assert not headers_too_large({f"h{i}": "" for i in range(MAX_HEADERS)})
    assert headers_too_large({f"h{i}": "" for i in range(MAX_HEADERS + 1)})
    assert not headers_too_large({"h": "x" * (MAX_HEADER_BYTES - 1)})
    assert headers_too_large({"h": "x" * MAX_HEADER_BYTES})


def test_no_header_with_a_credential_is_stored() -> None:
    """S-32: What variants may look at is kept; what proves a sender is not."""
    given = {
        "content-type": "application/json", "user-agent": "Alertmanager/0.25", "ce-type": "alert",
        "x-github-event": "issues", "authorization": "Bearer s", "cookie": "s", "x-api-key": "s",
        "x-hub-signature-256": "s", "x-gitlab-token": "s", "x-auth-user": "s", "host": "h",
    }  # fmt: skip

    kept = kept_headers(given)

    assert set(kept) == {"content-type", "user-agent", "ce-type", "x-github-event"}
    assert kept["user-agent"] == "Alertmanager/0.25"
