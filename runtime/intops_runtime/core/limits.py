"""Limits of one captured request: nesting depth and headers. Pure; called before anything is stored."""

import re
from collections.abc import Mapping
from functools import lru_cache

MAX_HEADERS = 100
MAX_HEADER_BYTES = 16 * 1024
# Only these are stored with a delivery: what variants and delivery ids may look at, never a credential.
KEPT_HEADERS = re.compile(r"^(content-type|user-agent|x-[a-z0-9-]+|ce-[a-z0-9-]+)$")
# Says of a stored delivery how it came; nobody outside may say it.
CAPTURED_BY = "x-intops-captured-by"
SECRET_HEADERS = re.compile(r"signature|token|key|secret|auth|cookie", re.IGNORECASE)

# Possessive, and content without an end is taken as a whole: a body of quotes costs one pass, not one
# a quote.
_STRING_OR_BRACKET = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)


def is_too_deep(body: bytes, limit: int) -> bool:
    """Whether JSON nests deeper than `limit`; text that is no JSON is judged by its brackets.

    Counting brackets is enough for nearly every body; only one with many is looked at more closely.

    >>> is_too_deep(b'{"a": [[["x]]"]]]}', 4)
    False
    """
    if body.count(b"{") + body.count(b"[") <= limit:
        return False
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(body):
        token = match[0]
        if token in (b"{", b"["):
            depth += 1
            if depth > limit:
                return True
        elif token in (b"}", b"]"):
            depth -= 1
    return False


def headers_too_large(headers: Mapping[str, str]) -> bool:
    """Whether there are more headers, or longer ones, than any sender needs."""
    if len(headers) > MAX_HEADERS:
        return True
    return sum(map(len, headers)) + sum(map(len, headers.values())) > MAX_HEADER_BYTES


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers that are stored with a delivery, names in lower case; none that may carry a secret."""
    return {name: readable(value) for name, value in headers.items() if _is_kept(name)}


# 1024: senders have a few dozen names of headers; strangers never come so far as to be asked here.
@lru_cache(maxsize=1024)
def _is_kept(name: str) -> bool:
    if name == CAPTURED_BY:
        return False
    return bool(KEPT_HEADERS.match(name)) and not SECRET_HEADERS.search(name)


def readable(value: str) -> str:
    """A header value that can be stored: bytes that are no UTF-8 become replacement characters.

    >>> readable("caf\udce9")
    'caf�'
    """
    if value.isascii():
        return value
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
