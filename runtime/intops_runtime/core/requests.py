"""Operations of a ConnectorClass, compiled: values in, a request out; a response in, its meaning out.

Called by the delivery; nothing here touches the network or a secret.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

from intops_api.common import duration_s
from intops_api.connector_class import ConnectorClassSpec, Operation
from intops_core.expressions import EvaluationError, Program, activation, compile_expression
from intops_core.records import leaves
from intops_runtime.core.exchanges import (
    Difference,
    Facts,
    Found,
    HttpRequest,
    HttpResponse,
    RequestError,
)
from intops_runtime.core.paging import PageError, next_body, next_url
from intops_runtime.core.stepping import Step

REQUEST_NAMES = frozenset({"record", "key", "link", "config", "text", "step"})
RESPONSE_NAMES = REQUEST_NAMES | {"request", "response", "item"}

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PARAMETER = re.compile(r"\{([A-Za-z][A-Za-z0-9_]*)\}")


def _compile(source: str | None, names: frozenset[str]) -> Program | None:
    return None if source is None else compile_expression(source, names)


def _table(sources: Mapping[str, str], names: frozenset[str]) -> dict[str, Program]:
    return {name: compile_expression(source, names) for name, source in sources.items()}


def without_nulls(value: Any) -> Any:
    """The same JSON without null leaves; maps that become empty by that stay.

    >>> without_nulls({"a": None, "b": {"c": None, "d": 1}, "e": [None, 2]})
    {'b': {'d': 1}, 'e': [2]}
    """
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [without_nulls(v) for v in value if v is not None]
    return value


def _named(programs: Iterable[Program | None], known: frozenset[str]) -> frozenset[str]:
    """Names that these expressions may look at. Values of others need not be handed to the engine."""
    words = {word for p in programs if p is not None for word in _WORD.findall(p.source)}
    return known & words


class CompiledOperation:
    """One operation of a class with its expressions compiled.

    Raises:
        intops_core.expressions.ExpressionError: an expression does not compile.
    """

    def __init__(self, name: str, spec: Operation, class_headers: Mapping[str, str]) -> None:
        self.name = name
        self.spec = spec
        self.timeout_s = duration_s(spec.timeout)
        self.settle_s = duration_s(spec.settle)
        request = spec.request
        self._params = _table(request.params, REQUEST_NAMES)
        self._query = _table(request.query, REQUEST_NAMES)
        self._headers = _table({**class_headers, **request.headers}, REQUEST_NAMES)
        self._body = _compile(request.body, REQUEST_NAMES)
        self._added = _table(request.body_add or {}, REQUEST_NAMES)
        self._success = compile_expression(spec.success, RESPONSE_NAMES)
        result = spec.result
        self._items = _compile(result.items, RESPONSE_NAMES)
        self._found = {
            name: program
            for name, program in (
                ("native_id", _compile(result.native_id, RESPONSE_NAMES)),
                ("display_id", _compile(result.display_id, RESPONSE_NAMES)),
                ("url", _compile(result.url, RESPONSE_NAMES)),
                ("version", _compile(result.version, RESPONSE_NAMES)),
                ("key", _compile(result.key, RESPONSE_NAMES)),
            )
            if program is not None
        }
        compare = spec.read_back.compare if spec.read_back else {}
        self._compare = _table(compare, RESPONSE_NAMES)
        self.steps = spec.steps
        self._state = _compile(spec.steps.state if spec.steps else None, RESPONSE_NAMES)
        self._to = _compile(spec.steps.to if spec.steps else None, RESPONSE_NAMES)
        self._via = _compile(spec.steps.via if spec.steps else None, RESPONSE_NAMES)
        self._next = _compile(spec.paginate.next if spec.paginate else None, RESPONSE_NAMES)
        self._unless = _compile(spec.unless.when if spec.unless else None, RESPONSE_NAMES)
        self._remark = _compile(spec.remark.text if spec.remark else None, REQUEST_NAMES)
        others = spec.read_back.others if spec.read_back else None
        self._others = _compile(others, RESPONSE_NAMES | {"field"})
        asks = (
            *self._params.values(), *self._query.values(), *self._headers.values(), self._body,
            *self._added.values(),
        )  # fmt: skip
        self._request_names = _named(asks, REQUEST_NAMES)
        reads = (
            self._success, self._items, *self._found.values(), *self._compare.values(),
            self._state, self._to, self._via, self._others, self._unless, self._next,
        )  # fmt: skip
        self._response_names = _named(reads, RESPONSE_NAMES)

    def request(
        self, endpoint: str, facts: Facts, *, headers: Mapping[str, str], timeout_s: float | None
    ) -> HttpRequest:
        """The request for these values; `headers` are extra ones, such as an idempotency key.

        Raises:
            RequestError: an expression fails on these values.
        """
        names = facts.names()
        scope = activation({name: names[name] for name in self._request_names})
        where = f"operations.{self.name}.request"

        def value_of(program: Program, path: str) -> Any:
            try:
                return program.evaluate(scope)
            except EvaluationError as error:
                raise RequestError(f"{where}.{path}", error.message) from error

        params = {n: value_of(p, f"params.{n}") for n, p in self._params.items()}

        def fill(match: re.Match[str]) -> str:
            text = _text(params.get(match[1]))
            if text in ("", ".", ".."):  # a dot would name another path, and no encoding hides it
                words = f'"{text}" cannot stand in a path' if text else "the value is empty"
                raise RequestError(f"{where}.params.{match[1]}", words)
            return quote(text, safe="")

        path = _PARAMETER.sub(fill, self.spec.request.path)
        pairs = [(n, value_of(p, f"query.{n}")) for n, p in self._query.items()]
        query = urlencode([(n, _text(v)) for n, v in pairs if v is not None], quote_via=quote)
        sent = dict(headers)
        for name, program in self._headers.items():
            value = value_of(program, f"headers.{name}")
            if value is not None:
                sent[name] = _text(value)
        body = None
        if self._body is not None:
            body = value_of(self._body, "body")
            for at, program in self._added.items():
                body = added(body, at, value_of(program, f"bodyAdd.{at}"))
            if not self.spec.request.body_nulls:
                body = without_nulls(body)
        url = endpoint.rstrip("/") + path + (f"?{query}" if query else "")
        return HttpRequest(
            self.spec.request.method, url, sent, body, min(timeout_s or 1e9, self.timeout_s)
        )

    def _scope(self, facts: Facts, request: HttpRequest, response: HttpResponse) -> dict[str, Any]:
        names = {
            **facts.names(),
            "request": {"method": request.method, "url": request.url, "body": request.body},
            "response": response.as_value(),
            "item": {},
        }
        return {name: names[name] for name in self._response_names}

    def succeeded(self, facts: Facts, request: HttpRequest, response: HttpResponse) -> bool:
        """Whether the system did what was asked; an expression that fails says no."""
        try:
            return self._success.evaluate(activation(self._scope(facts, request, response))) is True
        except EvaluationError:
            return False

    def is_needless(self, facts: Facts, request: HttpRequest, response: HttpResponse) -> bool:
        """Whether `response`, a read of the record, shows that nothing is left to write."""
        if self._unless is None:
            return False
        try:
            return self._unless.evaluate(activation(self._scope(facts, request, response))) is True
        except EvaluationError:
            return False

    def remark(self, facts: Facts) -> str | None:
        """What is told of changed fields that the system takes only when a record is made; None if none changed.

        Raises:
            RequestError: the expression fails on these values.
        """
        told = self.spec.remark
        if told is None or self._remark is None:
            return None
        if not any(path in told.fields for path, _ in leaves(facts.record)):
            return None
        try:
            return _text(self._remark.evaluate(activation(facts.names()))) or None
        except EvaluationError as error:
            raise RequestError(f"operations.{self.name}.remark.text", error.message) from error

    def is_all_told(self, facts: Facts) -> bool:
        """Whether a remark tells everything that has changed, so that nothing is left to write."""
        told = self.spec.remark
        return told is not None and all(path in told.fields for path, _ in leaves(facts.record))

    def found(self, facts: Facts, request: HttpRequest, response: HttpResponse) -> Found:
        """What the answer says about the record; what it does not say is None."""
        return self._read(self._scope(facts, request, response))

    def found_items(
        self, facts: Facts, request: HttpRequest, response: HttpResponse
    ) -> list[Found]:
        """What a search found.

        Raises:
            RequestError: the answer has no list of records where the class says.
        """
        scope = self._scope(facts, request, response)
        if self._items is None:
            return [self._read(scope)]
        items = self.objects(facts, request, response)
        return [self._read({**scope, "item": item}) for item in items]

    def objects(self, facts: Facts, request: HttpRequest, response: HttpResponse) -> list[Any]:
        """The objects of an answer as they came; the whole body where the class names no list.

        Raises:
            RequestError: the answer has no list of objects where the class says.
        """
        if self._items is None:
            return [response.body]
        try:
            items = self._items.evaluate(activation(self._scope(facts, request, response)))
        except EvaluationError as error:
            raise RequestError(f"operations.{self.name}.result.items", error.message) from error
        return list(items) if isinstance(items, list) else []

    def next_page(
        self, facts: Facts, request: HttpRequest, response: HttpResponse, count: int
    ) -> HttpRequest | None:
        """The request for the page after one that had `count` records; None where it is the last.

        Raises:
            RequestError: the class or the answer names a page that cannot be asked for.
        """
        if self.spec.paginate is None:
            return None
        told = None
        try:
            if self._next is not None:
                told = self._next.evaluate(activation(self._scope(facts, request, response)))
            if self.spec.paginate.body_param is not None:
                body = next_body(self.spec.paginate.body_param, request.body, told)
                return None if body is None else replace(request, body=body)
            url = next_url(self.spec.paginate, request.url, told, count)
        except EvaluationError:
            return None  # an answer without the field that names it is the last one
        except PageError as error:
            raise RequestError(f"operations.{self.name}.paginate.next", str(error)) from error
        return None if url is None else replace(request, url=url)

    def state_of(self, facts: Facts, request: HttpRequest, response: HttpResponse) -> str | None:
        """Where the record stands, by an answer of `steps.stateFrom`; None where that cannot be told."""
        return self._word(self._state, self._scope(facts, request, response))

    def ways_on(
        self,
        reader: "CompiledOperation",
        facts: Facts,
        request: HttpRequest,
        response: HttpResponse,
    ) -> list[Step]:
        """What an answer of `steps.choicesFrom`, read by `reader`, offers; ways without id or state are left out.

        Raises:
            RequestError: the answer has no list where the class says.
        """
        found = []
        for item in reader.objects(facts, request, response):
            own, theirs = (op._scope(facts, request, response) for op in (self, reader))
            id_ = reader._read({**theirs, "item": item}).native_id
            to = self._word(self._to, {**own, "item": item})
            if id_ and to:
                found.append(Step(id_, to, item))
        return found

    def passable(self, facts: Facts) -> list[str]:
        """States that may be passed on the way, the preferred first."""
        if self._via is None:
            return []
        try:
            listed = self._via.evaluate(activation(facts.names()))
        except EvaluationError:
            return []
        return [_text(one) for one in listed] if isinstance(listed, list) else []

    def _word(self, program: Program | None, scope: dict[str, Any]) -> str | None:
        try:
            value = program.evaluate(activation(scope)) if program is not None else None
        except EvaluationError:
            return None
        return None if value is None else _text(value) or None

    def _read(self, names: dict[str, Any]) -> Found:
        scope = activation(names)
        values: dict[str, str] = {}
        for name, program in self._found.items():
            try:
                value = program.evaluate(scope)
            except EvaluationError:
                continue
            if value is not None and value != "":
                values[name] = _text(value)
        return Found(**values)

    def differences(
        self, facts: Facts, request: HttpRequest, response: HttpResponse
    ) -> list[Difference]:
        """Fields that `record` sent and that `response`, a read of the record, shows otherwise."""
        names = self._scope(facts, request, response)
        scope = activation(names)
        pairs = [
            (name, _at(facts.record, name), program, scope)
            for name, program in self._compare.items()
        ]
        if self._others is not None:
            pairs += [
                (name, wrote, self._others, activation({**names, "field": name}))
                for name, wrote in leaves(facts.record)
                if name not in self._compare
            ]
        result = []
        for name, wrote, program, known in pairs:
            if wrote is None:
                continue
            try:
                reads = program.evaluate(known)
            except EvaluationError:
                reads = None
            if _text(wrote) != _text(reads):
                result.append(Difference(name, wrote, reads))
        return result


def added(body: Any, path: str, more: Any) -> Any:
    """The body with the entries of `more` at a path. What stands there already stays.

    >>> added({"a": {"b": 1}}, "a", {"b": 2, "c": 3})
    {'a': {'b': 1, 'c': 3}}
    """
    if not isinstance(body, dict) or not isinstance(more, dict):
        return body
    first, _, rest = path.partition(".")
    inner = body.get(first)
    inner = {} if inner is None else inner
    if rest:
        return {**body, first: added(inner, rest, more)}
    return {**body, first: {**more, **inner}} if isinstance(inner, dict) else body


def _at(record: Mapping[str, Any], path: str) -> Any:
    value: Any = record
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def _text(value: Any) -> str:
    """The word for a value: as JSON has it, and the same for a number and its text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


class CompiledClass:
    """A ConnectorClass ready to run."""

    def __init__(self, name: str, spec: ConnectorClassSpec) -> None:
        self.name = name
        self.spec = spec
        self.operations = {
            op_name: CompiledOperation(op_name, op, spec.headers)
            for op_name, op in spec.operations.items()
        }
        self.matchers = [
            (
                matcher.class_,
                compile_expression(matcher.when, RESPONSE_NAMES),
                _compile(matcher.retry_after, RESPONSE_NAMES),
                _compile(matcher.detail, RESPONSE_NAMES),
                _compile(matcher.path, RESPONSE_NAMES),
            )
            for matcher in spec.errors
        ]
