"""Requests to capture that are nearly right, as the bytes of a connection."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from support.fuzz.values import DEPTH, damaged, mutated


@dataclass(frozen=True, slots=True)
class Attack:
    """One connection: its bytes, and the body that they carry, where that can be told."""

    kind: str
    raw: bytes
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Door:
    """Where requests go: the path of a source binding, its token, and a delivery that is right."""

    path: str
    token: str
    sample: dict[str, Any]

    def head(self, *lines: bytes, start: bytes = b"") -> bytes:
        """A request's header; it asks that the connection be closed after the answer."""
        first = start or f"POST {self.path} HTTP/1.1".encode()
        token = b"Authorization: Bearer " + self.token.encode()
        return b"\r\n".join((first, b"Host: x", b"Connection: close", token, *lines, b"", b""))

    def whole(self, body: bytes, *lines: bytes) -> bytes:
        """A request whose length is true."""
        return self.head(b"Content-Length: %d" % len(body), *lines) + body

    def good(self, name: str) -> bytes:
        """The body of a delivery that is right, of an episode of its own."""
        alert = {**self.sample["alerts"][0], "fingerprint": name}
        return json.dumps({**self.sample, "alerts": [alert]}).encode()


def _json(door: Door, draw: random.Random) -> Attack:
    body = json.dumps(mutated(door.sample, draw)).encode()
    return Attack("changed JSON", door.whole(body), body)


def _bytes(door: Door, draw: random.Random) -> Attack:
    body = damaged(door.good("bytes"), draw)
    return Attack("changed bytes", door.whole(body), body)


def _deep(door: Door, draw: random.Random) -> Attack:
    opening, closing = draw.choice(((b"[", b"]"), (b'{"a":', b"}")))
    body = opening * DEPTH + b"1" + closing * draw.choice((DEPTH, DEPTH - 1, 0))
    if draw.random() < 0.5:
        body = door.good("deep").replace(b'"firing"', body, 1)
    return Attack("nested", door.whole(body), body)


def _repeated(door: Door, draw: random.Random) -> Attack:
    names = (b'"status"', b'"alerts"', b'"labels"', b'"fingerprint"', b'"startsAt"')
    name = draw.choice(names)
    body = door.good("twice").replace(
        name, name + b": " + draw.choice((b"1", b"{}")) + b", " + name
    )
    return Attack("a name twice", door.whole(body), body)


def _charset(door: Door, draw: random.Random) -> Attack:
    code = draw.choice(("utf-16", "utf-32", "utf-8-sig", "utf-7", "cp037", "latin-1"))
    text = door.good("charset").decode().replace("down", "d\\u00f6wn").replace("\\u00f6", "ö")
    body = text.encode(code)
    kind = draw.choice(
        (b"application/json; charset=utf-16", b"text/plain; charset=nope", b"\xff", b"")
    )
    return Attack("charset", door.whole(body, b"Content-Type: " + kind), body)


def _chunks(door: Door, draw: random.Random) -> Attack:
    body = door.good("chunks")
    raw, at = b"", 0
    while at < len(body):
        piece = body[at : at + draw.choice((1, 7, 300, 5000))]
        size = draw.choice((b"%x", b"%X", b"00%x", b"%x;a=b")) % len(piece)
        raw, at = raw + size + b"\r\n" + piece + b"\r\n", at + len(piece)
    raw += b"0\r\n\r\n"
    if draw.random() < 0.3:
        return Attack("chunks", door.head(b"Transfer-Encoding: chunked") + raw, body)
    wrong = (
        b"-5\r\n", b"zz\r\n", b"ffffffffffffffffff\r\n", b"0x5\r\nabcde\r\n", b"5\nabcde\n", b"5\r\nabc",
        b"5;" + b"a" * 20_000 + b"\r\n", b" 5 \r\nabcde\r\n", b"0\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
    )  # fmt: skip
    at = draw.randrange(len(raw))
    raw = draw.choice((damaged(raw, draw), draw.choice(wrong), raw[:at] + draw.choice(wrong)))
    return Attack("wrong chunks", door.head(b"Transfer-Encoding: chunked") + raw)


def _length(door: Door, draw: random.Random) -> Attack:
    body = door.good("length")
    said = draw.choice(
        (b"%d" % (len(body) - 1), b"%d" % (len(body) + 1), b"0", b"-1", b"+5", b"0x10", b"1e3", b"", b" ",
         b"9" * 19, b"9" * 400, b"5, 5", b"5, 6", b"1_0", b"\xd9\xa1", b"1.0")
    )  # fmt: skip
    lines = [b"Content-Length: " + said]
    if draw.random() < 0.4:
        lines += [draw.choice((lines[0], b"Content-Length: 7", b"Transfer-Encoding: chunked"))]
    return Attack("wrong length", door.head(*lines) + body)


def _truncated(door: Door, draw: random.Random) -> Attack:
    raw = door.whole(door.good("cut"))
    return Attack("cut off", raw[: draw.randrange(len(raw))])


def _headers(door: Door, draw: random.Random) -> Attack:
    body = door.good("headers")
    name = draw.choice((b"X-A", b"x", b"X" * 9000, b"X A", b"X\0", b"\xff", b"", b"Authorization"))
    value = draw.choice(
        (b"a", b"a" * 9000, b"a\0b", b"a\r\n b", b"\xff\xfe", b"", b"a\rb", b"a\nb")
    )
    line = name + draw.choice((b": ", b":", b" : ", b"")) + value
    lines = [line] * draw.choice((1, 2, 90, 300, 3000))
    if draw.random() < 0.4:
        lines += [
            draw.choice(
                (b"Expect: 100-continue", b"Expect: x", b"Content-Encoding: gzip", b"Upgrade: websocket",
                 b"Connection: upgrade", b"Transfer-Encoding: gzip", b"TE: trailers", b"Cookie: " + b"a;" * 3000)
            )
        ]  # fmt: skip
    return Attack("headers", door.whole(body, *lines))


def _line(door: Door, draw: random.Random) -> Attack:
    start = draw.choice(
        (
            damaged(f"POST {door.path} HTTP/1.1".encode(), draw),
            b"POST " + door.path.encode() + draw.choice((b"/", b"/1", b"%00", b"?a=%zz", b"#x", b"/" * 9000)),
            b"GET " + door.path.encode() + b"/" + b"9" * draw.choice((1, 18, 19, 400)) + b" HTTP/1.1",
            b"POST http://x" + door.path.encode() + b" HTTP/1.1",
            b"POST " + door.path.encode() + draw.choice((b"", b" HTTP/0.9", b" HTTP/2.0", b" HTTP/1.1 x")),
            b"PRI * HTTP/2.0",
            draw.randbytes(50),
        )
    )  # fmt: skip
    body = door.good("line")
    return Attack("first line", door.head(b"Content-Length: %d" % len(body), start=start) + body)


def _anything(door: Door, draw: random.Random) -> Attack:
    return Attack("changed request", damaged(door.whole(door.good("any")), draw))


MAKERS: tuple[Callable[[Door, random.Random], Attack], ...] = (
    _json, _json, _json, _bytes, _bytes, _deep, _repeated, _charset, _chunks, _length, _truncated,
    _headers, _line, _anything,
)  # fmt: skip


def attack(door: Door, draw: random.Random) -> Attack:
    """One request that is nearly right."""
    return draw.choice(MAKERS)(door, draw)
