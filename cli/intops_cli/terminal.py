"""Answers hold words of other systems: what would steer a terminal in them is written out instead of obeyed.

Used where the command line begins, and by `output` for YAML. Line ends, tabs and our own colours stay.
"""

import re
from typing import Any, Final, TextIO

# Control characters, and signs that turn the direction of writing or end a line somewhere else.
_STEERS: Final = re.compile(
    "\x1b\\[(?:0|3[123])m"  # our own colours, see `output`
    "|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)
_OURS: Final = re.compile("\x1b\\[(?:0|3[123])m")


def harmless(text: str) -> str:
    r"""The text with what steers a terminal written out.

    >>> harmless("a title\x1b[2J\x9b31m")
    'a title\\u001b[2J\\u009b31m'
    """
    return _STEERS.sub(_written_out, text)


def steers(text: str) -> bool:
    """Whether anything of the text is written out."""
    return harmless(text) != text


def _written_out(match: re.Match[str]) -> str:
    sign = match.group()
    if _OURS.fullmatch(sign):
        return sign
    return f"\\u{ord(sign):04x}"  # as JSON writes it, so that an answer in JSON stays one


class HarmlessStream:
    """A stream of text that writes only what is harmless."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """See TextIO."""
        return self._stream.write(harmless(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
