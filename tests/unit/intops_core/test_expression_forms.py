"""Expressions as closures: whatever they give, the engine gives too."""

import json
import random
from typing import Any

import pytest

from intops_core.catalog import shipped
from intops_core.expression_forms import IN_DOUBT
from intops_core.expression_values import result
from intops_core.expressions import (
    EvaluationError,
    ExpressionError,
    Program,
    activation,
    compile_expression,
)

NAMES = frozenset({"o", "p"})
FIELDS = ("a", "b", "c", "labels", "x y")
SCALARS = (
    None, True, False, 0, 1, 2, -1, 3, 2**63 - 1, -(2**63), 2**63, 2**53 + 1, 0.0, 1.0, -0.0, 2.5,
    1e300, 9007199254740992.0, "", "a", "b", "ab", "a:b", "É a", " \u00a0a\u2003\x1c", "true", "1",
)  # fmt: skip
LEAVES = (
    "o", "p", "o.a", "o.b", "o.c", "p.a", "o.labels", "o.labels.a", "o.labels.b", "p.b.c",
    'o["a"]', "o.`x y`", "o.b[0]", "o.a[o.c]", "null", "true", "false", "1", "2", "-1", "2.5",
    '""', '"a"', '"a:b"', "dyn(1)", "dyn(1.0)", '["a", "b"]', "[1, 2.0]", "[]", '{"a": 1, "b": "x"}',
    "has(o.a)", "has(o.labels.b)", "has(p.b.c)", '"a" in o', '"a" in o.labels', 'o.a in ["a", "b"]',
    "o.a in o.b", 'o.?a.orValue("z")', "o.?labels.a.orValue(null)", "o.labels[?o.a].orValue(1)",
    '{"a": 1}[?o.a].orValue(0)', "o.?labels.?b.hasValue()", 'o.?labels[?"a"].orValue(o.c)',
)  # fmt: skip
# {} is an expression of its own each time.
SHAPES = (
    *(f"({{}} {sign} {{}})" for sign in ("==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "&&", "||", "in")),
    *(f"({{}}).{name}({{}})" for name in ("startsWith", "endsWith", "contains", "split", "join")),
    *(f"({{}}).{name}()" for name in ("lowerAscii", "upperAscii", "trim", "join", "size")),
    *(f"(type({{}}) == {kind})" for kind in ("string", "list", "map", "bool", "double", "null_type")),
    *(f"({{}}).{loop}(e, e == {{}})" for loop in ("filter", "exists", "all")),
    "({} ? {} : {})", "!({})", "-({})", "string({})", "int({})", "sha256({})",
    "percentDecode({})", "has(({}).a)", "({}).a",
    "({})[{}]", '({}).replace({}, "-")', "({}).substring({})", "({}).substring(0, {})",
    "({}).?a.orValue({})", "[{}, {}]", '{{"k": {}, "l": {}, ?"m": o.?a}}', "({}).map(e, [e, {}])",
    "({}).all(e, e.a == {})", "({} + {} + {})", "({} && {} || {})",
)  # fmt: skip


def _expression(draw: random.Random, depth: int) -> str:
    if depth == 0 or draw.random() < 0.25:
        return draw.choice(LEAVES)
    shape = draw.choice(SHAPES)
    return shape.format(*(_expression(draw, depth - 1) for _ in range(shape.count("{}"))))


def _value(draw: random.Random, depth: int) -> Any:
    kind = draw.random()
    if depth == 0 or kind < 0.45:
        return draw.choice(SCALARS)
    if kind < 0.65:
        return [_value(draw, depth - 1) for _ in range(draw.randrange(4))]
    return _object(draw, depth)


def _object(draw: random.Random, depth: int) -> dict[str, Any]:
    return {name: _value(draw, depth - 1) for name in FIELDS if draw.random() < 0.75}


def test_a_form_gives_what_the_engine_gives(seed: int) -> None:
    """Random expressions over random JSON: a value of the form is the engine's, with its exact type."""
    draw = random.Random(seed)
    sure = 0
    for _ in range(2500):
        source = _expression(draw, 3)
        try:
            program = compile_expression.__wrapped__(source, NAMES)
        except ExpressionError:
            continue
        if program.form is None:
            continue
        for _ in range(12):
            o = _object(draw, 3) if draw.random() < 0.85 else _value(draw, 3)
            names = {"o": o, "p": _value(draw, 2)}
            gives, found = _by_form(program, names)
            if gives:
                sure += 1
                expected = program.by_engine(activation(names))
                assert _exact(found) == _exact(expected), f"{source} over {names}"
    assert sure > 1000


def _exact(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _by_form(program: Program, names: dict[str, Any]) -> tuple[bool, Any]:
    assert program.form is not None
    try:
        return True, result(program.form(names))
    except IN_DOUBT:
        return False, None


@pytest.mark.parametrize(
    ("source", "value"),
    [
        pytest.param('o.a + "/" + o.b', "x/y", id="texts in a row"),
        pytest.param('o.t == "x" ? o.a : null', None, id="choice"),
        pytest.param('"instance" in o.m ? o.m.instance.split(":")[0] : "unknown"', "n1", id="part"),
        pytest.param("has(o.m.q) && o.m.q.size() > 3", False, id="guarded"),
        pytest.param('o.l.filter(e, e.name == "k")[0].v', 7, id="found in a list"),
        pytest.param('o.l.exists(e, e.name.contains("k"))', True, id="exists"),
        pytest.param('{"highlow": 50}[?o.h + o.lo].orValue(0)', 50, id="table"),
        pytest.param('{"data": {"a": o.a, ?"q": o.?q, ?"b": o.?b}}', {"data": {"a": "x", "b": "y"}}, id="body"),
        pytest.param("o.n in [400, 415, 422]", True, id="one of several"),
        pytest.param('o.n == 415 && type(o.l) == list', True, id="type"),
        pytest.param("9223372036854775806 + o.one", 2**63 - 1, id="largest integer"),
    ],
)  # fmt: skip
def test_expressions_of_the_common_kind_need_no_engine(source: str, value: Any) -> None:
    """What Mappings and classes usually say runs as a closure, and gives what it should."""
    o = {
        "a": "x", "b": "y", "t": "z", "m": {"instance": "n1:9100"}, "n": 415, "h": "high", "lo": "low",
        "l": [{"name": "j"}, {"name": "k", "v": 7}], "one": 1,
    }  # fmt: skip
    program = compile_expression(source, NAMES)

    assert _by_form(program, {"o": o, "p": {}}) == (True, value)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("o.q", id="missing field"),
        pytest.param("9223372036854775807 + o.one", id="overflow"),
        pytest.param("-9223372036854775808 - o.one", id="underflow"),
        pytest.param("o.one + o.half", id="integer and double"),
        pytest.param("o.one ? 1 : 2", id="condition of a number"),
        pytest.param("o.one && true", id="number as a boolean"),
        pytest.param("o.l[-1]", id="position before the list"),
        pytest.param("o.l[5]", id="position after the list"),
        pytest.param("o.a.substring(3)", id="after the text"),
        pytest.param('o.a.split(o.one)', id="text by a number"),
        pytest.param("o.l.a", id="field of a list"),
    ],
)  # fmt: skip
def test_what_fails_is_left_to_the_engine(source: str) -> None:
    """Errors have the engine's words, because a form gives none of its own."""
    o = {"a": "x", "one": 1, "half": 0.5, "l": [1]}
    program = compile_expression(source, NAMES)
    scope = activation({"o": o, "p": {}})

    assert _by_form(program, {"o": o, "p": {}}) == (False, None)
    with pytest.raises(EvaluationError) as by_engine:
        program.by_engine(scope)
    with pytest.raises(EvaluationError) as found:
        program.evaluate(scope)
    assert (found.value.message, found.value.missing) == (
        by_engine.value.message,
        by_engine.value.missing,
    )


def test_an_error_that_the_other_side_absorbs_is_no_error() -> None:
    """`a || b` is true where one side is, even if the other fails; the engine decides such cases."""
    scope = activation({"o": {}, "p": {}})

    assert compile_expression("o.q == 1 || true", NAMES).evaluate(scope) is True
    assert compile_expression("o.q == 1 && false", NAMES).evaluate(scope) is False


def test_a_result_shares_nothing_with_the_message() -> None:
    """Who changes a result changes no message."""
    message = {"a": {"list": [1, {"b": 2}]}}
    found = compile_expression("[o.a, o.a.list]", NAMES).evaluate(activation({"o": message}))
    found[0]["list"][1]["b"] = found[1][0] = "changed"

    assert message == {"a": {"list": [1, {"b": 2}]}}


def test_nearly_every_shipped_expression_has_a_form() -> None:
    """The classes and Mappings of the catalogue pay for the engine only when a message is odd."""
    everything = [text for raw in shipped() for text in _expressions(raw["spec"])]
    names = frozenset(
        {"object", "payload", "headers", "now", "event", "incident", "record", "key", "link",
         "config", "text", "step", "request", "response", "item", "endpoint", "also"}
    )  # fmt: skip
    without = [text for text in everything if compile_expression(text, names).form is None]

    assert len(everything) > 50
    assert without == []


def _expressions(value: Any, name: str = "") -> list[str]:
    """Every expression of a shipped resource, by the names of the fields that hold one."""
    if isinstance(value, dict):
        if name in ("params", "query", "compare"):
            return [text for text in value.values() if isinstance(text, str)]
        if name == "result":
            return [text for text in value.values() if isinstance(text, str)]
        return [
            text
            for child, inner in value.items()
            if child not in ("examples", "fields") or isinstance(inner, list)
            for text in _expressions(inner, child)
            if child not in ("examples", "values")
        ]
    if isinstance(value, list):
        return [text for inner in value for text in _expressions(inner, name)]
    if name in ("cel", "when", "success", "items", "deliveryId", "body") and isinstance(value, str):
        return [value]
    return []
