"""Optional values where the engine would end the process: refused with a sentence before that."""

from __future__ import annotations

import pytest

from intops_core.expressions import ExpressionError, activation, compile_expression

NAMES = frozenset({"o", "p"})


@pytest.mark.parametrize(
    "source",
    [
        '{"b": o.?q}', '{"b": o.?q, ?"c": o.?q}', '{"a": {"b": o.?q}}', '{"b": optional.none()}',
        '{"b": true ? o.?q : o.?z}', '{"b": o.?q.optMap(x, x)}', '{"b": dyn(o.?q)}', "[o.?q]",
        '{"b": [o.?q][0]}', '[o.?q].map(x, {"b": x})', '[1].map(x, o.?q)', '{"b": {"c": o.?q}.c}',
        '[1, o.?q, ?o.?z]', 'size([o.?q]) > 0', 'dyn(o.?q)',
    ],
)  # fmt: skip
def test_an_optional_value_in_a_map_or_a_list_is_refused(source: str) -> None:
    """Whoever writes a Mapping must not be able to end workers and admission."""
    with pytest.raises(ExpressionError, match="optional value"):
        compile_expression(source, NAMES)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ('{?"c": o.?q}', {"c": 1}),
        ('{?"c": o.?z}', {}),
        ("[?o.?q, ?o.?z, 3]", [1, 3]),
        ('{"b": o.?q.orValue(2)}', {"b": 1}),
        ('{"b": o.?z.orValue(2)}', {"b": 2}),
        ('{"b": o.?z.hasValue()}', {"b": False}),
        ("o.?q.optMap(x, x + 1).orValue(0)", 2),
        ("o.?z.or(o.?q).value()", 1),
        ("o.?z == optional.none()", True),
        ("[1, 2].map(x, o.?q.orValue(x))", [1, 1]),
    ],
)
def test_where_an_optional_value_may_stand_it_works(source: str, value: object) -> None:
    """Entries and elements with a question mark, and everything that ends in a value."""
    assert compile_expression(source, NAMES).evaluate(activation({"o": {"q": 1}, "p": {}})) == value
