"""What a ConnectorClass is judged by in itself: its expressions, fields and error policies.

Used by conformance; what the API server checks alone stands in `intops_api.rules`.
"""

from collections.abc import Iterator
from typing import Final

from pydantic import ValidationError

from intops_api.common import FieldSchema, duration_s
from intops_api.connector_class import (
    Auth,
    Capture,
    ConnectorClassSpec,
    OAuth2,
    Operation,
    Poll,
    Remark,
    Unless,
    Verify,
)
from intops_api.flow import ErrorPolicy
from intops_core.error_classes import BY_NAME
from intops_core.facts import LOOKUP
from intops_core.findings import Breach, Ref, suggestion
from intops_core.records import items_path, path_parts
from intops_core.resources import Resource, validation_findings
from intops_core.rules.expressions import Variables, typed_problem
from intops_core.rules.policies import policy_breaches
from intops_core.rules.self_tests import self_test_breaches
from intops_core.typed import Record, VarType

COMMENT: Final = "comment"
LEAST_EVERY_S: Final = 10.0
"""How often a source may be asked, in seconds."""

_LINK: Final = Record(
    {name: FieldSchema(type="string") for name in ("nativeId", "displayId", "version")}
)
_STEP: Final = Record(
    {
        "id": FieldSchema(type="string"),
        "to": FieldSchema(type="string"),
        "offered": FieldSchema(type="any"),
    }
)


def class_breaches(resource: Resource, spec: ConnectorClassSpec) -> Iterator[Breach]:
    """Everything that is wrong in a class, its Mappings aside."""
    fields = [*field_breaches(spec.config_schema, "spec.configSchema")]
    for name, schema in spec.objects.items():
        fields += field_breaches(schema.fields, f"spec.objects.{name}.fields")
    if fields:  # expressions can be judged only against fields that can be read
        yield from fields
        return
    checks = _Expressions(resource, spec)
    yield from checks.capture()
    for name, source in spec.headers.items():
        yield from checks.one(source, f"spec.headers.{name}", checks.requests(None))
    for name, operation in spec.operations.items():
        yield from checks.operation(operation, name)
        yield from _compared(operation, f"spec.operations.{name}", spec)
        yield from _stepped(operation, f"spec.operations.{name}", spec)
    for index, matcher in enumerate(spec.errors):
        path = f"spec.errors[{index}]"
        answers = checks.answers(None)
        yield from checks.one(matcher.when, f"{path}.when", answers, "boolean")
        yield from checks.one(matcher.retry_after, f"{path}.retryAfter", answers)
        yield from checks.one(matcher.detail, f"{path}.detail", answers)
    yield from self_test_breaches(resource, spec)
    yield from _token_endpoint(spec)
    yield from _policies(spec)


class _Expressions:
    """Expressions of one class with the names that each may use (see `intops_api.connector_class`)."""

    def __init__(self, resource: Resource, spec: ConnectorClassSpec) -> None:
        self._digest = resource.digest
        self._spec = spec

    def requests(self, object_: str | None) -> tuple[str, Variables]:
        """Names in requests; the record has the fields of its object."""
        schema = self._spec.objects.get(object_ or "")
        record: Record | VarType = (
            Record(schema.fields, open=schema.open) if schema is not None else "map"
        )
        names: dict[str, Record | VarType] = {
            "record": record,
            "key": "string",
            "link": _LINK,
            "config": Record(self._spec.config_schema),
            "text": "string",
            "step": _STEP,
        }
        return f"{self._digest}/request/{object_}", names

    def answers(self, object_: str | None) -> tuple[str, Variables]:
        """Names after the answer."""
        key, names = self.requests(object_)
        request: Record | VarType = Record(
            {
                "method": FieldSchema(type="string"),
                "url": FieldSchema(type="string"),
                "body": FieldSchema(type="any"),
            }
        )
        response: Record | VarType = Record(
            {
                "status": FieldSchema(type="integer"),
                "headers": FieldSchema(type="map", of="string"),
                "body": FieldSchema(type="any"),
            }
        )
        more = {"request": request, "response": response, "item": "any"}
        return f"{key}/answer", {**names, **more}

    def one(
        self,
        source: str | None,
        path: str,
        known: tuple[str, Variables],
        expects: VarType | None = None,
    ) -> Iterator[Breach]:
        """One expression."""
        if source is None:
            return
        words = typed_problem(source, known[0], known[1], expects=expects)
        if words:
            yield Breach(path, words)

    def capture(self) -> Iterator[Breach]:
        """How deliveries are split and told apart."""
        capture = self._spec.capture
        if capture is None:
            return
        payload: Record | VarType = (
            Record(capture.payload_fields, open=True) if capture.payload_fields else "any"
        )
        split: Variables = {"payload": payload, "headers": "map"}
        key = f"{self._digest}/capture"
        yield from self.one(capture.items, "spec.capture.items", (key, split), "list")
        schema = self._spec.objects.get(capture.object)
        if schema is not None:
            item: Variables = {**split, "object": Record(schema.fields, open=schema.open)}
            known = (f"{key}/item", item)
            yield from self.one(capture.delivery_id, "spec.capture.deliveryId", known, "string")
            yield from self.one(capture.origin, "spec.capture.origin", known)
        yield from field_breaches(capture.payload_fields, "spec.capture.payloadFields")
        if capture.poll is not None:
            yield from self.poll(capture, capture.poll)

    def poll(self, capture: Capture, poll: Poll) -> Iterator[Breach]:
        """What webhooks lose can be listed, picked out and recognised, and no sender's proof is sent."""
        path, spec = "spec.capture.poll", self._spec
        if poll.operation not in spec.operations:
            yield Breach(
                f"{path}.operation",
                f'There is no operation "{poll.operation}", so nothing could be asked. Declare it under '
                f"operations.{suggestion(poll.operation, spec.operations)}",
            )
        for index, name in enumerate(poll.also or []):
            further = spec.operations.get(name)
            if further is None:
                yield Breach(
                    f"{path}.also[{index}]",
                    f'There is no operation "{name}", so nothing further could be asked. Declare it under '
                    f"operations.{suggestion(name, spec.operations)}",
                )
            elif further.object is not None:
                yield Breach(
                    f"{path}.also[{index}]",
                    f'Operation "{name}" works on an object, but what it is asked with is a page of the listing. '
                    f"Leave out operations.{name}.object.",
                )
        if duration_s(poll.every) < LEAST_EVERY_S:
            yield Breach(
                f"{path}.every",
                f"A source that is asked every {poll.every} has little time for anything else. Write at least "
                f"{LEAST_EVERY_S:.0f}s.",
            )
        if items_path(capture.items) is None:
            yield Breach(
                "spec.capture.items",
                "With poll the items must stand at a plain path, so that what was lost can be picked out. "
                "Write a path such as payload.alerts.",
            )
        if capture.delivery_id is None:
            yield Breach(
                "spec.capture.deliveryId",
                "With poll an expression must tell copies apart, else everything that a webhook brought would "
                "come a second time. Write deliveryId.",
            )
        _, known = self.answers(None)
        names = {**{name: known[name] for name in ("response", "config")}}
        asked: Variables = {**names, "endpoint": "string", "now": "string", "also": "map"}
        yield from self.one(poll.body, f"{path}.body", (f"{self._digest}/poll", asked), "map")
        sent = _keys(spec.auth, spec.auth.oauth2) if spec.auth is not None else set()
        for key in sorted(sent & _keys(*capture.verify)):
            yield Breach(
                "spec.auth",
                f'Key "{key}" proves senders to us and would be sent to their system with every poll. Give '
                "auth a key of its own.",
            )

    def operation(self, operation: Operation, name: str) -> Iterator[Breach]:
        """Request, success, result, read-back and pages of one operation."""
        path = f"spec.operations.{name}"
        # A look-up asks with the canonical record, whatever its model; its object is what it finds.
        of = None if name == LOOKUP else operation.object
        requests, answers = self.requests(of), self.answers(of)
        for setting in operation.needs or ():
            if setting not in self._spec.config_schema:
                yield Breach(
                    f"{path}.needs",
                    f'Class has no setting "{setting}", so no Connector could give it and every Flow would be '
                    f"refused. Declare it under configSchema.{suggestion(setting, self._spec.config_schema)}",
                )
        request = operation.request
        for group, sources in (
            ("params", request.params),
            ("query", request.query),
            ("headers", request.headers),
        ):
            for part, source in sources.items():
                yield from self.one(source, f"{path}.request.{group}.{part}", requests)
        yield from self.one(request.body, f"{path}.request.body", requests)
        for part, source in (request.body_add or {}).items():
            yield from self.one(source, f"{path}.request.bodyAdd.{part}", requests, "map")
        yield from self.one(operation.success, f"{path}.success", answers, "boolean")
        result = operation.result
        yield from self.one(result.items, f"{path}.result.items", answers, "list")
        for taken, found in (
            ("nativeId", result.native_id),
            ("displayId", result.display_id),
            ("url", result.url),
            ("version", result.version),
            ("key", result.key),
        ):
            yield from self.one(found, f"{path}.result.{taken}", answers)
        if operation.read_back is not None:
            for compared, source in operation.read_back.compare.items():
                yield from self.one(source, f"{path}.readBack.compare.{compared}", answers)
            sent: Variables = {**answers[1], "field": "string"}
            others = operation.read_back.others
            yield from self.one(others, f"{path}.readBack.others", (f"{answers[0]}/sent", sent))
        if operation.steps is not None:
            yield from self.one(operation.steps.state, f"{path}.steps.state", answers)
            yield from self.one(operation.steps.to, f"{path}.steps.to", answers)
            yield from self.one(operation.steps.via, f"{path}.steps.via", requests, "list")
        if operation.unless is not None:
            yield from self.unless(operation.unless, f"{path}.unless")
        if operation.remark is not None:
            yield from self.one(operation.remark.text, f"{path}.remark.text", requests)
            yield from _remarked(operation, operation.remark, path, self._spec)
        if operation.paginate is not None:
            yield from self.one(operation.paginate.next, f"{path}.paginate.next", answers)

    def unless(self, unless: Unless, path: str) -> Iterator[Breach]:
        """What is read before a write can be read, and the condition looks at that answer."""
        reader = self._spec.operations.get(unless.operation)
        if reader is None:
            yield Breach(
                f"{path}.operation",
                f'There is no operation "{unless.operation}", so nobody would see what people have done. Declare '
                f"it under operations.{suggestion(unless.operation, self._spec.operations)}",
            )
            return
        known = self.answers(reader.object)
        yield from self.one(unless.when, f"{path}.when", known, "boolean")


def _keys(*proofs: Auth | OAuth2 | Verify | None) -> set[str]:
    """Keys of the Secret that these use."""
    return {
        str(value)
        for proof in proofs
        if proof is not None
        for name, value in proof
        if (name == "key" or name.endswith("_key")) and value is not None
    }


def _compared(operation: Operation, path: str, spec: ConnectorClassSpec) -> Iterator[Breach]:
    """A compared field is one that the record can have."""
    schema = spec.objects.get(operation.object or "")
    if operation.read_back is None or schema is None:
        return
    record = Record(schema.fields, open=schema.open)
    for name in operation.read_back.compare:
        if record.schema(name) is None:
            words = (
                f'Object "{operation.object}" has no field "{name}", so nothing would be compared.'
            )
            yield Breach(f"{path}.readBack.compare.{name}", words + suggestion(name, schema.fields))


def _stepped(operation: Operation, path: str, spec: ConnectorClassSpec) -> Iterator[Breach]:
    """The field that says where steps lead is one that the record can have, and each way has an id."""
    steps, schema = operation.steps, spec.objects.get(operation.object or "")
    if steps is None:
        return
    if schema is not None and Record(schema.fields, open=schema.open).schema(steps.field) is None:
        words = f'Object "{operation.object}" has no field "{steps.field}", so no state would ever be reached.'
        yield Breach(f"{path}.steps.field", words + suggestion(steps.field, schema.fields))
    choices = spec.operations.get(steps.choices_from)
    if choices is not None and (choices.result.items is None or choices.result.native_id is None):
        words = (
            f'Operation "{steps.choices_from}" does not say what it lists, so no way on could be chosen. '
            "Write its result.items and result.nativeId."
        )
        yield Breach(f"{path}.steps.choicesFrom", words)


def _remarked(
    operation: Operation, remark: Remark, path: str, spec: ConnectorClassSpec
) -> Iterator[Breach]:
    """What is told in a remark are fields of the record, and there is an operation that tells it."""
    if COMMENT not in spec.operations:
        words = f'There is no operation "{COMMENT}", so nothing could be told. Declare it under operations.'
        yield Breach(f"{path}.remark", words)
    schema = spec.objects.get(operation.object or "")
    if schema is None:
        return
    record = Record(schema.fields, open=schema.open)
    for name in remark.fields:
        if record.schema(name) is None:
            words = f'Object "{operation.object}" has no field "{name}", so nothing of it would be told.'
            yield Breach(f"{path}.remark.fields", words + suggestion(name, schema.fields))


def _token_endpoint(spec: ConnectorClassSpec) -> Iterator[Breach]:
    """The setting that says where tokens are fetched is one that every Connector must have."""
    how = spec.auth.oauth2 if spec.auth is not None else None
    if how is None or how.token_config is None:
        return
    setting = spec.config_schema.get(how.token_config)
    if setting is None or not (setting.required or setting.default is not None):
        words = (
            f'Tokens are fetched from the setting "{how.token_config}", which a Connector need not have. '
            f"Declare configSchema.{how.token_config} as a required string."
        )
        yield Breach(
            "spec.auth.oauth2.tokenConfig", words + suggestion(how.token_config, spec.config_schema)
        )


def _policies(spec: ConnectorClassSpec) -> Iterator[Breach]:
    for name, given in spec.error_policies.items():
        path = f"spec.errorPolicies.{name}"
        if name not in BY_NAME:
            words = f'There is no error class "{name}", so its policy would never apply.'
            yield Breach(path, words + suggestion(name, BY_NAME))
            continue
        try:
            policy = ErrorPolicy.model_validate(given, by_alias=True, by_name=False)
        except ValidationError as error:
            for finding in validation_findings(error, ErrorPolicy, path, Ref("", "", "")):
                yield Breach(finding.path, finding.message)
        else:
            yield from policy_breaches({name: policy}, "spec.errorPolicies")


def field_breaches(fields: dict[str, FieldSchema], at: str) -> Iterator[Breach]:
    """A list of fields is consistent: a path is a leaf or leads on, and values belong to their lists."""
    for path, schema in fields.items():
        place = f"{at}.{path}"
        try:
            parts = path_parts(path)
        except ValueError as error:
            yield Breach(place, f"{error}.")
            continue
        for length in range(1, len(parts)):
            above = ".".join(parts[:length])
            parent = fields.get(above)
            if parent is not None and parent.type not in ("map", "any"):
                yield Breach(
                    place,
                    f'"{above}" is a {parent.type} and cannot also have "{path}" within it, because a value '
                    "is one or the other. Rename one of them, or remove the outer one.",
                )
        for value in schema.meanings:
            if value not in schema.enum and not schema.discovered:
                words = f'"{value}" is given a meaning but is no value of "{path}".'
                yield Breach(f"{place}.meanings.{value}", words + suggestion(value, schema.enum))
        if schema.default is not None and schema.enum and str(schema.default) not in schema.enum:
            words = f'The default of "{path}" is none of its values.'
            yield Breach(f"{place}.default", words + suggestion(str(schema.default), schema.enum))
