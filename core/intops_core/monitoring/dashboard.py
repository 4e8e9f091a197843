"""Dashboards as Grafana reads them, from rows of panels.

Each panel answers one question, which is its title. Data source, namespace and Flow are variables.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

WIDTH: Final = 24
"""Columns of Grafana's grid."""
_HEIGHTS: Final = {"stat": 4, "timeseries": 8, "table": 8}
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_SCHEMA: Final = 39  # of Grafana 10 and 11; newer ones read it too


@dataclass(frozen=True, slots=True)
class Query:
    """One expression of a panel.

    Attributes:
        expression: PromQL; `$namespace` and `$flow` are what the reader has chosen.
        legend: Name of each series, such as `{{flow}}`.
    """

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Attributes:
        title: The question that it answers, or what it shows.
        says: What to read from it, shown at the corner of the panel.
        queries: What it shows.
        kind: `stat` shows the present, `table` too, `timeseries` the past.
        unit: Grafana's name of the unit: `short`, `s`, `percentunit`, `reqps`, `dateTimeFromNow`.
        width: Columns of the grid, of 24.
        warns_at: Value from which on it is orange.
        alarms_at: Value from which on it is red.
        columns: Of a table: the labels that it shows.
    """

    title: str
    says: str
    queries: tuple[Query, ...]
    kind: Literal["stat", "timeseries", "table"] = "timeseries"
    unit: str = "short"
    width: int = 8
    warns_at: float | None = None
    alarms_at: float | None = None
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """Panels below one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """Something that the reader chooses: values of a label of a series."""

    name: str
    label: str
    series: str
    many: bool = True


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard; `uid` is its address and its file's name, and stays the same for ever."""

    uid: str
    title: str
    says: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]

    def queries(self) -> Iterator[tuple[str, Query]]:
        """Every query with the title of its panel."""
        for row in self.rows:
            for panel in row.panels:
                for query in panel.queries:
                    yield panel.title, query

    def to_grafana(self) -> dict[str, Any]:
        """The model that Grafana imports."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.says,
            "tags": ["intops"],
            "schemaVersion": _SCHEMA,
            "editable": True,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-6h", "to": "now"},
            "timezone": "browser",
            "links": [],
            "annotations": {"list": []},
            "templating": {"list": [_data_source(), *map(_variable, self.variables)]},
            "panels": list(_placed(self.rows)),
        }


def _data_source() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
        "hide": 0,
    }


def _variable(variable: Variable) -> dict[str, Any]:
    query = f"label_values({variable.series}, {variable.label})"
    return {
        "name": variable.name,
        "label": variable.name.capitalize(),
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": variable.name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": variable.many,
        "includeAll": variable.many,
        **({"allValue": ".*"} if variable.many else {}),
        "current": {},
        "hide": 0,
    }


def _placed(rows: tuple[Row, ...]) -> Iterator[dict[str, Any]]:
    """Rows and panels in reading order, each with its place on the grid."""
    number, top = 0, 0
    for row in rows:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1},
            "panels": [],
        }
        top += 1
        left = height = 0
        for panel in row.panels:
            if left + panel.width > WIDTH:
                left, top, height = 0, top + height, 0
            number += 1
            tall = _HEIGHTS[panel.kind]
            yield _panel(panel, number, {"x": left, "y": top, "w": panel.width, "h": tall})
            left, height = left + panel.width, max(height, tall)
        top += height


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.warns_at is not None:
        steps.append({"color": "orange", "value": panel.warns_at})
    if panel.alarms_at is not None:
        steps.append({"color": "red", "value": panel.alarms_at})
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    made: dict[str, Any] = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": _SOURCE,
        "gridPos": place,
        "targets": [_target(panel, query, at) for at, query in enumerate(panel.queries)],
        "options": _options(panel),
    }
    if panel.kind == "timeseries":
        defaults["min"] = 0
        defaults["custom"] = {"fillOpacity": 10, "showPoints": "never"}
    if panel.kind == "table":
        made["transformations"] = [
            {"id": "filterFieldsByName", "options": {"include": {"names": list(panel.columns)}}}
        ]
    made["fieldConfig"] = {"defaults": defaults, "overrides": []}
    return made


def _target(panel: Panel, query: Query, at: int) -> dict[str, Any]:
    now = panel.kind != "timeseries"
    return {
        "refId": chr(ord("A") + at),
        "datasource": _SOURCE,
        "expr": query.expression,
        "legendFormat": query.legend or "__auto",
        "instant": now,
        "range": not now,
        **({"format": "table"} if panel.kind == "table" else {}),
    }


def _options(panel: Panel) -> dict[str, Any]:
    match panel.kind:
        case "stat":
            return {
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
                "colorMode": "value",
                "graphMode": "none",
                "textMode": "auto",
            }
        case "table":
            return {"showHeader": True, "cellHeight": "sm"}
        case "timeseries":
            return {
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }
