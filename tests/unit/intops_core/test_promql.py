"""Names in PromQL are found, and those that do not exist are told."""

from __future__ import annotations

import pytest

from intops_core.monitoring.promql import Series, named, unknown, unknown_in_text

KNOWN: Series = {
    "x_total": frozenset({"state", "flow"}),
    "x_seconds_bucket": frozenset({"le", "kind"}),
    "age": frozenset({"flow"}),
}


@pytest.mark.parametrize(
    ("expression", "series"),
    [
        ("x_total", {"x_total"}),
        ('rate(x_total{state="a b{} by (c)"}[5m])', {"x_total"}),
        ("sum by (flow) (x_total) / ignoring (flow) group_left age offset 1h", {"x_total", "age"}),
        ("sum(x_total) by (flow) unless on (flow) age", {"x_total", "age"}),
        ("histogram_quantile(0.99, sum by (le) (rate(x_seconds_bucket[$__rate_interval])))",
         {"x_seconds_bucket"}),
        ("time() - age > 1e3 or vector(0)", {"age"}),
        ("1.5 * 14", set()),
    ],
)  # fmt: skip
def test_series_are_found_wherever_they_stand(expression: str, series: set[str]) -> None:
    """Functions, keywords, durations, texts and labels are none."""
    assert {name for name, _ in named(expression).selectors} == series


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("y_total", "there is no series y_total"),
        ("x", "there is no series x"),
        ('x_total{stat="done"}', "x_total has no label stat"),
        ("sum by (colour) (x_total)", "no series of the expression has the label colour"),
        ("sum without (colour) (x_total)", "no series of the expression has the label colour"),
    ],
)
def test_a_name_that_does_not_exist_is_told(expression: str, problem: str) -> None:
    """With the series it was looked for in."""
    assert unknown(expression, KNOWN) == [problem]


def test_labels_that_prometheus_adds_exist_everywhere() -> None:
    """Nobody defines the pod of a series."""
    assert unknown('sum by (pod, flow) (x_total{namespace="a", state=~"b|c"})', KNOWN) == []


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("{{ $labels.flow }} has {{ $value | humanize }}", []),
        ("{{flow}}: {{state}}", ["the expression brings no label state"]),
        ("{{ $labels.kind }}", ["the expression brings no label kind"]),
        ("see intops_gone_total", ["there is no series intops_gone_total"]),
    ],
)
def test_a_text_may_only_name_what_its_expression_brings(text: str, problems: list[str]) -> None:
    """A label that is summed away is an empty space in an alert."""
    assert unknown_in_text(text, "sum by (flow) (x_total)", KNOWN) == problems


def test_a_character_that_promql_does_not_have_is_an_error() -> None:
    """A typing mistake is not passed over."""
    with pytest.raises(ValueError, match="no use for '#'"):
        named("x_total # nothing")
