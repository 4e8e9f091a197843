"""Answers of a system that are nearly right, or not at all, as the bytes of a connection."""

from __future__ import annotations

import gzip
import json
import random
from functools import lru_cache

from support.fuzz.values import damaged, mutated

RECORD = {"id": "C1", "key": "k", "title": "t", "code": "no", "message": "m", "items": [{"id": 1}]}
_STATUSES = (
    *[201] * 8, 200, 200, 202, 204, 205, 206, 226, 299, 300, 301, 302, 303, 304, 307, 308, 399,
    400, 402, 404, 405, 406, 409, 410, 411, 413, 415, 417, 418, 421, 422, 424, 426, 431, 451, 499,
    408, 425, 429, 502, 503, 504,
)  # fmt: skip
_LINES = (
    b"Content-Type: application/json", b"Content-Type: text/html; charset=nope", b"Content-Type: \xff",
    b"Content-Encoding: gzip", b"Content-Encoding: br", b"Content-Encoding: deflate, gzip, gzip",
    b"Location: http://169.254.169.254/latest", b"Location: //\x00", b"Retry-After: -1",
    b"Retry-After: 1", b"Set-Cookie: a=b; Domain=.", b"ETag: \"" + b"a" * 4000 + b"\"", b"no colon at all",
    b": no name", b"X\0: a", b"X: a\0b", b"X: \xff\xfe", b"X: a\r\n folded", b"Connection: upgrade",
    b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: nonsense", b"Trailer: X", b"X-Long: " + b"y" * 70_000,
)  # fmt: skip


@lru_cache(maxsize=1)
def bomb() -> bytes:
    """Fifty million blanks in fifty thousand bytes."""
    return gzip.compress(b" " * 50_000_000, 9)


def answer(draw: random.Random) -> tuple[int, bytes]:
    """The status that an answer says (0 where it is hardly one), and all of its bytes."""
    status = draw.choice(_STATUSES)
    reason = draw.choice((b"OK", b"", b"\xff", b"a" * 300))
    body = _body(draw)
    lines = draw.sample(_LINES, draw.choice((0, 0, 1, 1, 2, 4)))
    if draw.random() < 0.1:
        lines += [b"X-%d: y" % number for number in range(draw.choice((50, 500, 10_000)))]
    size = len(body)
    framing, body = draw.choice(
        (
            (b"Content-Length: %d" % size, body),
            (b"Content-Length: %d" % size, body),
            (b"Content-Length: %d" % (size + 5), body),
            (b"Content-Length: %d" % max(0, size - 5), body),
            (b"Content-Length: " + draw.choice((b"-1", b"many", b"", b"9" * 400, b"1, 2")), body),
            (b"Transfer-Encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (size, body)),
            (b"Transfer-Encoding: chunked", b"zz\r\n" + body),
            (b"Transfer-Encoding: chunked", b"%x\r\n%s" % (size + 5, body)),
            (b"Connection: close", body),
        )
    )
    head = b"\r\n".join((b"HTTP/1.1 %d %s" % (status, reason), framing, *lines, b"", b""))
    if draw.random() < 0.15:
        return 0, damaged(head, draw) + body
    return status, head + body


def _body(draw: random.Random) -> bytes:
    whole = json.dumps(mutated(RECORD, draw)).encode()
    return draw.choice(
        (
            whole, whole, whole, damaged(whole, draw), whole.decode().encode("utf-16"), b"", b"null",
            b'{"id": "\xff\xfe"}', b'{"id": "\\ud800"}', b'{"id": ' + b"9" * 5000 + b"}", b"[" * 100_000,
            b"<html>Maintenance</html>", gzip.compress(whole), gzip.compress(whole)[:-9], bomb(),
            draw.randbytes(3000), b" " * 3_000_000,
        )
    )  # fmt: skip
