"""Expressions of the common kind as Python closures: what they give, the engine gives too.

Used by `expressions`, which lets the engine evaluate whatever is not covered here and whenever a form
is in doubt: a missing field, types that do not fit, an overflow, an edge of a function. So every error
and its words are the engine's, and a form need only be right when it gives a value. Covered: fields,
`has`, `in`, indexes, optional fields and entries with `orValue`, comparisons, `&&`, `||`, `!`, `? :`,
arithmetic but for division, literals of lists and maps, `exists`, `all`, `filter`, `map`, `type(x) == t`,
and the functions of `expression_values`. One module, because each kind of node is a form in terms of the
others: apart they could not be read.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from intops_core import expression_values as values
from intops_core.expression_functions import percent_decode, sha256
from intops_core.expression_tree import (
    Call,
    Constant,
    Ident,
    ListOf,
    Loop,
    MapOf,
    Node,
    Select,
    UnknownTree,
    read_tree,
)
from intops_core.expression_values import InDoubt

Names = Mapping[str, Any]
Form = Callable[[Names], Any]
"""Values of the names in, the value of the expression out."""

IN_DOUBT: Final = (InDoubt, LookupError, TypeError, ValueError, AttributeError, RecursionError)
"""What a form may raise; it means that the engine must evaluate the expression."""

# The engine stops after 10,000 steps; a list of that size is left to it.
_LONGEST: Final = 1000
_MISSING: Final = object()
_OPTIONAL: Final = frozenset({"_?._", "_[?_]"})
_TYPES: Final[dict[str, type | None]] = {
    "string": str,
    "list": list,
    "map": dict,
    "bool": bool,
    "double": float,
    "null_type": type(None),
}


def form_of(serialized: bytes, variables: frozenset[str]) -> Form | None:
    """The form of a checked expression; None where a part of it is not covered.

    Args:
        serialized: What `cel.Expression.serialize()` gives.
        variables: Names that are variables; all others are types.
    """
    try:
        return _Maker(variables).form(read_tree(serialized))
    except UnknownTree:
        return None


class _Maker:
    """Makes the form of one expression."""

    def __init__(self, variables: frozenset[str]) -> None:
        self._variables = variables
        self._in_loop = False

    def form(self, node: Node) -> Form:
        """A form that gives a value. Raises UnknownTree."""
        match node:
            case Constant(value=value):
                return lambda names: value
            case Ident(name=name):
                if name not in self._variables:
                    raise UnknownTree
                return lambda names: names[name]
            case Select():
                return self._select(node)
            case Call():
                return self._call(node)
            case ListOf(elements=elements):
                forms = [self.form(element) for element in elements]
                return lambda names: [form(names) for form in forms]
            case MapOf():
                return self._map(node)
            case Loop():
                return self._loop(node)

    def _select(self, node: Select) -> Form:
        field = node.field
        if node.tests:
            inner = self.form(node.operand)

            def has(names: Names) -> bool:
                operand = inner(names)
                if type(operand) is not dict:
                    raise InDoubt
                return field in operand

            return has
        if isinstance(node.operand, Ident):
            root = self._variable(node.operand)
            return lambda names: names[root][field]
        if (
            isinstance(node.operand, Select)
            and not node.operand.tests
            and isinstance(node.operand.operand, Ident)
        ):
            root, middle = self._variable(node.operand.operand), node.operand.field
            return lambda names: names[root][middle][field]
        operand = self.form(node.operand)
        return lambda names: operand(names)[field]

    def _variable(self, node: Ident) -> str:
        if node.name not in self._variables:
            raise UnknownTree
        return node.name

    def _call(self, node: Call) -> Form:
        name, arguments = node.function, node.arguments
        maker = _OPERATORS.get((name, len(arguments)))
        if maker is not None:
            return maker(self, *arguments)
        if name == "dyn":
            return self.form(arguments[0])
        own = _OWN.get(name)
        if own is not None:
            return self._of_text(own, arguments[0])
        function = values.FUNCTIONS.get((name, len(arguments)))
        if function is None:
            raise UnknownTree
        forms = [self.form(argument) for argument in arguments]
        if len(forms) == 1:
            (only,) = forms
            return lambda names: function(only(names))
        if len(forms) == 2:
            one, two = forms
            return lambda names: function(one(names), two(names))
        return lambda names: function(*[form(names) for form in forms])

    def _of_text(self, function: Callable[[str], str], argument: Node) -> Form:
        inner = self.form(argument)

        def made(names: Names) -> str:
            text = inner(names)
            if type(text) is not str:
                raise InDoubt
            return function(text)

        return made

    def conditional(self, condition: Node, one: Node, other: Node) -> Form:
        test, then, otherwise = self.form(condition), self.form(one), self.form(other)

        def choose(names: Names) -> Any:
            found = test(names)
            if found is True:
                return then(names)
            if found is False:
                return otherwise(names)
            raise InDoubt

        return choose

    def conjunction(self, left: Node, right: Node) -> Form:
        return self._logical(left, right, decided=False)

    def disjunction(self, left: Node, right: Node) -> Form:
        return self._logical(left, right, decided=True)

    def _logical(self, left: Node, right: Node, *, decided: bool) -> Form:
        one, two, ends = self.form(left), self.form(right), decided

        def combine(names: Names) -> bool:
            found = one(names)
            if found is ends:
                return decided
            if found is not True and found is not False:
                raise InDoubt  # the other side may still decide
            found = two(names)
            if found is True or found is False:
                return bool(found)
            raise InDoubt

        return combine

    def negation(self, operand: Node) -> Form:
        inner = self.form(operand)

        def negate(names: Names) -> bool:
            found = inner(names)
            if found is True:
                return False
            if found is False:
                return True
            raise InDoubt

        return negate

    def equality(self, left: Node, right: Node) -> Form:
        if isinstance(left, Constant):
            left, right = right, left
        if isinstance(left, Call) and left.function == "type" and isinstance(right, Ident):
            return self._type_is(left.arguments[0], right)
        one = self.form(left)
        if isinstance(right, Constant) and (right.value is None or type(right.value) is str):
            wanted = right.value
            return lambda names: bool(one(names) == wanted)
        two = self.form(right)
        return lambda names: values.equal(one(names), two(names))

    def inequality(self, left: Node, right: Node) -> Form:
        same = self.equality(left, right)
        return lambda names: not same(names)

    def _type_is(self, operand: Node, wanted: Ident) -> Form:
        # Integers are left out: what is beyond 64 bits with a sign is of another type.
        if wanted.name in self._variables or wanted.name not in _TYPES:
            raise UnknownTree
        inner, kind = self.form(operand), _TYPES[wanted.name]
        return lambda names: type(inner(names)) is kind

    def less(self, left: Node, right: Node) -> Form:
        one, two = self.form(left), self.form(right)
        return lambda names: values.less(one(names), two(names))

    def at_most(self, left: Node, right: Node) -> Form:
        one, two = self.form(left), self.form(right)
        return lambda names: values.at_most(one(names), two(names))

    def more(self, left: Node, right: Node) -> Form:
        return self.less(right, left)

    def at_least(self, left: Node, right: Node) -> Form:
        return self.at_most(right, left)

    def addition(self, left: Node, right: Node) -> Form:
        forms = [self.form(term) for term in _terms(left, right)]

        def add(names: Names) -> Any:
            found = [form(names) for form in forms]
            for value in found:
                if type(value) is not str:
                    break
            else:
                return "".join(found)
            total = found[0]
            for value in found[1:]:
                total = values.add(total, value)
            return total

        return add

    def _map(self, node: MapOf) -> Form:
        entries: list[tuple[str, Form]] = []
        for key, value, may_lack in node.entries:
            if not isinstance(key, Constant) or type(key.value) is not str:
                raise UnknownTree
            entries.append((key.value, self._optional(value) if may_lack else self.form(value)))
        if len(dict(entries)) < len(entries):
            raise UnknownTree  # the engine refuses two entries of one name
        if all(isinstance(value, Constant) and not lacks for _, value, lacks in node.entries):
            whole = {name: form({}) for name, form in entries}
            return lambda names: whole  # only ever read: a result is copied

        def make(names: Names) -> dict[str, Any]:
            found = {name: form(names) for name, form in entries}
            return {name: value for name, value in found.items() if value is not _MISSING}

        return make

    def _optional(self, node: Node) -> Form:
        """A form of `a.?b`, `a[?k]` or a field below one, which gives `_MISSING` for no value."""
        if isinstance(node, Select) and not node.tests:
            return _optional_field(self._optional(node.operand), node.field)
        if not isinstance(node, Call) or node.function not in _OPTIONAL:
            raise UnknownTree
        operand, key = node.arguments
        try:
            inner = self._optional(operand)
        except UnknownTree:
            inner = self.form(operand)
        if node.function == "_?._":
            if not isinstance(key, Constant):
                raise UnknownTree
            return _optional_field(inner, key.value)
        return _optional_entry(inner, self.form(key))

    def or_value(self, operand: Node, default: Node) -> Form:
        inner, otherwise = self._optional(operand), self.form(default)

        def choose(names: Names) -> Any:
            found = inner(names)
            return otherwise(names) if found is _MISSING else found

        return choose

    def has_value(self, operand: Node) -> Form:
        inner = self._optional(operand)
        return lambda names: inner(names) is not _MISSING

    def _loop(self, node: Loop) -> Form:
        if self._in_loop or node.variable in self._variables:
            raise UnknownTree  # loops in loops may be too expensive, and one name is one value
        items = self.form(node.items)
        outside = self._variables
        self._in_loop, self._variables = True, outside | {node.variable}
        try:
            return self._loop_over(items, node)
        finally:
            self._in_loop, self._variables = False, outside

    def _loop_over(self, items: Form, node: Loop) -> Form:
        variable, name = node.variable, node.result_name
        own = Ident(name)
        if node.result != own or not isinstance(node.step, Call):
            raise UnknownTree
        match node.step:
            case Call(function="_||_", arguments=(first, test)) if first == own:
                return _any(items, variable, self.form(test))
            case Call(function="_&&_", arguments=(first, test)) if first == own:
                return _every(items, variable, self.form(test))
            case Call(function="_+_", arguments=(first, ListOf(elements=(one,)))) if first == own:
                return _each(items, variable, None, self.form(one))
            case Call(
                function="_?_:_",
                arguments=(
                    test,
                    Call(function="_+_", arguments=(first, ListOf(elements=(one,)))),
                    last,
                ),
            ) if first == own == last:
                return _each(items, variable, self.form(test), self.form(one))
        raise UnknownTree


# Functions of our own, each from one text to another.
_OWN: Final[dict[str, Callable[[str], str]]] = {
    "sha256": sha256,
    "percentDecode": percent_decode,
}
_OPERATORS: Final[dict[tuple[str, int], Callable[..., Form]]] = {
    ("_?_:_", 3): _Maker.conditional,
    ("_&&_", 2): _Maker.conjunction,
    ("_||_", 2): _Maker.disjunction,
    ("!_", 1): _Maker.negation,
    ("_==_", 2): _Maker.equality,
    ("_!=_", 2): _Maker.inequality,
    ("_<_", 2): _Maker.less,
    ("_<=_", 2): _Maker.at_most,
    ("_>_", 2): _Maker.more,
    ("_>=_", 2): _Maker.at_least,
    ("_+_", 2): _Maker.addition,
    ("orValue", 2): _Maker.or_value,
    ("hasValue", 1): _Maker.has_value,
}


def _terms(left: Node, right: Node) -> list[Node]:
    """The terms of `a + b + c`, of which only the left one can be a sum without parentheses."""
    terms = [right]
    while isinstance(left, Call) and left.function == "_+_":
        left, term = left.arguments
        terms.append(term)
    return [left, *reversed(terms)]


def _optional_field(inner: Form, field: str) -> Form:
    def read(names: Names) -> Any:
        operand = inner(names)
        if operand is _MISSING:
            return _MISSING
        if type(operand) is not dict:
            raise InDoubt
        return operand.get(field, _MISSING)

    return read


def _optional_entry(inner: Form, key: Form) -> Form:
    def read(names: Names) -> Any:
        operand, wanted = inner(names), key(names)
        if type(wanted) is not str:
            raise InDoubt
        if operand is _MISSING:
            return _MISSING
        if type(operand) is not dict:
            raise InDoubt
        return operand.get(wanted, _MISSING)

    return read


def _elements(items: Form, names: Names) -> list[Any]:
    found = items(names)
    if type(found) is not list or len(found) > _LONGEST:
        raise InDoubt
    return found


def _any(items: Form, variable: str, test: Form) -> Form:
    def run(names: Names) -> bool:
        inner = dict(names)
        for element in _elements(items, names):
            inner[variable] = element
            if _condition(test(inner)):
                return True
        return False

    return run


def _every(items: Form, variable: str, test: Form) -> Form:
    def run(names: Names) -> bool:
        inner = dict(names)
        for element in _elements(items, names):
            inner[variable] = element
            if not _condition(test(inner)):
                return False
        return True

    return run


def _each(items: Form, variable: str, test: Form | None, one: Form) -> Form:
    def run(names: Names) -> list[Any]:
        inner, found = dict(names), []
        for element in _elements(items, names):
            inner[variable] = element
            if test is None or _condition(test(inner)):
                found.append(one(inner))
        return found

    return run


def _condition(found: Any) -> bool:
    if found is True or found is False:
        return bool(found)
    raise InDoubt
