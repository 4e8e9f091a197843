"""Type checks of expressions against the fields of models and objects."""

import pytest

from intops_api.common import FieldSchema
from intops_core.expressions import (
    ExpressionError,
    VarType,
    check_expression,
    compile_expression,
    expression_type,
)
from intops_core.typed import Record

EVENT = Record(
    {
        "title": FieldSchema(),
        "severity": FieldSchema(enum=["critical", "minor"]),
        "startsAt": FieldSchema(type="time"),
        "repeatCount": FieldSchema(type="integer"),
        "value": FieldSchema(type="number"),
        "inMaintenance": FieldSchema(type="boolean"),
        "tags": FieldSchema(type="list", of="string"),
        "extra": FieldSchema(type="any"),
        "resource.node": FieldSchema(),
        "resource.labels": FieldSchema(type="map", of="string"),
        "CustomFields": FieldSchema(type="map", of="string"),
        "CustomFields.intops_key": FieldSchema(required=True),
    }
)


def refusal(source: str, expects: VarType | None = None) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        check_expression(source, {"event": EVENT, "now": "time"}, expects=expects)
    return caught.value


@pytest.mark.parametrize(
    ("source", "words"),
    [
        pytest.param('event.severty == "a"', 'Did you mean "severity"?', id="misspelt field"),
        pytest.param("event.resource.nod", 'Did you mean "node"?', id="misspelt nested field"),
        pytest.param("has(event.titel)", 'Did you mean "title"?', id="misspelt in has"),
        pytest.param("event.zzz", "Its fields: ", id="far from any name"),
        pytest.param("event.?zzz.orValue(1)", 'no field "zzz"', id="misspelt optional"),
        pytest.param("evnt.title", 'Did you mean "event"?', id="misspelt variable"),
        pytest.param('event.repeatCount < "2"', "an integer and a string", id="wrong operand"),
        pytest.param("event.title > 5", "a string and an integer", id="text against number"),
        pytest.param('event.resource.labels["a"] + 1', "a string and an integer", id="map value"),
        pytest.param("event.tags[0] + 1", "a string and an integer", id="list element"),
        pytest.param("event.title ? 1 : 2", "must be a boolean", id="condition"),
        pytest.param("event.title.nope", "has no fields", id="below a text"),
        pytest.param('event["title"]', "read with a dot", id="index of a record"),
        pytest.param('event[?"title"].orValue("")', "read with a dot", id="optional index"),
        pytest.param('"title" in event', "has(record.name)", id="in a record"),
        pytest.param("event.resource.map(x, x)", "this is a record", id="walk through a record"),
    ],
)
def test_a_wrong_field_or_type_is_refused(source: str, words: str) -> None:
    """Each of these would compile against plain maps and fail for the first message."""
    error = refusal(source)

    assert words in error.message
    assert error.line == 1
    assert error.column > 0
    assert "Record0" not in error.message


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        pytest.param('event.title + "x"', "string", id="text"),
        pytest.param("event.repeatCount + 1", "integer", id="integer"),
        pytest.param("event.value + 1", "integer", id="number beside an integer"),
        pytest.param("event.value > 1.5", "boolean", id="number beside a number"),
        pytest.param('event.severity == "a" ? event.title : null', "string", id="nullable"),
        pytest.param('event.severity == "a" ? "other" : null', "any", id="null beside a literal"),
        pytest.param("event.?resource.?node.orValue('-')", "string", id="optional chain"),
        pytest.param("event.extra.anything.goes", "any", id="any stays open"),
        pytest.param("event.resource.labels.team.startsWith('db')", "boolean", id="map is open"),
        pytest.param("event.CustomFields.Severity", "string", id="map with one listed entry"),
        pytest.param("event.startsAt + '/'", "string", id="a time is its text"),
        pytest.param("timestamp(now)", "time", id="now is a text"),
        pytest.param("event.tags.exists(t, t == 'x')", "boolean", id="list of texts"),
        pytest.param("event.resource", "map", id="a record is a map"),
        pytest.param("event.tags", "list", id="list"),
        pytest.param("sha256(event.title)", "string", id="own function"),
    ],
)
def test_the_type_of_a_right_expression_is_known(source: str, kind: str) -> None:
    """What may be right compiles, and its type is what it gives."""
    assert expression_type(source, {"event": EVENT, "now": "time"}) == kind


def test_a_misspelt_field_is_refused_although_it_would_run() -> None:
    """The environment that runs knows no fields; only the typed one finds the mistake."""
    compile_expression('event.severty == "a"', frozenset({"event"}))

    assert (refusal('event.severty == "a"').line, refusal('event.severty == "a"').column) == (1, 6)


@pytest.mark.parametrize(
    ("source", "expects"),
    [
        ("event.title", "boolean"),
        ("event.title", "integer"),
        ("event.repeatCount", "string"),
        ("event.tags", "map"),
        ("event.resource", "string"),
    ],
)
def test_a_result_of_another_type_is_refused(source: str, expects: VarType) -> None:
    """A condition must be a boolean, an amount a number."""
    assert (
        f"must give a{'n' if expects == 'integer' else ''} {expects}"
        in refusal(source, expects).message
    )


def test_an_open_object_takes_any_field() -> None:
    """Where a class says that more fields may come, none is a mistake."""
    check_expression("object.whatever == 1", {"object": Record(EVENT.fields, open=True)})


def test_names_that_protobuf_cannot_have_leave_their_level_open() -> None:
    """Fields such as `content-type`, or two spellings of one name, do not break the check."""
    odd = Record(
        {"content-type": FieldSchema(), "a.fooBar": FieldSchema(), "a.foo_bar": FieldSchema()}
    )

    check_expression("object.`content-type` == object.a.foo_bar", {"object": odd})


def test_a_path_below_a_map_has_the_type_of_its_values() -> None:
    """Mapping rules look up the schema of any path that a record can have."""
    assert EVENT.schema("resource.labels.team") == FieldSchema(type="string")
    assert EVENT.schema("extra.deep.down") == FieldSchema(type="any")
    assert EVENT.schema("resource") == FieldSchema(type="map", of="any")
    assert EVENT.schema("resource.nod") is None
    assert Record({}, open=True).schema("x.y") == FieldSchema(type="any")


def test_a_field_whose_name_is_no_path_hides_nothing_but_itself() -> None:
    """Its name is refused where the fields are judged; the rest is judged all the same."""
    record = Record({"state.": FieldSchema(type="string"), "title": FieldSchema(type="string")})

    assert record.schema("state.x.") is None
    check_expression("object.title", {"object": record})
    with pytest.raises(ExpressionError, match='Did you mean "title"'):
        check_expression("object.titel", {"object": record})
