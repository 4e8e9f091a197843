"""What the event loop has to complain about: file descriptors once a minute, everything else as ever."""

from __future__ import annotations

import asyncio
import errno
import logging

import pytest

from intops_runtime import logs


async def test_that_no_file_can_be_opened_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """The loop says it a thousand times a second, with the place in its own code."""
    loop = asyncio.get_running_loop()
    logs.quiet_about_files(loop)
    error = OSError(errno.EMFILE, "Too many open files")
    with caplog.at_level(logging.WARNING):
        for _ in range(1000):
            loop.call_exception_handler({"message": "socket.accept()", "exception": error})
    assert [record.getMessage()[:27] for record in caplog.records] == [
        "no more files can be opened"
    ]


async def test_other_troubles_of_the_loop_are_logged_as_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing is hidden."""
    loop = asyncio.get_running_loop()
    logs.quiet_about_files(loop)
    loop.call_exception_handler({"message": "other", "exception": ValueError("x")})
    assert [record.levelname for record in caplog.records] == ["ERROR"]
