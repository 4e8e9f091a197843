"""A rule for a field with a closed list of values: the words of the sample, and those that belong with them."""

from collections.abc import Mapping
from typing import Any, Final

from intops_api.common import FieldSchema
from intops_core.coercion import text_of
from intops_core.drafts.draft import Entry, Fields, fields
from intops_core.drafts.inference import Leaf
from intops_core.drafts.marks import MARK
from intops_core.drafts.matching import value_of, words_beside
from intops_core.drafts.synonyms import MEANINGS

# Where an absent value has a word of its own.
DEFAULTS: Final[Mapping[str, str]] = {
    "severity": "unknown",
    "environment": "unknown",
    "category": "other",
    "resource.node": "unknown",
}
_MOST_VALUES: Final = 24


def table_rule(model: str, path: str, schema: FieldSchema, leaf: Leaf, note: str) -> Fields:
    """A field with a closed list of values: the words of the sample, and those that belong with them."""
    seen = list(dict.fromkeys(text_of(value) for value in leaf.values))[:_MOST_VALUES]
    # A word that the sample does not explain is asked for; of many, only that there are more.
    values: dict[str, Any] = {
        text: value_of(model, path, schema, leaf, text) or MARK for text in seen if len(text) <= 64
    }
    values |= {
        word: value
        for word, value in words_beside(model, path, list(values)).items()
        if word not in values and value in schema.enum
    }
    if model == "event" and path == "state" and set(values) & {"true", "false"}:
        for text in ("true", "false"):
            values.setdefault(text, value_of(model, path, schema, leaf, text) or MARK)
    if not values:
        values = {value: value for value in schema.enum if value != "other"}
    unknown = [text for text in seen if values.get(text) == MARK]
    asked = (
        f" Which of {', '.join(schema.enum)} is meant by {', '.join(unknown)}?" if unknown else ""
    )
    default = DEFAULTS.get(path)
    optional = default is not None and path != "severity"
    return fields(
        Entry("to", path, note + asked),
        Entry("from", leaf.path),
        Entry("values", values),
        Entry("onUnmapped", "default" if optional else "review"),
        Entry("default", default) if default is not None and default in schema.enum else None,
        Entry("meaning", meaning_of(path, schema)),
    )


def meaning_of(path: str, schema: FieldSchema | None = None) -> str:
    """What a rule for a field of a model means for the business, in a sentence that is long enough."""
    known = MEANINGS.get(path) or (schema.meaning if schema is not None else None) or ""
    return known if len(known) >= 20 else f"Proposed for {path}; say here what it means to you."
