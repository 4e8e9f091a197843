"""One field rule made ready to run: find a value, translate it, fit it to its field, write it.

Used by `mapping` only, which runs the rules of a Mapping in their order.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from intops_api.common import FieldSchema
from intops_api.mapping import FieldRule
from intops_core.coercion import CoercionError, coercer, shown, text_of
from intops_core.expressions import EvaluationError, Program, compile_expression
from intops_core.mapping_run import LeftOut, RefusedError, Run
from intops_core.records import ABSENT, getter, path_parts, set_parts
from intops_core.typed import Record

_BARE_PATH: Final = re.compile(r"\s*([a-z]\w*)((?:\.[A-Za-z_]\w*)+)\s*", re.ASCII)
_TEXT: Final = re.compile(r"""\s*(?:"([^"\\\n]*)"|'([^'\\\n]*)')\s*""")
_ANY: Final = FieldSchema(type="any")


@dataclass(frozen=True, slots=True)
class Step:
    """What one rule did, for people who ask how a field came about.

    Attributes:
        to: Path of the field in the result.
        rule: Path of the rule in the Mapping, such as `spec.fields[3]`.
        source: Path or expression that gave the value; empty where none did.
        before: The value as it was found; None where there was none.
        after: The value in the result; None where the field is not set.
        meaning: What the rule means for the business.
        note: What was special: a table, a default, a reason why the field is not set.
    """

    to: str
    rule: str
    source: str
    before: Any
    after: Any
    meaning: str
    note: str


# A value, where it was found, and what is to be said about that. A tuple, because one is made for
# each rule of each message.
Found = tuple[Any, str, str]
_NOTHING: Final[Found] = (ABSENT, "", "")


@dataclass(frozen=True, slots=True)
class Reader:
    """One `from` path, or an expression that is only a path or only a text.

    Attributes:
        path: What the Mapping says, for people.
        root: Name of the value that is read.
        read: Reads it.
        way: The dotted path in that value; empty for a text.
    """

    path: str
    root: str
    read: Callable[[Any], Any]
    way: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A field rule with everything precomputed."""

    rule: FieldRule
    at: str
    parts: tuple[str, ...]
    schema: FieldSchema
    readers: tuple[Reader, ...]
    program: Program | None
    coerce: Callable[[Any], Any]
    enum: frozenset[str]
    variants: frozenset[str]
    plain_text: bool  # a field of any text, which most are: nothing has to be looked at

    def find(self, run: Run) -> Found:
        """The source's value; null is absent, and so is an empty text that the table lacks."""
        if self.program is not None:
            return self._calculate(self.program, run)
        for reader in self.readers:
            value = reader.read(run.names[reader.root])
            if value is ABSENT or value is None or (value == "" and "" not in self.rule.values):
                continue
            return value, reader.path, ""
        return _NOTHING

    def _calculate(self, program: Program, run: Run) -> Found:
        try:
            value = run.evaluate(program)
        except EvaluationError as error:
            if error.missing and self.rule.default is not None:
                return ABSENT, "", error.message
            raise RefusedError(
                "review", f"{self.rule.to}: {error.message} ({self.at}.cel)"
            ) from None
        if value is None or (value == "" and "" not in self.rule.values):
            return _NOTHING
        return value, program.source, ""

    def fallback(self) -> tuple[Any, str]:
        """The value for an absent source and a note; `ABSENT` where the field is not set."""
        if self.rule.default is not None:
            return self.rule.default, "default, because the source has no value"
        if "unknown" in self.rule.values:
            return self.rule.values["unknown"], 'entry "unknown", because the source has no value'
        if self.schema.required:
            tried = ", ".join(reader.path for reader in self.readers) or "the expression"
            raise RefusedError(
                "review",
                f'"{self.rule.to}" is required and the source has no value for it (looked at '
                f"{tried}). Add the value at the source, another path, or a default ({self.at}).",
            )
        return ABSENT, "not set, because the source has no value"

    def translate(self, value: Any, run: Run) -> tuple[Any, str]:
        """The table's value for a source value, and a note; `ABSENT` where the field is left out."""
        values = self.rule.values
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if not isinstance(value, list | dict) and value is not None:
            key = text_of(value)
            if key not in values and isinstance(value, float) and value.is_integer():
                key = str(int(value))  # JSON may write 3 as 3.0
            if key in values:
                return values[key], "from the table"
        display = shown(value, personal=self.schema.personal)
        if self.rule.on_unmapped == "default" and self.rule.default is not None:
            return self.rule.default, f"default, because the table has no entry {display}"
        known = ", ".join(list(values)[:16]) + (", …" if len(values) > 16 else "")
        words = (
            f'The table of "{self.rule.to}" has no entry for {display}; it knows {known}. '
            f"Add the entry to {self.at}.values, or decide this message by hand."
        )
        if self.rule.on_unmapped == "continue" and self._may_be_left_out:
            run.left_out += (LeftOut(self.rule.to, words),)
            instead = ABSENT if self.rule.default is None else self.rule.default
            return instead, f"left for a person, because the table has no entry {display}"
        raise RefusedError("reject" if self.rule.on_unmapped == "reject" else "review", words)

    @property
    def _may_be_left_out(self) -> bool:
        return self.rule.default is not None or not self.schema.required

    def fit(self, value: Any) -> Any:
        """The value in the type, the list of values and the length of the field."""
        schema = self.schema
        try:
            result = self.coerce(value)
        except CoercionError as error:
            raise RefusedError("review", f'"{self.rule.to}" {error} ({self.at}).') from None
        if self.enum:
            for one in result if isinstance(result, list) else (result,):
                if text_of(one) not in self.enum:
                    raise RefusedError(
                        "review",
                        f'"{self.rule.to}" cannot be {shown(one, personal=schema.personal)}; '
                        f"allowed: {', '.join(schema.enum)}. "
                        f"Translate the value with a table ({self.at}.values).",
                    )
        limit = schema.max_length
        if limit is not None and isinstance(result, str) and len(result) > limit:
            raise RefusedError(
                "review",
                f'"{self.rule.to}" takes {limit} characters and the value has {len(result)}. '
                f"It is never cut off silently; shorten it in {self.at}.cel, for example with "
                "substring(…).",
            )
        return result

    def apply(
        self,
        run: Run,
        record: dict[str, Any],
        source_values: dict[str, Any],
        steps: list[Step] | None,
    ) -> None:
        """Run one rule and write its field.

        Raises:
            RefusedError: the field cannot be mapped.
        """
        found = _NOTHING
        value: Any = ABSENT
        note = ""
        try:
            found = self.find(run)
            value, note = self._result(found[0], run, source_values)
            if value is not ABSENT and not set_parts(record, self.parts, value):
                raise RefusedError(
                    "review",
                    f'"{self.rule.to}" lies below a value that is not an object ({self.at}).',
                )
        except RefusedError as refused:
            value, note = ABSENT, refused.message
            raise
        finally:
            if steps is not None:
                steps.append(self._step(found, value, note))

    def _result(self, original: Any, run: Run, source_values: dict[str, Any]) -> tuple[Any, str]:
        """What is written for a source value, or `ABSENT`, and a note."""
        if original is ABSENT:
            value, note = self.fallback()
            if value is ABSENT:
                return ABSENT, note
        elif self.rule.values:
            source_values[self.rule.to] = original
            value, note = self.translate(original, run)
            if value is ABSENT:
                return ABSENT, note
        else:
            value, note = original, ""
        if self.plain_text and type(value) is str:
            return value, note
        if value is None:
            if self.schema.required:
                words = f'"{self.rule.to}" is required and its table gives null ({self.at}.values).'
                raise RefusedError("review", words)
            return ABSENT, note
        return self.fit(value), note

    def _step(self, found: Found, after: Any, note: str) -> Step:
        before, source, remark = found
        return Step(
            to=self.rule.to,
            rule=self.at,
            source=source,
            before=None if before is ABSENT else before,
            after=None if after is ABSENT else after,
            meaning=self.rule.meaning,
            note=" ".join(filter(None, (note, remark))),
        )


def compile_rule(
    rule: FieldRule, at: str, target: Record, source_name: str, names: frozenset[str]
) -> Rule:
    schema = target.schema(rule.to) or _ANY
    enum = frozenset[str]() if schema.discovered else frozenset(schema.enum)
    readers = [Reader(path, source_name, getter(path), path) for path in rule.from_]
    program: Program | None = None
    if rule.cel is not None:
        program = compile_expression(rule.cel, names)
        plain = _without_engine(rule.cel, source_name, names)
        if plain is not None:
            readers, program = [plain], None
    return Rule(
        rule=rule,
        at=at,
        parts=path_parts(rule.to),
        schema=schema,
        readers=tuple(readers),
        program=program,
        coerce=coercer(schema),
        enum=enum,
        variants=frozenset(rule.variants),
        plain_text=schema.type == "string" and not schema.max_length and not enum,
    )


def _without_engine(cel: str, source_name: str, names: frozenset[str]) -> Reader | None:
    """A reader for an expression that is only a text or only a path; None for any other.

    A path is read as `from` is, so what is missing is absent and not an error.
    """
    if text := _TEXT.fullmatch(cel):
        constant = text[1] if text[1] is not None else text[2]
        return Reader(cel.strip(), source_name, lambda _: constant)
    path = _BARE_PATH.fullmatch(cel)
    if path is None or path[1] not in names:
        return None
    return Reader(cel.strip(), path[1], getter(path[2][1:]), path[2][1:])
