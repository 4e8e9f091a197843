"""Whether one value that a person gives fits its field: type, list of values, length.

Used by the review queue for edits; the mapping engine fits values by its own rules.
"""

from typing import Any

from intops_core.coercion import CoercionError, coercer, shown, text_of
from intops_core.expression_errors import did_you_mean
from intops_core.records import path_parts
from intops_core.typed import Record


class MisfitError(Exception):
    """A value does not fit; the text is a sentence that begins with the path of the field."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path


def fit(record: Record, model: str, path: str, value: Any) -> Any:
    """The value as the field holds it.

    Args:
        record: Fields of the model.
        model: Name of the model, for the sentence.
        path: Dotted path of the field.
        value: What somebody wants to write; None takes the value away.

    Raises:
        MisfitError: there is no such field, it is personal, or the value does not fit.
    """
    try:
        path_parts(path)
    except ValueError as error:
        raise MisfitError(path, f"{error}.") from None
    schema = record.schema(path)
    if schema is None:
        hint = did_you_mean(path, record.fields)
        raise MisfitError(path, f'model "{model}" has no such field.{hint}')
    if schema.personal:
        words = (
            "the field holds personal data, which is never part of a correction, because corrections "
            "are recorded for good; correct it at the source and send it again."
        )
        raise MisfitError(path, words)
    if value is None:
        if schema.required:
            raise MisfitError(path, f'model "{model}" requires it; give it a value.')
        return None
    try:
        fitted = coercer(schema)(value)
    except CoercionError as error:
        raise MisfitError(path, f"the value {error}.") from None
    if schema.enum and not schema.discovered:
        for one in fitted if isinstance(fitted, list) else (fitted,):
            if text_of(one) not in schema.enum:
                allowed = ", ".join(schema.enum)
                raise MisfitError(path, f"it cannot be {shown(one)}; allowed: {allowed}.")
    limit = schema.max_length
    if limit is not None and isinstance(fitted, str) and len(fitted) > limit:
        words = f"it takes {limit} characters and the value has {len(fitted)}; shorten it."
        raise MisfitError(path, words)
    return fitted
