"""Manifests as typed resources, and the set of resources that are known.

Everybody starts here: the operator's cache, admission, the command line, tests.
"""

import hashlib
import json
import re
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from intops_api.common import (
    DNS_LABEL,
    DNS_SUBDOMAIN,
    DURATION,
    PERCENT,
    QUANTITY,
    ApiModel,
    ObjectMeta,
)
from intops_api.kinds import BY_NAME
from intops_api.names import API_VERSION
from intops_core.drafts.marks import marks
from intops_core.findings import DRAFT, SCHEMA, Finding, Ref, suggestion
from intops_core.metadata import metadata_as_stored, metadata_breaches
from intops_core.stored import as_stored

__all__ = [
    "Packed",
    "Ref",
    "Resource",
    "Resources",
    "canonical_json",
    "content_hash",
    "parse_resource",
]


_M = TypeVar("_M", bound=BaseModel)


# Not slotted: the digest is computed once, when it is first asked for.
@dataclass(frozen=True)
class Resource:
    """One manifest that has the right shape."""

    ref: Ref
    meta: ObjectMeta
    spec: BaseModel
    raw: dict[str, Any]

    @cached_property
    def digest(self) -> str:
        """Hash of the name and the spec: equal for objects that mean the same."""
        return content_hash([self.ref.kind, self.ref.name, self.wire])

    @property
    def wire(self) -> Any:
        """The spec as JSON, with what an absent field means written out."""
        return _wire(self.spec)


class Packed:
    """A resource as compressed JSON: a tenth of the memory, and half a millisecond whenever it is read.

    Those that were read last are kept as they are: what many Flows use is not read anew for each of them.
    """

    __slots__ = ("_data",)

    def __init__(self, resource: Resource) -> None:
        self._data = zlib.compress(json.dumps(resource.raw, separators=(",", ":")).encode())

    def read(self) -> Resource:
        """The resource."""
        return _unpacked(self)

    def parsed(self) -> Resource:
        """The resource, parsed anew."""
        found = parse_resource(json.loads(zlib.decompress(self._data)))
        if isinstance(found, list):
            raise TypeError(f"what was packed is no resource any more: {found[0].message}")
        return found


@lru_cache(maxsize=128)
def _unpacked(packed: Packed) -> Resource:
    return packed.parsed()


class Resources:
    """What is known, by kind, namespace and name. Not safe to change while another thread reads."""

    def __init__(self) -> None:
        self._kinds: defaultdict[str, dict[str, dict[str, Resource | Packed]]] = defaultdict(dict)

    def add(self, resource: Resource, *, packed: bool = False) -> None:
        """Add a resource, or replace the one of the same name.

        Args:
            resource: The resource.
            packed: Whether to keep it small rather than quick: for thousands that are seldom read.
        """
        ref = resource.ref
        place = self._kinds[ref.kind].setdefault(_scope(ref.kind, ref.namespace), {})
        place[ref.name] = Packed(resource) if packed else resource

    def remove(self, ref: Ref) -> None:
        """Forget a resource; it need not be known."""
        self._kinds[ref.kind].get(_scope(ref.kind, ref.namespace), {}).pop(ref.name, None)

    def copy(self) -> "Resources":
        """Another set of the same resources."""
        copied = Resources()
        for kind, places in self._kinds.items():
            for place, named in places.items():
                copied._kinds[kind][place] = dict(named)
        return copied

    def part(self, namespace: str) -> "Resources":
        """Another set of the cluster-scoped resources and of those of one namespace."""
        copied = Resources()
        for kind, places in self._kinds.items():
            place = _scope(kind, namespace)
            if place in places:
                copied._kinds[kind][place] = dict(places[place])
        return copied

    def get(self, kind: str, namespace: str, name: str) -> Resource | None:
        """One resource; the namespace does not matter for cluster-scoped kinds."""
        found = self._kinds.get(kind, {}).get(_scope(kind, namespace), {}).get(name)
        return found.read() if isinstance(found, Packed) else found

    def all(self, kind: str, namespace: str | None = None) -> list[Resource]:
        """Resources of a kind, in one namespace or everywhere, by namespace and name."""
        return list(self._iterate(kind, namespace))

    def names(self, kind: str, namespace: str) -> list[str]:
        """Names of the resources of a kind in one namespace, sorted."""
        return sorted(self._kinds.get(kind, {}).get(_scope(kind, namespace), {}))

    def _iterate(self, kind: str, namespace: str | None) -> Iterator[Resource]:
        places = self._kinds.get(kind, {})
        wanted = sorted(places) if namespace is None else [_scope(kind, namespace)]
        for place in wanted:
            for _, found in sorted(places.get(place, {}).items()):
                yield found.read() if isinstance(found, Packed) else found


def canonical_json(value: Any) -> str:
    """JSON that is equal for equal values, whatever the order of their keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def content_hash(value: Any) -> str:
    """First 16 hexadecimal digits of the SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def parse_resource(raw: dict[str, Any]) -> Resource | list[Finding]:
    """A manifest as a resource, or everything that is wrong with its shape.

    Args:
        raw: The manifest as JSON; `status` is not looked at.
    """
    meta_raw = raw.get("metadata")
    meta_dict = metadata_as_stored(meta_raw) if isinstance(meta_raw, dict) else {}
    kind = BY_NAME.get(str(raw.get("kind", "")))
    namespace = str(meta_dict.get("namespace", "")) if kind is None or kind.namespaced else ""
    ref = Ref(str(raw.get("kind", "")), namespace, str(meta_dict.get("name", "")))
    findings: list[Finding] = []
    # Objects from a cluster come without apiVersion inside lists; absent is not wrong there.
    if raw.get("apiVersion", API_VERSION) != API_VERSION:
        message = (
            f'apiVersion "{raw.get("apiVersion")}" is not known here, so the object cannot be '
            f"understood; write {API_VERSION}."
        )
        findings.append(Finding(SCHEMA, "deny", "apiVersion", message, ref))
    if kind is None:
        hint = suggestion(ref.kind, BY_NAME)
        message = f'There is no kind "{ref.kind}" in this group; write one of the kinds.{hint}'
        return [*findings, Finding(SCHEMA, "deny", "kind", message, ref)]
    if not ref.name:
        message = "The object has no name, so nothing can refer to it; write metadata.name."
        findings.append(Finding(SCHEMA, "deny", "metadata.name", message, ref))
    findings += [
        Finding(SCHEMA, "deny", breach.path, breach.message, ref)
        for breach in metadata_breaches(meta_raw if isinstance(meta_raw, dict) else {})
    ]
    meta = _validated(ObjectMeta, meta_dict, "metadata", ref, findings)
    stored = as_stored(raw.get("spec", {}), kind.spec)
    spec = _validated(kind.spec, stored, "spec", ref, findings)
    if findings or meta is None or spec is None:
        return findings
    return Resource(ref, meta, spec, raw if stored is raw.get("spec") else {**raw, "spec": stored})


def field_path(at: str, loc: tuple[int | str, ...]) -> str:
    """A pydantic location as people see it: `spec.routes[2].when`."""
    path = at
    for part in loc:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part != "[key]":
            path += f".{part}"
    return path


def validation_findings(
    error: ValidationError, model: type[BaseModel], at: str, ref: Ref
) -> list[Finding]:
    """Every error of pydantic as a finding, without the value that was given."""
    return [
        Finding(SCHEMA, "deny", field_path(at, item["loc"]), _sentence(dict(item), model), ref)
        for item in error.errors(include_url=False, include_input=True)
    ]


def _validated(
    model: type[_M], value: Any, at: str, ref: Ref, findings: list[Finding]
) -> _M | None:
    try:
        # by_name is off: manifests have one spelling, the one that the API server knows. Strict, as it is:
        # "1" is no number and "true" is a text.
        return model.model_validate(value, strict=True, by_alias=True, by_name=model is ObjectMeta)
    except ValidationError as error:
        unfilled = [Finding(DRAFT, "deny", path, words, ref) for path, words in marks(value, at)]
        told = {finding.path for finding in unfilled}
        found = validation_findings(error, model, at, ref)
        findings += [*unfilled, *(finding for finding in found if finding.path not in told)]
        return None


def _scope(kind: str, namespace: str) -> str:
    known = BY_NAME.get(kind)
    return "" if known is not None and not known.namespaced else namespace


def _wire(spec: BaseModel) -> Any:
    return spec.to_wire() if isinstance(spec, ApiModel) else spec.model_dump(mode="json")


_FORMS: Final[dict[str, str]] = {
    DURATION: "is not a duration; write for example 30s, 5m, 1h30m or 30d",
    PERCENT: 'is not a percentage; write for example "99.9%"',
    QUANTITY: "is not a quantity; write for example 500m, 256Mi or 2",
    DNS_LABEL: "is not a name; use lower-case letters, digits and dashes, at most 63",
    DNS_SUBDOMAIN: "is not a name; use lower-case letters, digits, dashes and dots",
    r"^https?://\S+$": "is not an address; write it with its scheme, such as https://desk.example.com",
    r"^v[0-9]+$": "is not a version; write for example v1",
    r"^[a-zA-Z0-9.-]+/v[0-9]+$": "is not a model with its version; write for example event/v1",
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$": 'is not a day; write it in quotes, such as "2027-04-30"',
}
_TYPE_WORDS: Final = {
    "string_type": "a text; put it in quotes",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list; begin each element with a dash",
    "dict_type": "a map of names and values",
    "model_type": "a map of fields",
    "model_attributes_type": "a map of fields",
}

_UNQUOTED: Final = frozenset({"int_type", "float_type", "bool_type"})


def _sentence(item: dict[str, Any], model: type[BaseModel]) -> str:
    """What one error of pydantic means. Values are not repeated: they may be secrets."""
    loc = item["loc"]
    name = next((part for part in reversed(loc) if isinstance(part, str) and part != "[key]"), "")
    kind, context = item["type"], item.get("ctx", {})
    subject = f'"{name}"' if name else "The object"
    if kind == "missing":
        return f"{subject} is missing, and nothing can stand for it; write it."
    if kind == "extra_forbidden":
        known = _known_fields(model, loc[:-1])
        return f"There is no field {subject} here, so it would do nothing.{suggestion(name, known)}"
    if kind in _TYPE_WORDS:
        quoted = kind in _UNQUOTED and isinstance(item.get("input"), str)
        return f"{subject} must be {_TYPE_WORDS[kind]}{' without quotes' if quoted else ''}."
    if kind == "literal_error":
        return f"{subject} must be one of {context.get('expected', '')}."
    if kind == "string_pattern_mismatch":
        pattern = context.get("pattern", "")
        return f"{subject} {_FORMS.get(pattern, f'must have the form {pattern}')}."
    if kind == "value_error":
        return str(context.get("error", item["msg"]))
    words = re.sub(r"^(Input|Value|String|List|Dictionary) ", "", item["msg"])
    words = words.replace(" after validation", "").removesuffix(", not more")
    return f"{subject} {words}."


def _known_fields(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Field names at a place of a model; empty where it cannot be told."""
    found: Any = model
    for part in loc:
        if isinstance(part, int):
            continue
        if not (isinstance(found, type) and issubclass(found, BaseModel)):
            continue  # the key of a map: its values have the type that is already there
        field = next((f for n, f in found.model_fields.items() if part in (n, f.alias)), None)
        if field is not None:
            found = _model_within(field.annotation)
    if isinstance(found, type) and issubclass(found, BaseModel):
        return [field.alias or name for name, field in found.model_fields.items()]
    return []


def _model_within(annotation: Any) -> Any:
    """The model somewhere in an annotation such as `dict[str, list[Binding]] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_within(argument)
        if found is not None:
            return found
    return None
