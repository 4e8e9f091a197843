"""What other systems say steers no terminal and forges no line."""

from __future__ import annotations

import io
import json
import logging
import random
import sys
from collections.abc import Iterator
from typing import TextIO, cast

import pytest
import yaml

from intops_cli.output import Table, render, show
from intops_cli.terminal import HarmlessStream, harmless
from intops_operator.journal import JsonFormatter
from intops_runtime.logs import JsonLines

STEERING = [
    "\x1b[2J", "\x1b]0;title\x07", "\x1b]8;;http://evil.example.com\x1b\\", "\x9b31m", "\x9d0;x\x9c", "\x1bP+q\x1b\\",
    "a\rb", "a\x08\x08b", "\u202etxet", "\u2066x\u2069", "a\u2028b", "a\u0085b", "\x00", "\x7f", "\ufeff",
    "\x1b[8mhidden", "\x1b[1;31m", "\x1b[31mx\x1b[5m", "%s%n", "${jndi:ldap://x}", '"}\n{"event": "forged"}',
]  # fmt: skip
SAFE = set("\n\t") | {chr(sign) for sign in range(0x20, 0x7F)}


def texts(seed: int) -> Iterator[str]:
    """The list, and mixtures of it."""
    draw = random.Random(seed)
    yield from STEERING
    for _ in range(500):
        yield "".join(
            draw.choice([*STEERING, "word", "\n", "ä"]) for _ in range(draw.randrange(1, 9))
        )


@pytest.mark.parametrize("formatter", [JsonLines(), JsonFormatter()], ids=["worker", "operator"])
def test_s40_a_line_of_a_log_is_one_object_whatever_it_quotes(
    formatter: logging.Formatter, seed: int
) -> None:
    """One line, one JSON object, the same text in it, and nothing that a terminal obeys."""
    for text in texts(seed):
        record = logging.LogRecord("intops.x", logging.INFO, __file__, 1, "said", None, None)
        record.data = {"why": text, text: 1}
        line = formatter.format(record)

        assert set(line) - {"ä"} <= SAFE - set("\n\t"), repr(line)
        assert json.loads(line)["why"] == text
        assert json.loads(line)["event"] == "said"


def test_s40_an_answer_steers_no_terminal(seed: int) -> None:
    """Only our own colours are obeyed, line ends and tabs stay."""
    for text in texts(seed):
        shown = harmless(text)
        for colour in ("0", "31", "32", "33"):
            shown = shown.replace(f"\x1b[{colour}m", "")
        assert set(shown) - {"ä"} <= SAFE, repr(shown)
    coloured = render(Table(["A"], [["True"]]), colour=True)
    assert harmless(coloured) == coloured


def test_s40_an_answer_in_json_stays_json(seed: int) -> None:
    """Scripts read the same text, whatever signs it holds."""
    for text in texts(seed):
        printed = harmless(json.dumps({"title": text}, ensure_ascii=False, indent=2))
        assert json.loads(printed) == {"title": text}


def test_s40_an_answer_in_yaml_stays_yaml(seed: int) -> None:
    """The same for YAML, in names of fields too; marks of direction alone make no quotes of their own."""
    for text in ["a\u200eb", "\u200f", "x \u061c: y", *texts(seed)]:
        printed = io.StringIO()
        data = {"title": text, "more": [{text: text + " word" * 40}]}
        show(data, Table([], []), "yaml", stream=cast("TextIO", HarmlessStream(printed)))

        assert yaml.safe_load(printed.getvalue()) == data, repr(text)


def test_s40_what_is_readable_stays_as_it_is() -> None:
    """Words of any language."""
    text = "Störung – 障害 – отказ – 🚨\n\tzweite Zeile"
    assert harmless(text) == text


def test_s40_the_command_line_begins_with_it(capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever a command prints goes through; here a name that no rule knows."""
    from intops_cli.__main__ import main  # noqa: PLC0415  the entry point binds the streams of the test

    with pytest.raises(SystemExit):
        main(["explain", "rule", "X\x1b[2J-1"])

    out, err = capfd.readouterr()
    assert "\x1b" not in out + err
    assert "\\u001b[2J" in out + err
    assert sys.stdout.isatty() is False
