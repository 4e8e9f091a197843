"""The mapping engine: what becomes of a message, and what is left to a person."""

from collections.abc import Iterator
from typing import Any

import pytest

from intops_api.common import FieldSchema
from intops_api.mapping import MappingBody
from intops_core.mapping import (
    CompiledMapping,
    Mapped,
    MappingError,
    Source,
    Unmapped,
    compile_mapping,
)
from intops_core.mapping_checks import check_mapping
from intops_core.mapping_examples import run_examples
from intops_core.typed import Record

NOW = "2026-01-01T00:00:00Z"
ALERT = Record(
    {
        "status": FieldSchema(enum=["firing", "resolved"], required=True),
        "labels": FieldSchema(type="map", of="string"),
        "annotations": FieldSchema(type="map", of="string"),
        "startsAt": FieldSchema(type="time"),
        "count": FieldSchema(type="integer"),
        "flag": FieldSchema(type="boolean"),
    }
)
EVENT = Record(
    {
        "state": FieldSchema(enum=["firing", "resolved", "unknown"], required=True),
        "severity": FieldSchema(enum=["critical", "info", "unknown", "other"]),
        "title": FieldSchema(max_length=20),
        "startsAt": FieldSchema(type="time"),
        "repeatCount": FieldSchema(type="integer"),
        "tags": FieldSchema(type="list", of="string"),
        "caller": FieldSchema(personal=True, enum=["nobody"]),
        "resource.node": FieldSchema(),
        "resource.labels": FieldSchema(type="map", of="string"),
        "status": FieldSchema(enum=["new"], discovered=True),
        "raw": FieldSchema(type="any"),
    }
)


def body(*rules: dict[str, Any], **more: Any) -> MappingBody:
    return MappingBody.model_validate(
        {
            "from": {"class": "alertmanager", "object": "alert"},
            "to": {"model": "event", "version": "v1"},
            "fields": [{"meaning": "It matters.", **rule} for rule in rules],
            **more,
        }
    )


def mapping(*rules: dict[str, Any], **more: Any) -> CompiledMapping:
    return compile_mapping(body(*rules, **more), name="test", target=EVENT, source_name="object")


def source(item: Any, payload: Any = None) -> Source:
    return Source(item, payload, {"x-tool": "a"}, NOW)


def mapped(item: Any, *rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    result = mapping(*rules, **more).apply(source(item))
    assert isinstance(result, Mapped), result
    return result.record


def unmapped(item: Any, *rules: dict[str, Any], **more: Any) -> Unmapped:
    result = mapping(*rules, **more).apply(source(item))
    assert isinstance(result, Unmapped), result
    return result


SEVERITY = {
    "to": "severity",
    "from": "labels.severity",
    "values": {"page": "critical", "info": "info", "unknown": "unknown", "3": "info"},
}


def test_the_first_present_path_is_taken() -> None:
    """Null and an empty text count as absent, so the next path has its turn."""
    rule = {"to": "resource.node", "from": ["labels.a", "labels.b", "labels.c", "labels.d"]}

    assert mapped({"labels": {"b": None, "c": "", "d": "db01"}}, rule) == {
        "resource": {"node": "db01"}
    }


def test_a_table_translates_and_the_original_word_is_kept() -> None:
    """Translated values can be traced back to what the source said."""
    result = mapping(SEVERITY).apply(source({"labels": {"severity": "page"}}))

    assert isinstance(result, Mapped)
    assert result.record == {"severity": "critical"}
    assert result.source_values == {"severity": "page"}


@pytest.mark.parametrize("value", [3, 3.0, "3", ["3"], [3]])
def test_a_table_is_looked_up_by_text(value: Any) -> None:
    """Numbers are found by their text, and so is a list of one."""
    assert mapped({"labels": {"severity": value}}, SEVERITY) == {"severity": "info"}


@pytest.mark.parametrize(
    ("more", "outcome"),
    [
        ({}, "review"),
        ({"onUnmapped": "review", "default": "other"}, "review"),
        ({"onUnmapped": "reject"}, "reject"),
    ],
    ids=["nothing said", "default is for absent values only", "refused"],
)
def test_a_value_that_nobody_has_placed_is_never_guessed(
    more: dict[str, Any], outcome: str
) -> None:
    """A person sees it unless the Mapping says otherwise; `other` is not taken by itself."""
    result = unmapped({"labels": {"severity": "sev-0"}}, {**SEVERITY, **more})

    assert (result.outcome, result.path) == (outcome, "severity")
    assert '"sev-0"' in result.message
    assert "spec.fields[0].values" in result.message


def test_a_default_stands_for_unplaced_values_only_where_the_rule_says_so() -> None:
    """`onUnmapped: default` is explicit, and the original word is kept."""
    rule = {**SEVERITY, "onUnmapped": "default", "default": "other"}
    result = mapping(rule).apply(source({"labels": {"severity": "sev-0"}}), explain=True)

    assert isinstance(result, Mapped)
    assert result.record == {"severity": "other"}
    assert result.source_values == {"severity": "sev-0"}
    assert "default" in result.steps[0].note


@pytest.mark.parametrize(
    ("more", "record"),
    [({}, {"title": "a"}), ({"default": "other"}, {"severity": "other", "title": "a"})],
    ids=["left out", "the default until then"],
)
def test_the_rest_goes_on_without_an_unplaced_value_where_the_rule_says_so(
    more: dict[str, Any], record: dict[str, Any]
) -> None:
    """`onUnmapped: continue` keeps a message from waiting for one field; the value is still a question."""
    rule = {**SEVERITY, "onUnmapped": "continue", **more}
    item = {"labels": {"severity": "sev-0"}, "name": "a"}
    result = mapping(rule, {"to": "title", "from": "name"}).apply(source(item), explain=True)

    assert isinstance(result, Mapped)
    assert result.record == record
    (left,) = result.left_out
    assert left.path == "severity"
    assert '"sev-0"' in left.message
    assert "spec.fields[0].values" in left.message
    assert '"sev-0"' in result.steps[0].note


def test_a_placed_value_leaves_no_question() -> None:
    """The choice matters only for what the table lacks."""
    rule = {**SEVERITY, "onUnmapped": "continue"}
    result = mapping(rule).apply(source({"labels": {"severity": "page"}}))

    assert result == Mapped({"severity": "critical"}, None, {"severity": "page"})


def test_a_required_field_cannot_be_left_out() -> None:
    """Admission says so; a Mapping that got past it leaves the message to a person."""
    rule = {"to": "state", "from": "status", "values": {"on": "firing"}, "onUnmapped": "continue"}
    problems = check_mapping(
        body(rule), "test", source=ALERT, target=EVENT, payload=None, source_name="object"
    )

    assert [problem.path for problem in problems] == ["spec.fields[0].onUnmapped"]
    assert "default" in problems[0].message
    assert unmapped({"status": "off"}, rule).outcome == "review"


def test_only_what_a_system_sends_can_be_asked_about_afterwards() -> None:
    """Between models there is no payload that a person could decide about once the rest is delivered."""
    ends = {"from": {"model": "event", "version": "v1"}}
    rule = {"to": "title", "from": "a", "values": {"a": "b"}, "onUnmapped": "continue"}
    with pytest.raises(MappingError) as caught:
        mapping(rule, **ends)

    assert [problem.path for problem in caught.value.problems] == ["spec.fields[0].onUnmapped"]


def test_an_absent_value_is_the_default_else_the_entry_unknown_else_not_set() -> None:
    """Absent is not a value: without a default nothing is written."""
    assert mapped({}, {**SEVERITY, "default": "info"}) == {"severity": "info"}
    assert mapped({}, SEVERITY) == {"severity": "unknown"}
    assert mapped({}, {"to": "title", "from": "annotations.summary"}) == {}


def test_an_empty_text_is_a_value_only_where_the_table_names_it() -> None:
    """Some systems say nothing by an empty text and mean something."""
    table = {"": "info", "page": "critical"}

    assert mapped({"labels": {"severity": ""}}, {**SEVERITY, "values": table}) == {
        "severity": "info"
    }


def test_a_missing_required_field_goes_to_review() -> None:
    """The sentence names the field, where it was looked for, and the rule."""
    result = unmapped({}, {"to": "state", "from": ["status", "state"]})

    assert (result.outcome, result.path) == ("review", "state")
    assert "looked at status, state" in result.message


@pytest.mark.parametrize(
    ("rule", "item", "words"),
    [
        pytest.param({"to": "state", "from": "s"}, {"s": "gone"}, "allowed: firing", id="enum"),
        pytest.param({"to": "title", "from": "s"}, {"s": "x" * 21}, "20 characters", id="too long"),
        pytest.param({"to": "repeatCount", "from": "s"}, {"s": 1.5}, "fraction", id="fraction"),
        pytest.param({"to": "tags", "from": "s"}, {"s": [{}]}, "number 1", id="element"),
        pytest.param(
            {"to": "resource.labels", "from": "s"}, {"s": {"a": []}}, 'entry "a"', id="map entry"
        ),
        pytest.param({"to": "title", "cel": "object.s + 'x'"}, {}, '"s" is missing', id="cel"),
    ],
)
def test_a_value_that_does_not_fit_goes_to_review(
    rule: dict[str, Any], item: Any, words: str
) -> None:
    """Nothing is cut off, rounded or bent into a list of values."""
    result = unmapped(item, rule)

    assert result.outcome == "review"
    assert words in result.message
    assert "spec.fields[0]" in result.message


def test_personal_data_is_not_repeated_in_messages() -> None:
    """What a person sees in a queue does not show who it was about."""
    result = unmapped({"who": "erika"}, {"to": "caller", "from": "who"})

    assert "erika" not in result.message


def test_a_list_of_values_that_each_instance_defines_is_not_closed() -> None:
    """Discovered values are examples, not the whole list."""
    assert mapped({"s": "escalated"}, {"to": "status", "from": "s"}) == {"status": "escalated"}


def test_what_was_mapped_before_comes_with_a_refusal() -> None:
    """A person who decides sees the part that is known."""
    result = unmapped(
        {"n": "db01", "s": 1.5},
        {"to": "resource.node", "from": "n"},
        {"to": "repeatCount", "from": "s"},
    )

    assert result.record == {"resource": {"node": "db01"}}


@pytest.mark.parametrize(
    ("field", "value", "result"),
    [
        pytest.param("title", 3, "3", id="integer to text"),
        pytest.param("title", 1.5, "1.5", id="number to text"),
        pytest.param("title", True, "true", id="boolean to text"),
        pytest.param("title", ["a"], "a", id="list of one to value"),
        pytest.param("title", ["a", "b"], None, id="list of two has no one value"),
        pytest.param("title", [], None, id="empty list is no value"),
        pytest.param("title", {}, None, id="object is no text"),
        pytest.param("repeatCount", "42", 42, id="numeric text to integer"),
        pytest.param("repeatCount", "-7", -7, id="negative numeric text"),
        pytest.param("repeatCount", 3.0, 3, id="whole number to integer"),
        pytest.param("repeatCount", "3.0", 3, id="whole numeric text to integer"),
        pytest.param("repeatCount", "1,5", None, id="comma of a locale"),
        pytest.param("repeatCount", "1.000", 1, id="point is never a thousands separator"),
        pytest.param("repeatCount", "٣", None, id="digits of another script"),
        pytest.param("repeatCount", True, None, id="boolean is no integer"),
        pytest.param("repeatCount", 2**63, None, id="more than 64 bits"),
        pytest.param("tags", "a", ["a"], id="value to list of one"),
        pytest.param("tags", [1, True], ["1", "true"], id="elements are converted"),
        pytest.param("resource.labels", {"a": 1, "b": None}, {"a": "1"}, id="null entry is none"),
        pytest.param("resource.labels", "a", None, id="text is no object"),
        pytest.param("startsAt", "2026-01-01T02:00:00.25+02:00", "2026-01-01T00:00:00.25Z", id="zone"),
        pytest.param("startsAt", "2026-01-02T00:00:00.000+0000", "2026-01-02T00:00:00.000Z", id="jira"),
        pytest.param("startsAt", "2026-01-01T01:00:00.123456789+01:00", f"{NOW[:-1]}.123456789Z", id="nanos"),
        pytest.param("startsAt", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", id="year one"),
        pytest.param("startsAt", 0, "1970-01-01T00:00:00Z", id="epoch"),
        pytest.param("startsAt", 1767225600, "2026-01-01T00:00:00Z", id="seconds"),
        pytest.param("startsAt", "1767225600", "2026-01-01T00:00:00Z", id="seconds as text"),
        pytest.param("startsAt", 1767225600250, "2026-01-01T00:00:00.25Z", id="milliseconds"),
        pytest.param("startsAt", 1e15, None, id="microseconds are not guessed"),
        pytest.param("startsAt", "2026-01-01 00:00:00", None, id="no zone"),
        pytest.param("startsAt", "2026-02-30T00:00:00Z", None, id="no such day"),
        pytest.param("startsAt", "01/02/2026", None, id="locale"),
        pytest.param("startsAt", "0001-01-01T00:00:00+14:00", None, id="before year one"),
    ],
)  # fmt: skip
def test_tolerant_reading_converts_this_and_nothing_else(
    field: str, value: Any, result: Any
) -> None:
    """None as the result means that the value is left to a person."""
    outcome = mapping({"to": field, "from": "s"}).apply(source({"s": value}))

    if result is None:
        assert isinstance(outcome, Unmapped)
    else:
        assert isinstance(outcome, Mapped)
        found = outcome.record
        for part in field.split("."):
            found = found[part]
        assert found == result
        assert type(found) is type(result)


FORMS = [
    {"name": "v5", "when": 'payload.version == "5" && has(payload.body)'},
    {"name": "v4", "when": 'payload.version == "4"'},
    {"name": "any4", "when": 'payload.version.startsWith("4")'},
]


def test_the_first_true_form_wins_and_limits_its_rules() -> None:
    """A rule with `variants` runs for these forms only."""
    compiled = mapping(
        {"to": "title", "cel": '"five"', "variants": ["v5"]},
        {"to": "title", "cel": '"four"', "variants": ["v4", "any4"]},
        variants=FORMS,
    )
    result = compiled.apply(source({}, {"version": "4"}))

    assert isinstance(result, Mapped)
    assert (result.variant, result.record) == ("v4", {"title": "four"})


@pytest.mark.parametrize("payload", [{"version": "9"}, {}, None, {"version": 4}, []])
def test_an_unknown_form_is_drift(payload: Any) -> None:
    """No form is guessed, and a form whose fields are missing is another form."""
    result = mapping({"to": "title", "default": "x"}, variants=FORMS).apply(source({}, payload))

    assert isinstance(result, Unmapped)
    assert (result.outcome, result.path) == ("drift", "variants")
    assert "v5, v4, any4" in result.message


def test_an_expression_that_is_only_a_path_reads_like_from() -> None:
    """`payload.groupKey` of a payload without it is absent, not an error."""
    rule = {"to": "title", "cel": "payload.groupKey"}

    assert mapped({}, rule) == {}
    assert mapped({}, {**rule, "default": "none"}) == {"title": "none"}


def test_a_default_covers_a_missing_field_of_an_expression_but_not_an_unlisted_value() -> None:
    """A table inside an expression is not a way around `onUnmapped`."""
    rule = {"to": "title", "cel": '{"a": "A"}[object.s]', "default": "none"}

    assert mapped({}, rule) == {"title": "none"}
    assert '"zz"' in unmapped({"s": "zz"}, rule).message


def test_null_of_an_expression_sets_nothing() -> None:
    """`condition ? value : null` leaves the field alone."""
    assert mapped({"s": "x"}, {"to": "title", "cel": 'object.s == "y" ? "t" : null'}) == {}


def test_expressions_see_headers_and_the_time() -> None:
    """A Mapping from a system has object, payload, headers and now."""
    rules = ({"to": "title", "cel": 'headers["x-tool"] + "!"'}, {"to": "startsAt", "cel": "now"})

    assert mapped({}, *rules) == {"title": "a!", "startsAt": NOW}


def test_a_mapping_from_a_model_names_the_model() -> None:
    """Model to model: the record goes by the model's own name."""
    compiled = compile_mapping(
        body({"to": "title", "cel": 'incident.title + "!"'}),
        name="t",
        target=EVENT,
        source_name="incident",
    )

    assert compiled.apply(source({"title": "a"})) == Mapped({"title": "a!"}, None)


def test_the_result_shares_nothing_with_the_source() -> None:
    """A later rule that writes below a copied map does not change the message."""
    item = {"labels": {"a": "1"}, "deep": {"list": [{}]}}
    record = mapped(
        item,
        {"to": "resource.labels", "from": "labels"},
        {"to": "resource.labels.b", "default": "2"},
        {"to": "raw", "from": "deep"},
    )
    record["raw"]["list"][0]["x"] = 1

    assert record["resource"]["labels"] == {"a": "1", "b": "2"}
    assert item == {"labels": {"a": "1"}, "deep": {"list": [{}]}}


def test_a_path_can_name_a_key_that_contains_dots() -> None:
    """Labels of Kubernetes are written in backticks."""
    item = {"labels": {"app.kubernetes.io/name": "pay"}}

    assert mapped(item, {"to": "title", "from": "labels.`app.kubernetes.io/name`"}) == {
        "title": "pay"
    }


def test_each_step_is_explained_up_to_the_refusal() -> None:
    """Which rule, from where, before, after, why: the last step says what went wrong."""
    compiled = mapping(SEVERITY, {"to": "title", "from": ["x", "s"]}, {"to": "state", "from": "s"})
    result = compiled.apply(source({"labels": {"severity": "page"}, "s": "T"}), explain=True)

    assert isinstance(result, Unmapped)
    first, second, third = result.steps
    assert (first.to, first.source, first.before, first.after) == (
        "severity",
        "labels.severity",
        "page",
        "critical",
    )
    assert (first.rule, first.meaning) == ("spec.fields[0]", "It matters.")
    assert (second.source, second.note) == ("s", "")
    assert third.after is None
    assert third.note == result.message


def test_nothing_is_explained_unless_asked() -> None:
    """The path of every message stays short."""
    result = mapping(SEVERITY).apply(source({}))

    assert isinstance(result, Mapped)
    assert result.steps == ()


@pytest.mark.parametrize(
    ("rules", "variants", "path", "words"),
    [
        pytest.param([{"to": "title", "cel": "1 +"}], [], "fields[0].cel", "1:4", id="syntax"),
        pytest.param([{"to": "title", "cel": "a.b"}], [], "fields[0].cel", "not known", id="name"),
        pytest.param([{"to": "title"}], [], "fields[0]", "no value", id="empty rule"),
        pytest.param([{"to": "a..b", "from": "x"}], [], "fields[0]", "not a path", id="path"),
        pytest.param(
            [{"to": "title", "from": "x", "cel": "'a'"}], [], "fields[0].cel", "not both", id="both"
        ),
        pytest.param(
            [{"to": "title", "from": "a"}, {"to": "title", "from": "b"}],
            [],
            "fields[1].to",
            "two rules",
            id="same field twice",
        ),
        pytest.param(
            [{"to": "raw.b", "from": "a"}, {"to": "raw", "from": "b"}],
            [],
            "fields[1].to",
            "overwrite",
            id="parent after child",
        ),
        pytest.param(
            [{"to": "title", "from": "a", "variants": ["v9"]}],
            FORMS,
            "fields[0].variants",
            '"v9"',
            id="unknown form",
        ),
        pytest.param(
            [{"to": "title", "from": "a", "values": {"a": "b"}, "onUnmapped": "default"}],
            [],
            "fields[0].onUnmapped",
            'needs a "default"',
            id="default without a default",
        ),
        pytest.param(
            [{"to": "title", "from": "a"}],
            [{"name": "v1", "when": "payload.v =="}],
            "variants[0].when",
            "ends too early",
            id="form",
        ),
    ],
)
def test_a_contradiction_is_told_with_its_place(
    rules: list[dict[str, Any]], variants: list[dict[str, str]], path: str, words: str
) -> None:
    """A Mapping that cannot be meant as it stands does not compile."""
    with pytest.raises(MappingError) as caught:
        mapping(*rules, variants=variants)

    (problem,) = caught.value.problems
    assert problem.path == f"spec.{path}"
    assert words in problem.message


def check(*rules: dict[str, Any], **more: Any) -> dict[str, str]:
    state = {"to": "state", "from": "status"}
    problems = check_mapping(
        body(state, *rules, **more),
        "test",
        source=ALERT,
        target=EVENT,
        payload=Record({"version": FieldSchema()}),
        source_name="object",
    )
    return {problem.path.removeprefix("spec."): problem.message for problem in problems}


def test_a_right_mapping_has_no_problems() -> None:
    """Paths below maps, converted types and forms are all in order."""
    assert (
        check(
            SEVERITY,
            {"to": "title", "from": ["annotations.summary", "count"]},
            {"to": "tags", "from": "labels.team"},
            {"to": "startsAt", "cel": "object.startsAt"},
            {"to": "repeatCount", "cel": "object.count + 1"},
            {"to": "resource.labels", "from": "labels"},
            variants=FORMS[1:],
        )
        == {}
    )


@pytest.mark.parametrize(
    ("rule", "place", "words"),
    [
        pytest.param({"to": "title", "from": "stat"}, "from", 'mean "status"', id="source path"),
        pytest.param(
            {"to": "title", "from": ["status", "stats"]}, "from[1]", '"status"', id="one of paths"
        ),
        pytest.param({"to": "titel", "from": "status"}, "to", 'mean "title"', id="target path"),
        pytest.param(
            {"to": "title", "cel": "object.stat + ''"}, "cel", 'no field "stat"', id="expression"
        ),
        pytest.param(
            {"to": "title", "cel": "payload.vers"}, "cel", 'no field "vers"', id="payload"
        ),
        pytest.param({"to": "title", "from": "labels"}, "from", "is a map", id="map to text"),
        pytest.param({"to": "repeatCount", "from": "flag"}, "from", "a boolean", id="boolean"),
        pytest.param(
            {"to": "repeatCount", "cel": "object.count == 1"}, "cel", "gives a boolean", id="result"
        ),
        pytest.param(
            {**SEVERITY, "values": {"page": "critcal"}}, "values[page]", '"critical"', id="table"
        ),
        pytest.param({**SEVERITY, "default": "none"}, "default", "allowed", id="default"),
    ],
)
def test_a_mapping_is_checked_against_both_ends(
    rule: dict[str, Any], place: str, words: str
) -> None:
    """Misspelt paths, wrong types and values outside the list are found before any message."""
    problems = check(rule)

    assert list(problems) == [f"fields[1].{place}"]
    assert words in problems[f"fields[1].{place}"]


def test_a_required_field_without_a_rule_is_found() -> None:
    """The target would refuse every record."""
    (problem,) = check_mapping(
        body({"to": "title", "from": "status"}),
        "test",
        source=ALERT,
        target=EVENT,
        payload=None,
        source_name="object",
    )

    assert '"state"' in problem.message


def test_a_form_that_is_never_reached_is_found() -> None:
    """The first true form wins, so a copy of an earlier condition is a mistake."""
    copy = {"name": "copy", "when": 'payload.version  == "4"'}

    assert "never reached" in check(variants=[FORMS[1], copy])["variants[1].when"]
    assert (
        "never reached"
        in check(variants=[{"name": "all", "when": "true"}, FORMS[1]])["variants[1].when"]
    )


def test_a_form_that_is_no_condition_is_found() -> None:
    """`when` must be a boolean."""
    assert (
        "must give a boolean"
        in check(variants=[{"name": "x", "when": "payload.version"}])["variants[0].when"]
    )


EXAMPLES = [
    {"name": "a page is critical", "input": {"labels": {"severity": "page"}}, "output": {"severity": "critical"}},
    {"name": "wrong", "input": {"labels": {"severity": "page"}}, "output": {"severity": "info"}},
    {"name": "not set", "input": {}, "output": {"title": None}},
    {"name": "review", "input": {"labels": {"severity": "zz"}}, "outcome": "review"},
    {"name": "should be review", "input": {}, "outcome": "review"},
    {"name": "is review", "input": {"labels": {"severity": "zz"}}, "output": {}},
    {"name": "absent", "input": {}, "output": {"resource": {"node": "x"}}},
]  # fmt: skip


def test_examples_compare_only_what_they_say() -> None:
    """The sentence names the field, what it is and what was expected."""
    spec = body(SEVERITY, examples=EXAMPLES)
    results = run_examples(mapping(SEVERITY), spec)

    assert [result.ok for result in results] == [True, False, True, True, False, False, False]
    assert results[1].message == '"severity" is "critical", not "info".'
    assert results[1].path == "spec.examples[1].output.severity"
    assert results[4].message == "Is mapped, and the example says review."
    assert results[5].message.startswith("Ends in review, not mapped: ")
    assert results[6].message == '"resource" is absent, not an object.'


def test_examples_stop_at_their_budget() -> None:
    """Admission answers in time, and says which examples were not run."""
    ticks: Iterator[float] = iter([0.0, 0.2, 0.9, 1.1, 1.2, 1.3, 1.4, 1.5])
    results = run_examples(
        mapping(SEVERITY), body(SEVERITY, examples=EXAMPLES), clock=lambda: next(ticks)
    )

    assert [result.message.startswith("Not run") for result in results] == [False] * 2 + [True] * 5


def test_examples_beyond_the_limit_are_not_run() -> None:
    """At most fifty, or as many as the caller allows."""
    results = run_examples(mapping(SEVERITY), body(SEVERITY, examples=EXAMPLES), limit=1)

    assert [result.ok for result in results] == [True] + [False] * 6
