"""Routes that are never taken, and the honest limits of finding them."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intops_api.flow import Route
from intops_core.expressions import activation, compile_expression
from intops_core.routing import alternatives, unreachable_routes


def routes(*whens: str | None) -> list[Route]:
    return [Route(name=f"r{index}", when=when) for index, when in enumerate(whens)]


def never_taken(*whens: str | None) -> list[int]:
    return [found.index for found in unreachable_routes(routes(*whens))]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        pytest.param('i.a == "x"', 'i.a == "x"', id="the same condition"),
        pytest.param('i.a=="x"', "i.a  ==  'x'", id="spacing and quotes"),
        pytest.param('i.a == "x"', '"x" == i.a', id="sides of a comparison"),
        pytest.param('i.a == "x"', 'i.a == "x" && i.b == "y"', id="a narrower condition"),
        pytest.param('i.b == "y" && i.a == "x"', 'i.a == "x" && i.b == "y"', id="another order"),
        pytest.param('i.a == "x" || i.a == "y"', 'i.a == "y"', id="one of several alternatives"),
        pytest.param('i.a in ["x", "y"]', 'i.a == "y"', id="a member of a list"),
        pytest.param('i.a in ["x", "y"]', 'i.a in ["y"]', id="a smaller list"),
        pytest.param('i.a != "x"', 'i.a == "y"', id="unequal follows from equal to another"),
        pytest.param('(i.a == "x")', '((i.a == "x")) && has(i.b)', id="parentheses"),
        pytest.param('i.a == "x"', '(i.b == "1" || i.b == "2") && i.a == "x"', id="a product"),
        pytest.param(
            'i.a.startsWith("x")', 'i.a.startsWith("x") && i.b > 1', id="a function, as text"
        ),
        pytest.param("true", 'i.a == "x"', id="a condition that is always true"),
    ],
)
def test_a_route_after_one_that_takes_its_messages_is_never_taken(earlier: str, later: str) -> None:
    """Whoever writes a narrower route below a wider one is told."""
    assert never_taken(earlier, later, None)[:1] == [1]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        pytest.param('i.a == "x"', 'i.a == "y"', id="another value"),
        pytest.param('i.a == "x" && i.b == "y"', 'i.a == "x"', id="a wider condition"),
        pytest.param('i.a == "x"', 'i.a == "x" || i.b == "y"', id="one more alternative"),
        pytest.param('i.a == "x"', 'i.ab == "x"', id="another field"),
        pytest.param('i.a == "x y"', 'i.a == "xy"', id="spaces within a text count"),
        pytest.param('i.a == "x || y"', 'i.a == "x"', id="operators within a text do not count"),
        pytest.param('i.b ? i.a == "x" : true', 'i.a == "x"', id="a choice is one whole"),
        pytest.param('!(i.a == "x" || i.b)', 'i.a == "x"', id="a negation is one whole"),
        pytest.param('i.a != "x"', 'i.a == "x"', id="the opposite"),
        pytest.param('i.l.exists(e, e == "x" || e == "y")', 'i.a == "x"', id="within a function"),
        pytest.param('i.a == "x" // || true', 'i.a == "y"', id="comments do not count"),
    ],
)
def test_a_route_that_may_be_taken_is_not_blamed(earlier: str, later: str) -> None:
    """A finding refuses the Flow, so nothing is said where it is not certain."""
    assert never_taken(earlier, later, None) == []


def test_several_earlier_routes_together_may_take_everything_of_a_later_one() -> None:
    """A route is unreachable where each of its alternatives is taken by some route before it."""
    found = unreachable_routes(
        routes('i.a == "x"', 'i.a == "y"', 'i.a in ["x", "y"] && i.b == "z"', None)
    )

    assert [(one.index, one.taken_by) for one in found] == [(2, 1)]


def test_a_route_that_contradicts_itself_is_never_taken() -> None:
    """One field cannot have two values at once."""
    (found,) = unreachable_routes(routes('i.a == "x" && i.a == "y"', None))

    assert (found.index, found.taken_by) == (0, None)
    assert found.contradiction == 'i.a cannot be both "x" and "y"'


def test_a_condition_of_endless_alternatives_is_compared_as_a_whole() -> None:
    """Products of alternatives grow fast; a large one costs nothing and is not taken apart."""
    large = " && ".join(f'(i.a{n} == "x" || i.b{n} == "y")' for n in range(40))

    deep = "(" * 1500 + 'i.a == "x"' + ")" * 1500

    assert len(alternatives(large)) == 1
    assert len(alternatives(deep)) == 1
    assert never_taken(large, large, None) == [1]


_COMPARISON = st.builds(
    '{}{}{}{}"{}"'.format,
    st.sampled_from(["i.a", "i.b"]),
    st.just(" "),
    st.sampled_from(["==", "!="]),
    st.just(" "),
    st.sampled_from(["x", "y", "z"]),
) | st.builds(
    'i.{} in ["{}", "{}"]'.format, *[st.sampled_from("ab")], *[st.sampled_from("xyz")] * 2
)
_CONDITIONS = st.recursive(
    _COMPARISON,
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(["&&", "||"]), inner)
        | st.builds("!({})".format, inner)
        | st.builds("{} && {}".format, inner, inner)
    ),
    max_leaves=6,
)


@given(st.lists(_CONDITIONS, min_size=1, max_size=5))
def test_no_message_takes_a_route_that_is_said_to_be_unreachable(whens: list[str]) -> None:
    """Every combination of values is tried: what refuses a Flow is true."""
    blamed = set(never_taken(*whens))
    programs = [compile_expression(when, frozenset({"i"})) for when in whens]
    for a, b in product("xyzw", repeat=2):
        scope = activation({"i": {"a": a, "b": b}})
        taken = next((n for n, p in enumerate(programs) if p.evaluate(scope) is True), None)
        assert taken not in blamed


@given(
    st.lists(st.text(alphabet="i.ab \"'=!&|()[]{}?:/in,\\\n", min_size=1, max_size=60), max_size=4)
)
def test_any_text_can_be_compared(whens: list[str]) -> None:
    """What is no expression at all is refused by another rule, and must not break this one."""
    unreachable_routes(routes(*whens))
