"""Properties of mapping that hold for every JSON input."""

import json
from datetime import datetime, timedelta, timezone
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from intops_api.common import FieldSchema
from intops_api.mapping import MappingBody
from intops_core.coercion import CoercionError, coercer
from intops_core.mapping import Mapped, Source, Unmapped, compile_mapping
from intops_core.records import (
    ABSENT,
    get_path,
    join_path,
    leaves,
    path_parts,
    set_path,
)
from intops_core.typed import Record

NAMES = st.sampled_from(["a", "b", "labels", "severity", "x.y", "", "1"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from(["page", "3", "true", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
ITEMS = st.fixed_dictionaries(
    {},
    optional={
        "a": JSON,
        "b": JSON,
        "labels": st.fixed_dictionaries({}, optional={"severity": JSON, "a": JSON}) | JSON,
    },
)
TYPES = ("string", "integer", "number", "boolean", "time", "list", "map", "any")
TARGET = Record(
    {
        "sev": FieldSchema(enum=["critical", "info"]),
        "short": FieldSchema(max_length=4),
        "deep.cel": FieldSchema(),
        **{f"as.{kind}": FieldSchema.model_validate({"type": kind}) for kind in TYPES},
    }
)
BODY = MappingBody.model_validate(
    {
        "from": {"class": "any", "object": "thing"},
        "to": {"model": "thing", "version": "v1"},
        "variants": [
            {"name": "v1", "when": 'payload.a == "page" || has(object.a)'},
            {"name": "v2", "when": "true"},
        ],
        "fields": [
            {
                "to": "sev",
                "from": "labels.severity",
                "values": {"page": "critical", "3": "info"},
                "onUnmapped": "default",
                "default": "info",
                "meaning": "m",
            },
            {
                "to": "short",
                "from": ["labels.a", "b"],
                "values": {"true": True},
                "onUnmapped": "default",
                "default": "none",
                "meaning": "m",
            },
            {
                "to": "deep.cel",
                "cel": 'has(object.a) && object.a != "" ? string(object.b) : null',
                "default": "d",
                "variants": ["v1"],
                "meaning": "m",
            },
        ],
    }
)
MAPPING = compile_mapping(BODY, name="properties", target=TARGET, source_name="object")


@settings(max_examples=200, deadline=None)
@given(item=ITEMS | JSON, payload=JSON, explain=st.booleans())
def test_any_json_is_mapped_or_left_to_a_person(item: Any, payload: Any, explain: bool) -> None:
    """Applying never raises, changes nothing of the source, and is the same twice."""
    before = json.dumps([item, payload])
    source = Source(item, payload, {}, "2026-01-01T00:00:00Z")
    result = MAPPING.apply(source, explain=explain)

    assert isinstance(result, Mapped | Unmapped)
    assert json.dumps([item, payload]) == before
    assert MAPPING.apply(source, explain=explain) == result
    json.dumps(result.record)
    if isinstance(result, Unmapped):
        assert result.message


@settings(max_examples=300, deadline=None)
@given(kind=st.sampled_from(TYPES), value=JSON.filter(lambda value: value is not None))
def test_tolerant_reading_is_settled_after_one_pass(kind: str, value: Any) -> None:
    """What was converted once is of its type, is JSON, and is not converted again."""
    read = coercer(FieldSchema.model_validate({"type": kind}))
    try:
        once = read(value)
    except CoercionError:
        return

    assert read(once) == once
    json.dumps(once, allow_nan=False)


@given(value=st.integers(-(2**63), 2**63 - 1))
def test_an_integer_survives_its_text(value: int) -> None:
    """Number → text → number loses nothing."""
    text = coercer(FieldSchema(type="string"))(value)

    assert coercer(FieldSchema(type="integer"))(text) == value


@given(
    seconds=st.integers(-2_000_000_000, 60_000_000_000),
    fraction=st.sampled_from(["", ".5", ".000001"]),
    offset=st.integers(-14 * 60, 14 * 60),
)
def test_a_time_with_a_zone_is_the_same_moment_in_utc(
    seconds: int, fraction: str, offset: int
) -> None:
    """The text changes, the moment does not."""
    zone = timezone(timedelta(minutes=offset))
    moment = datetime.fromtimestamp(seconds, zone)
    plain = moment.isoformat()
    text = f"{plain[:19]}{fraction}{plain[19:]}"
    result = coercer(FieldSchema(type="time"))(text)

    assert result.endswith("Z")
    assert datetime.fromisoformat(result) == datetime.fromisoformat(text)


PATHS = st.lists(
    st.text(st.characters(exclude_characters="`", exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=4
)  # fmt: skip


@given(parts=PATHS)
def test_a_path_survives_being_written(parts: list[str]) -> None:
    """Segments with dots are quoted, so joining and splitting agree."""
    assert path_parts(join_path(tuple(parts))) == tuple(parts)


@given(parts=PATHS, value=SCALARS, record=st.dictionaries(NAMES, JSON, max_size=4))
def test_what_is_written_at_a_path_is_read_there(
    parts: list[str], value: Any, record: dict[str, Any]
) -> None:
    """A write either succeeds and can be read, or changes nothing."""
    path, before = join_path(tuple(parts)), json.dumps(record)
    if set_path(record, path, value):
        assert get_path(record, path) == value
        assert (path, value) in list(leaves(record))
    else:
        assert json.dumps(record) == before


@given(record=JSON, parts=PATHS)
def test_reading_a_path_never_raises(record: Any, parts: list[str]) -> None:
    """Whatever the record is, a path leads to a value or to nothing."""
    found = get_path(record, join_path(tuple(parts)))

    assert found is ABSENT or isinstance(found, object)
