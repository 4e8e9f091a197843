"""Ports for the servers of tests, of which no two processes are given the same one.

A server that is killed and started again, as many tests do it, leaves its port free for a moment. Whoever is given
a port has it until its process ends, or until it was given many more.
"""

from __future__ import annotations

import fcntl
import functools
import os
import random
import socket
from collections import deque
from typing import Final

from support.cluster import paths

_DRAWN: Final = range(10_000, 32_768)
"""Below the ports that Linux gives to outgoing connections: one of those would soon be somebody else's."""
_KEPT: Final = 5000

_mine: deque[int] = deque()


def free_port(bind: str) -> int:
    """Return a TCP port that is free on `bind` and that nobody else is given while this process lives."""
    while True:
        port = random.SystemRandom().choice(_DRAWN)
        if port in _mine or not _take(port):
            continue
        with socket.socket() as probe:
            try:
                probe.bind((bind, port))
            except OSError:
                _let_go(port)
                continue
        _mine.append(port)
        if len(_mine) > _KEPT:
            _let_go(_mine.popleft())
        return port


def _take(port: int) -> bool:
    """Lock one byte of a file that all processes of this user share; the system lets go of it at their end."""
    try:
        fcntl.lockf(_book(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def _let_go(port: int) -> None:
    fcntl.lockf(_book(), fcntl.LOCK_UN, 1, port)


@functools.cache
def _book() -> int:
    paths.cache().mkdir(parents=True, exist_ok=True)
    return os.open(paths.cache() / "ports", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
