"""Expressions: what they give, and what they say when they cannot."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from intops_core.expressions import (
    EvaluationError,
    ExpressionError,
    activation,
    compile_expression,
)

MESSAGE = {
    "a": "x",
    "count": 3,
    "labels": {"instance": "db01:9100", "sev": "bad"},
    "list": ["p"],
    "nothing": None,
}


def evaluate(source: str, **values: Any) -> Any:
    names = values or {"object": MESSAGE}
    return compile_expression(source, frozenset(names)).evaluate(activation(names))


def refusal(source: str) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(source, frozenset({"object", "payload"}))
    return caught.value


def failure(source: str) -> EvaluationError:
    with pytest.raises(EvaluationError) as caught:
        evaluate(source)
    return caught.value


@pytest.mark.parametrize(
    ("source", "value"),
    [
        pytest.param('object.labels.instance.split(":")[0]', "db01", id="text is split"),
        pytest.param('"A b".lowerAscii().replace(" ", "-")', "a-b", id="text is rewritten"),
        pytest.param('["a", "b"].join(",")', "a,b", id="list is joined"),
        pytest.param("object.?q.orValue(7)", 7, id="optional field has a fallback"),
        pytest.param('{"a": 1}[?object.a].orValue(0)', 0, id="table literal has a fallback"),
        pytest.param("timestamp(0)", "1970-01-01T00:00:00Z", id="time is RFC 3339 in UTC"),
        pytest.param(
            'timestamp("2026-01-01T02:00:00.25+02:00")',
            "2026-01-01T00:00:00.25Z",
            id="zone becomes UTC",
        ),
        pytest.param('duration("1m30.5s")', "90.5s", id="duration is text"),
        pytest.param('duration("-90s")', "-90s", id="negative duration is text"),
        pytest.param("[timestamp(0), {1: 2u}]", ["1970-01-01T00:00:00Z", {"1": 2}], id="nested"),
        pytest.param("object.nothing", None, id="null is null"),
        pytest.param('object.a == "y" ? "other" : null', None, id="null mixes with text"),
        pytest.param('object.a == "x" ? "null" : null', "null", id="the text null is no null"),
        pytest.param('sha256("")', "e3b0c44298fc1c149afbf4c8996fb924", id="hash has 32 digits"),
        pytest.param(
            'percentDecode("Pr%C3%A4ge%20100%")', "Präge 100%", id="header in percent codes"
        ),
        pytest.param('size("ÿ")', 1, id="length is in characters"),
    ],
)
def test_an_expression_gives_plain_json(source: str, value: Any) -> None:
    """Times, durations and numbers of an expression come out as JSON has them."""
    result = evaluate(source)

    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("source", "words", "missing"),
    [
        pytest.param("object.nope", 'field "nope" is missing', True, id="missing field"),
        pytest.param('object["nope"]', 'field "nope" is missing', True, id="missing entry"),
        pytest.param('{"a": 1}[object.labels.sev]', 'no entry "bad"', False, id="unlisted value"),
        pytest.param("object.count / 0", "divides by zero", False, id="division"),
        pytest.param('object.count < "2"', "string(…)", False, id="types do not meet"),
        pytest.param("object.a ? 1 : 2", "not a boolean", False, id="condition is text"),
        pytest.param("object.list[3]", "has 1 elements", False, id="position"),
        pytest.param('{"x": b"a"}', "bytes", False, id="bytes in a map"),
        pytest.param("0.0 / 0.0", "JSON does not have", False, id="not a number"),
        pytest.param('object.a.matches("(")', "regular expression", False, id="bad pattern"),
    ],
)
def test_a_failing_expression_says_why(source: str, words: str, missing: bool) -> None:
    """An error at run time is never a value; only a field that is not there counts as missing."""
    error = failure(source)

    assert words in error.message
    assert error.missing is missing


@pytest.mark.parametrize(
    ("source", "place", "words"),
    [
        pytest.param("objct.a", (1, 6), 'Did you mean "object"?', id="near name"),
        pytest.param("object.a.lowerASCII()", (1, 20), "lowerAscii", id="near function"),
        pytest.param("object.a ==", (1, 12), "ends too early", id="unfinished"),
        pytest.param('"abc', (1, 1), "not closed", id="open quote"),
        pytest.param("object.a b", (1, 10), '"b" is not expected', id="stray word"),
        pytest.param('object.a\n  == (1 + "b")', (2, 9), "Convert one of them", id="second line"),
        pytest.param("true ? null : nul", (1, 15), '"nul" is not known', id="after a null"),
        pytest.param('true ? 1 : "a"', (1, 6), "an integer and a string", id="two kinds of result"),
    ],
)
def test_an_error_in_an_expression_has_a_place_and_a_hint(
    source: str, place: tuple[int, int], words: str
) -> None:
    """Line and column count from 1 in the text that the person wrote."""
    error = refusal(source)

    assert (error.line, error.column) == place
    assert words in error.message
    assert str(error).startswith(f"{place[0]}:{place[1]}: ")


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("+".join(['"a"'] * 40), id="long chain"),
        pytest.param("".join(f"object.a == '{n}' ? {n} : " for n in range(40)) + "0", id="ladder"),
        pytest.param("(" * 40 + "1" + ")" * 40, id="brackets"),
    ],
)
def test_a_ladder_of_conditions_is_sent_to_a_table(source: str) -> None:
    """Whoever meets the limit of nesting is told about `values` tables."""
    assert '"values" table' in refusal(source).message


@pytest.mark.parametrize("source", ['b"a"', "type(1)", "object.?a", "optional.none()"])
def test_a_result_that_json_lacks_is_refused_at_once(source: str) -> None:
    """Where the type is known before any message comes, so is the error."""
    assert refusal(source).message


def test_an_endless_expression_is_stopped() -> None:
    """S-55: Loops in loops end with a sentence after 10,000 steps."""
    numbers = "[" + ",".join(["1"] * 100) + "]"
    source = f"{numbers}.all(a, {numbers}.all(b, {numbers}.all(c, true)))"

    assert "10,000 steps" in failure(source).message


@pytest.mark.parametrize(
    "value",
    [2**64, -(2**63) - 1, "\ud800", (1, 2), {1.5: 1}],
    ids=lambda value: type(value).__name__,
)
def test_what_cel_cannot_hold_is_an_error_and_shows_no_value(value: Any) -> None:
    """A value outside JSON's usual range ends in a sentence that does not repeat it."""
    with pytest.raises(EvaluationError) as caught:
        evaluate("object.secret", object={"secret": value})

    assert "18446744073709551616" not in caught.value.message


def test_nulls_in_results_do_not_wear_out_the_interpreter() -> None:
    """The engine forgets to count None; before Python 3.12 a worker would abort in minutes."""
    program = compile_expression('[null, {"a": object.z}, object]', frozenset({"object"}))
    scope = activation({"object": {"z": None, "deep": [None]}})
    program.evaluate(scope)
    before = sys.getrefcount(None)
    for _ in range(2000):
        program.evaluate(scope)

    assert sys.getrefcount(None) > before - 1000


def test_threads_share_programs() -> None:
    """One compiled expression answers eight threads, each with its own message."""
    program = compile_expression("object.n * 2", frozenset({"object"}))

    def double(number: int) -> int:
        return int(program.evaluate(activation({"object": {"n": number}})))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(double, range(2000))) == [n * 2 for n in range(2000)]


def test_an_expression_is_compiled_once() -> None:
    """The same text over the same names is the same program."""
    names = frozenset({"object"})

    assert compile_expression("object.a", names) is compile_expression("object.a", names)


EVIL_PATTERNS = [
    "(a+)+$", "([a-zA-Z]+)*$", "(a|aa)+$", "(a|a?)+$", "(.*a){20}$", "^(([a-z])+.)+[A-Z]([a-z])+$", "(x+x+)+y",
    "(a*)*b", "((a+)+)+b", "(?:a?){30}a{30}",
]  # fmt: skip


@pytest.mark.parametrize("pattern", EVIL_PATTERNS)
def test_s56_no_pattern_takes_long(pattern: str) -> None:
    """RE2 looks at each sign once; with Python's own engine each of these would run for years."""
    text = "a" * 5000 + "!"
    began = time.process_time()
    for _ in range(10):
        evaluate(f"object.text.matches('{pattern}')", object={"text": text})
    assert time.process_time() - began < 5.0


@pytest.mark.parametrize("pattern", ["(a)\\\\1", "(?=a)b", "(?<!a)b", "(?>a)", "a++"])
def test_s56_what_needs_another_engine_is_an_error(pattern: str) -> None:
    """Back references and look-around are refused, not handed on."""
    with pytest.raises((ExpressionError, EvaluationError)):
        evaluate(f"object.a.matches('{pattern}')")


ESCAPES = [
    "object.__class__", "object.__dict__", "object['__class__']", "object.a.__class__.__mro__", "''.__class__",
    "__import__('os')", "eval('1')", "open('/etc/passwd')", "os.environ", "object.format(object)", "import os",
    "[].constructor", "object.constructor.constructor('x')", "secrets.token", "credentials", "env.HOME", "self",
    "globals()", "type(object).__subclasses__()", "lambda: 1", "`id`", "${7*7}", "{{7*7}}", "%x", "record.secret",
]  # fmt: skip


@pytest.mark.parametrize("source", ESCAPES)
def test_s57_nothing_around_an_expression_is_within_its_reach(source: str) -> None:
    """It is refused, or finds no such field: no attribute of Python, no file, no variable, no Secret."""
    try:
        program = compile_expression(source, frozenset({"object", "payload"}))
    except ExpressionError:
        return
    try:
        found = program.evaluate(activation({"object": MESSAGE, "payload": {}}))
    except EvaluationError:
        return
    assert found is None or isinstance(found, bool | int | str), found
    assert "class" not in str(found)
