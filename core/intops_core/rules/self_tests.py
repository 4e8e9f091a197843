"""What `selfTest` and `discovery` of a ConnectorClass are judged by: their expressions, and the names in them.

Used by conformance beside `rules.classes`.
"""

import re
from collections.abc import Iterator
from typing import Final

from intops_api.common import FieldSchema
from intops_api.connector_class import ConnectorClassSpec
from intops_api.self_test import Discovered, Look
from intops_core.findings import Breach, suggestion
from intops_core.resources import Resource
from intops_core.rules.expressions import Variables, typed_problem
from intops_core.typed import Record, VarType

_PARAMETER: Final = re.compile(r"\{([^{}]*)\}")


def self_test_breaches(resource: Resource, spec: ConnectorClassSpec) -> Iterator[Breach]:
    """Everything that is wrong in how a class is tried."""
    checks = _Checks(resource, spec)
    test = spec.self_test
    if test is not None:
        yield from checks.look(test.read, "spec.selfTest.read")
        yield from checks.answer(test.who, "spec.selfTest.who")
        if test.rights is not None:
            path = "spec.selfTest.rights"
            yield from checks.look(test.rights.read, f"{path}.read")
            for index, right in enumerate(test.rights.needs):
                here = f"{path}.needs[{index}]"
                yield from checks.answer(right.granted, f"{here}.granted", "boolean")
                for name in right.operations:
                    if name not in spec.operations:
                        words = f'There is no operation "{name}", so nobody would know what needs this right.'
                        yield Breach(
                            f"{here}.operations", words + suggestion(name, spec.operations)
                        )
    for index, of in enumerate(spec.discovery or ()):
        yield from checks.discovered(of, f"spec.discovery[{index}]")


class _Checks:
    """Expressions of one class; a request sees `config` and `link`, and after the answer there is `response`."""

    def __init__(self, resource: Resource, spec: ConnectorClassSpec) -> None:
        self._spec = spec
        self._key = f"{resource.digest}/test"
        link = Record({"nativeId": FieldSchema(type="string")})
        self._asks: Variables = {"config": Record(spec.config_schema), "link": link}
        response = Record(
            {
                "status": FieldSchema(type="integer"),
                "headers": FieldSchema(type="map", of="string"),
                "body": FieldSchema(type="any"),
            }
        )
        self._answers: Variables = {**self._asks, "response": response}

    def look(self, look: Look, path: str) -> Iterator[Breach]:
        """One read: its expressions, and the parameters of its path, which the API server does not judge here."""
        named = set(_PARAMETER.findall(look.path))
        for part in sorted(named - set(look.params)):
            words = "The path has a {placeholder} without an expression, so the address could not be built"
            yield Breach(f"{path}.path", f"{words}; write {part} under params.")
        for part in sorted(set(look.params) - named):
            words = f"A parameter does not occur in the path, so it would never be sent; write {{{part}}} in path"
            yield Breach(f"{path}.params.{part}", f"{words}, or move it to query.")
        for group, sources in (("params", look.params), ("query", look.query)):
            for part, source in sources.items():
                words = typed_problem(source, f"{self._key}/asks", self._asks)
                if words:
                    yield Breach(f"{path}.{group}.{part}", words)
        yield from self.answer(look.success, f"{path}.success", "boolean")

    def answer(
        self, source: str | None, path: str, expects: VarType | None = None
    ) -> Iterator[Breach]:
        """One expression over an answer."""
        if source is None:
            return
        words = typed_problem(source, f"{self._key}/answers", self._answers, expects=expects)
        if words:
            yield Breach(path, words)

    def discovered(self, of: Discovered, path: str) -> Iterator[Breach]:
        """One part of discovery."""
        schema = self._spec.objects.get(of.object)
        if schema is None:
            words = f'There is no object "{of.object}", so there would be nothing to compare.'
            yield Breach(f"{path}.object", words + suggestion(of.object, self._spec.objects))
            return
        if of.first is not None:
            yield from self.look(of.first.read, f"{path}.first.read")
            yield from self.answer(of.first.native_id, f"{path}.first.nativeId")
        yield from self.look(of.read, f"{path}.read")
        record = Record(schema.fields, open=schema.open)
        for group, sources in (("values", of.values), ("keys", of.keys)):
            for field, source in sources.items():
                here = f"{path}.{group}.{field}"
                if record.schema(field) is None:
                    words = f'Object "{of.object}" has no field "{field}", so nothing would be compared.'
                    yield Breach(here, words + suggestion(field, schema.fields))
                yield from self.answer(source, here, "list")
        yield from self.answer(of.required, f"{path}.required", "list")
