"""The ends of Mappings looked up: models, objects of classes, and what is missing between them.

Used by facts (for Flows), conformance and the rules about Mappings.
"""

from dataclasses import dataclass
from typing import cast

from intops_api.canonical_model import CanonicalModelSpec, ModelVersion
from intops_api.connector_class import ConnectorClassSpec
from intops_api.mapping import MappingBody, MappingEnd
from intops_core.findings import Breach, Ref, suggestion
from intops_core.resources import Resource, Resources
from intops_core.typed import Record


@dataclass(frozen=True, slots=True)
class Model:
    """One version of a CanonicalModel, looked up."""

    name: str
    version: ModelVersion
    record: Record
    key: str

    @property
    def label(self) -> str:
        """`event/v1`."""
        return f"{self.name}/{self.version.name}"


@dataclass(frozen=True, slots=True)
class MappingFacts:
    """One Mapping with its ends looked up; an end that does not exist is None.

    `at` is where its body stands, such as `spec` or `spec.mappings.alert-to-event`; `key` is equal for
    Mappings that mean the same between ends that mean the same.
    """

    name: str
    body: MappingBody
    at: str
    source: Record | None
    target: Record | None
    payload: Record | None
    source_name: str
    key: str

    @property
    def goes_between_systems(self) -> bool:
        """Whether neither end is a model."""
        return self.body.from_.model is None and self.body.to.model is None


def filled_fields(body: MappingBody) -> frozenset[str]:
    """Fields of the result for which a Mapping always has a rule, whatever the variant."""
    variants = {variant.name for variant in body.variants}
    covered: dict[str, set[str]] = {}
    for rule in body.fields:
        covered.setdefault(rule.to, set()).update(rule.variants or variants or {""})
    return frozenset(to for to, known in covered.items() if known >= (variants or {""}))


def missing_object(ref: Ref, resources: Resources, path: str, why: str) -> Breach:
    """An object that is named and does not exist (yet)."""
    hint = suggestion(ref.name, resources.names(ref.kind, ref.namespace))
    place = f' in namespace "{ref.namespace}"' if ref.namespace else ""
    return Breach(path, f"{ref} does not exist{place}, so {why}.{hint}", missing=ref)


def find_model(
    name: str, version: str, resources: Resources, path: str
) -> tuple[Model | None, Breach | None]:
    """A version of a CanonicalModel, or why there is none."""
    resource = resources.get("CanonicalModel", "", name)
    if resource is None:
        ref = Ref("CanonicalModel", "", name)
        return None, missing_object(ref, resources, path, "nothing is known about its fields")
    versions = cast("CanonicalModelSpec", resource.spec).versions
    found = next((one for one in versions if one.name == version), None)
    if found is None:
        words = f'CanonicalModel "{name}" has no version "{version}", so its fields are not known.'
        return None, Breach(path, words + suggestion(version, (one.name for one in versions)))
    return Model(name, found, Record(found.fields), f"{resource.digest}/{version}"), None


def mapping_facts(
    body: MappingBody, *, name: str, at: str, digest: str, carrier: Resource, resources: Resources
) -> tuple[MappingFacts, list[Breach]]:
    """A Mapping with its ends looked up, and what cannot be found.

    Args:
        body: The Mapping.
        name: Its name, for messages.
        at: Path of its body in the manifest.
        digest: Digest of the object that carries it.
        carrier: That object; a class may name itself although it is not yet known.
        resources: Everything that is known.
    """
    source, source_breach, source_key = _end(body.from_, f"{at}.from", carrier, resources)
    target, target_breach, target_key = _end(body.to, f"{at}.to", carrier, resources)
    payload: Record | None = None
    class_ = _class_of(body.from_, carrier, resources)
    if class_ is not None:
        capture = cast("ConnectorClassSpec", class_.spec).capture
        # Fields around the items; where none are declared nothing is known of them.
        if capture is not None and capture.object == body.from_.object and capture.payload_fields:
            payload = Record(capture.payload_fields, open=True)
    if body.from_.model is None and body.to.model is None:
        source = target = None  # nothing is to be said about fields of a Mapping that cannot be
    if body.partial and target is not None:
        target = target.partial()
    facts = MappingFacts(
        name=name,
        body=body,
        at=at,
        source=source,
        target=target,
        payload=payload,
        source_name=body.from_.model or "object",
        key=f"{digest}|{name}|{at}|{source_key}|{target_key}",
    )
    return facts, [breach for breach in (source_breach, target_breach) if breach is not None]


def _class_of(end: MappingEnd, carrier: Resource, resources: Resources) -> Resource | None:
    if end.class_ is None:
        return None
    if carrier.ref == Ref("ConnectorClass", "", end.class_):
        return carrier
    return resources.get("ConnectorClass", "", end.class_)


def _end(
    end: MappingEnd, path: str, carrier: Resource, resources: Resources
) -> tuple[Record | None, Breach | None, str]:
    if (end.model is None) == (end.class_ is None) or (end.object or end.version) is None:
        return None, None, ""  # the shape of such an end is refused by the rules of the CRD
    if end.model is not None:
        model, breach = find_model(end.model, end.version or "", resources, f"{path}.model")
        return (None, breach, "") if model is None else (model.record, None, model.key)
    class_ = _class_of(end, carrier, resources)
    if class_ is None:
        ref = Ref("ConnectorClass", "", end.class_ or "")
        why = "nothing is known about the fields of its objects"
        return None, missing_object(ref, resources, f"{path}.class", why), ""
    objects = cast("ConnectorClassSpec", class_.spec).objects
    schema = objects.get(end.object or "")
    if schema is None:
        words = f'ConnectorClass "{end.class_}" has no object "{end.object}", so its fields are not known.'
        hint = suggestion(end.object or "", objects)
        return None, Breach(f"{path}.object", words + hint), ""
    return Record(schema.fields, open=schema.open), None, f"{class_.digest}/{end.object}"
