"""A field rule as one closure: finds, translates, fits and writes a value the usual way.

Used by `mapping` where nobody asks how a field came about. What is unusual (an error, a value that the
table lacks, a type that has to be converted) is left to the rule itself, so both give the same.
"""

import sys
from collections.abc import Callable
from typing import Any, Final

from intops_core.expression_forms import IN_DOUBT
from intops_core.expression_values import result
from intops_core.expressions import Program
from intops_core.mapping_rules import Reader, Rule
from intops_core.mapping_run import RefusedError, Run
from intops_core.records import ABSENT, path_parts, set_parts

RuleForm = Callable[[Run, dict[str, Any], dict[str, Any]], None]
"""One application with its names, the record to write to, and the originals of translated values."""
_Find = Callable[[Run], Any]

# What `_Find` gives where only the rule itself can tell.
_UNUSUAL: Final = object()
_IMMUTABLE: Final = (str, bool, int, float)


def rule_form(rule: Rule) -> RuleForm:
    """The closure of a rule; it does what `rule.apply` does, without steps."""
    find, write = _find(rule), _write(rule.parts)
    # The default and the entries of the table, ready to be written.
    absent = _default(rule)
    table = {name: _ready(rule, value) for name, value in rule.rule.values.items()}
    translates, to, longest = bool(table), rule.rule.to, _longest_as_it_is(rule)
    fit, by_rule = rule.fit, rule.apply

    def run_rule(run: Run, record: dict[str, Any], source_values: dict[str, Any]) -> None:
        found = find(run)
        value = found
        if found is ABSENT:
            value = absent
        elif translates:
            value = table.get(found, _UNUSUAL) if type(found) is str else _UNUSUAL
        elif found is not _UNUSUAL and not (type(found) is str and len(found) <= longest):
            value = fit(found)
        if value is _UNUSUAL or (value is not ABSENT and not write(record, value)):
            by_rule(run, record, source_values, None)
        elif translates and found is not ABSENT:
            source_values[to] = found

    return run_rule


def _longest_as_it_is(rule: Rule) -> int:
    """Characters up to which the field takes any text as it is; -1 where none is."""
    if rule.plain_text:
        return sys.maxsize
    schema = rule.schema
    if schema.type == "string" and not rule.enum and schema.max_length is not None:
        return schema.max_length
    return -1


def _default(rule: Rule) -> Any:
    """What is written where the source has no value."""
    try:
        value, _ = rule.fallback()
    except RefusedError:
        return _UNUSUAL
    return ABSENT if value is ABSENT else _ready(rule, value)


def _ready(rule: Rule, value: Any) -> Any:
    """What is written for a value that is known beforehand; `ABSENT` where nothing is."""
    if value is None:
        return _UNUSUAL if rule.schema.required else ABSENT
    try:
        fitted = value if rule.plain_text and type(value) is str else rule.fit(value)
    except RefusedError:
        return _UNUSUAL
    return fitted if type(fitted) in _IMMUTABLE else _UNUSUAL


def _find(rule: Rule) -> _Find:
    keeps_empty = "" in rule.rule.values
    if rule.program is not None:
        return _calculated(rule.program, keeps_empty)
    reads = [_reader(reader) for reader in rule.readers]
    if len(reads) == 1 and not keeps_empty:
        (only,) = reads

        def find_one(run: Run) -> Any:
            value = only(run)
            return ABSENT if value is None or value == "" else value

        return find_one

    def find(run: Run) -> Any:
        for read in reads:
            value = read(run)
            if value is not None and value is not ABSENT and (value != "" or keeps_empty):
                return value
        return ABSENT

    return find


def _calculated(program: Program, keeps_empty: bool) -> _Find:
    form = program.form
    if form is None:
        return lambda run: _UNUSUAL

    def calculate(run: Run) -> Any:
        try:
            value = result(form(run.names))
        except IN_DOUBT:
            return _UNUSUAL
        return ABSENT if value is None or (value == "" and not keeps_empty) else value

    return calculate


def _reader(reader: Reader) -> _Find:
    root, read = reader.root, reader.read
    parts = path_parts(reader.way) if reader.way else ()
    if len(parts) == 1:
        (name,) = parts

        def read_one(run: Run) -> Any:
            node = run.names[root]
            return node.get(name) if isinstance(node, dict) else None

        return read_one
    if len(parts) == 2:
        outer, inner = parts

        def read_two(run: Run) -> Any:
            node = run.names[root]
            if isinstance(node, dict):
                node = node.get(outer)
                if isinstance(node, dict):
                    return node.get(inner)
            return None

        return read_two
    return lambda run: read(run.names[root])


def _write(parts: tuple[str, ...]) -> Callable[[dict[str, Any], Any], bool]:
    if len(parts) == 2:
        outer, inner = parts

        def write(record: dict[str, Any], value: Any) -> bool:
            node = record.get(outer, ABSENT)
            if node is ABSENT:
                record[outer] = {inner: value}
            elif isinstance(node, dict):
                node[inner] = value
            else:
                return False
            return True

        return write
    if len(parts) == 1:
        (name,) = parts

        def write_top(record: dict[str, Any], value: Any) -> bool:
            record[name] = value
            return True

        return write_top
    return lambda record, value: set_parts(record, parts, value)
