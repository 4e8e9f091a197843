"""The graph of Flows as SVG: systems left and right, Flows in the middle, models at their edges.

Lengths are pixels. The picture needs no other file; its text is dark on light whatever surrounds it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import Final

from intops_cli.graph_text import label_of, models_of
from intops_core.estate import FlowLinks, Link
from intops_core.findings import Ref

_LETTER: Final = 6.8  # width of a letter of 12 px, rounded up, as no font can be asked
_PAD: Final = 12
_MARGIN: Final = 20
_INSIDE: Final = 40  # from the edge of a Flow to its models
_BEND: Final = 100.0  # room in which arrows rise and fall
_HEAD: Final = 30  # line with the name of a Flow
_ROW: Final = 52  # height that one arrow takes beside a Flow
_BOX: Final = 38  # height of a system
_PILL: Final = 26  # height of a model
_STYLE: Final = """\
  text { font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #111827; }
  .name { font-weight: 600; } .small { font-size: 11px; fill: #374151; }
  .label { font-size: 11px; }
  .page { fill: #ffffff; } .system { fill: #dbeafe; stroke: #1e3a8a; }
  .flow { fill: #f9fafb; stroke: #6b7280; } .model { fill: #dcfce7; stroke: #14532d; }
  .arrow { fill: none; stroke: #374151; stroke-width: 1.4; } .head { fill: #374151; }
  .shadow { stroke-dasharray: 6 4; } .unmapped { stroke-dasharray: 2 4; }"""


@dataclass(frozen=True, slots=True)
class _Rect:
    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        return self.y + self.height / 2

    @property
    def right(self) -> float:
        return self.x + self.width


@dataclass(slots=True)
class _Picture:
    """Shapes below, arrows over them, words on top."""

    shapes: list[str] = field(default_factory=list)
    arrows: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def box(self, at: _Rect, kind: str, radius: int) -> None:
        self.shapes.append(
            f'<rect class="{kind}" x="{at.x:.0f}" y="{at.y:.0f}" width="{at.width:.0f}" '
            f'height="{at.height:.0f}" rx="{radius}"/>'
        )

    def text(self, x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> None:
        self.words.append(
            f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(words)}</text>'
        )

    def arrow(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """A line that leaves each point level and bends between them; its head is at the last."""
        path = f"M{points[0][0]:.0f} {points[0][1]:.0f}"
        for (x, y), (to_x, to_y) in pairwise(points):
            bend = (x + to_x) / 2
            path += f" C{bend:.0f} {y:.0f} {bend:.0f} {to_y:.0f} {to_x:.0f} {to_y:.0f}"
        self.arrows.append(f'<path class="arrow {kind}" marker-end="url(#head)" d="{path}"/>')


def svg(flows: Sequence[FlowLinks]) -> str:
    """The picture. A system that is joined with models of both ends stands on both sides."""
    left = [_on_left(one) for one in flows]
    right = [[link for link in one.links if link not in left[i]] for i, one in enumerate(flows)]
    systems_width = (_system_width(left), _system_width(right))
    gaps = (_label_width(left), _label_width(right))
    flow_width = max(map(_flow_width, flows))
    flow_x = _MARGIN + systems_width[0] + gaps[0]
    right_x = flow_x + flow_width + gaps[1]
    rows = [max(len(left[i]), len(right[i]), len(models_of(one)) - 1, 1) for i, one in enumerate(flows)]  # fmt: skip
    height = 2 * _MARGIN + sum(row * _ROW + _HEAD + _MARGIN for row in rows) - _MARGIN
    places = (
        _stack(_names(left), _MARGIN, systems_width[0], height),
        _stack(_names(right), right_x, systems_width[1], height),
    )
    height = max(height, *(2 * _MARGIN + len(place) * (_BOX + 12) for place in places))
    picture = _Picture()
    for place in places:
        for ref, at in place.items():
            _draw_system(picture, ref, at, _class_of(flows, ref))
    y: float = _MARGIN
    for index, one in enumerate(flows):
        box = _Rect(flow_x, y, flow_width, rows[index] * _ROW + _HEAD)
        models = _draw_flow(picture, one, box)
        _draw_links(picture, left[index], places[0], models, box, from_left=True)
        _draw_links(picture, right[index], places[1], models, box, from_left=False)
        y = box.y + box.height + _MARGIN
    return _document(picture, right_x + systems_width[1] + _MARGIN, height)


def _on_left(one: FlowLinks) -> list[Link]:
    """Links with the first model of the Flow; where it has only one, those that lead into it."""
    return [
        link
        for link in one.links
        if link.model == one.models[0] and (link.into or link.model != one.models[-1])
    ]


def _names(links: Sequence[Sequence[Link]]) -> list[Ref]:
    """Systems of one side in the order of the Flows, so that few arrows cross."""
    return list(dict.fromkeys(link.system for some in links for link in some))


def _class_of(flows: Sequence[FlowLinks], ref: Ref) -> str:
    return next((x.class_name for one in flows for x in one.links if x.system == ref), "")


def _wide(text: str) -> float:
    return len(text) * _LETTER


def _system_width(links: Sequence[Sequence[Link]]) -> float:
    texts = [t for some in links for x in some for t in (x.system.name, x.class_name)]
    return max([80.0, *(_wide(text) + 2 * _PAD for text in texts)])


def _label_width(links: Sequence[Sequence[Link]]) -> float:
    return max([_BEND, *(_wide(label_of(x)) + _BEND for some in links for x in some)])


def _flow_width(one: FlowLinks) -> float:
    pills = sum(_wide(model) + 2 * _PAD for model in models_of(one))
    between = _wide(one.transform.name) + 4 * _PAD if one.transform else _INSIDE
    return max(
        pills + between + 2 * _INSIDE, _wide(f"{one.flow.name} ({one.owner})") * 1.1 + 2 * _PAD
    )


def _stack(names: list[Ref], x: float, width: float, height: float) -> dict[Ref, _Rect]:
    """Systems of one side, spread evenly over the height."""
    step = max((height - 2 * _MARGIN) / max(len(names), 1), _BOX + 12)
    top = _MARGIN + (step - _BOX) / 2
    return {ref: _Rect(x, top + index * step, width, _BOX) for index, ref in enumerate(names)}


def _draw_system(picture: _Picture, ref: Ref, at: _Rect, class_name: str) -> None:
    picture.box(at, "system", 8)
    middle = at.x + at.width / 2
    picture.text(middle, at.y + 16, ref.name, "name", "middle")
    picture.text(middle, at.y + 31, class_name or "does not exist", "small", "middle")


def _draw_flow(picture: _Picture, one: FlowLinks, box: _Rect) -> dict[str, _Rect]:
    """Box, name and models of a Flow. Returns where each model stands."""
    picture.box(box, "flow", 6)
    picture.text(box.x + _PAD, box.y + 20, f"{one.flow.name} ({one.owner})", "name")
    models = models_of(one)
    y = box.y + _HEAD + (box.height - _HEAD - _PILL) / 2 - 4
    places: dict[str, _Rect] = {}
    for index, model in enumerate(models):
        width = _wide(model) + 2 * _PAD
        last = index > 0 and model == one.models[-1]
        x = box.right - _INSIDE - width if last else box.x + _INSIDE
        # Further models, which only a Mapping back may name, stand below the first.
        below = max(0, index - 1) * (_PILL + 6)
        places[model] = _Rect(x, y + below, width, _PILL)
        picture.box(places[model], "model", _PILL // 2)
        picture.text(x + width / 2, y + below + 17, model, "", "middle")
    if one.transform is not None:
        first, other = places[one.models[0]], places[one.models[-1]]
        picture.arrow([(first.right, first.middle), (other.x, other.middle)], "between")
        picture.text(
            (first.right + other.x) / 2, first.middle - 5, one.transform.name, "label", "middle"
        )
    return places


def _draw_links(
    picture: _Picture,
    links: list[Link],
    systems: dict[Ref, _Rect],
    models: dict[str, _Rect],
    box: _Rect,
    *,
    from_left: bool,
) -> None:
    """Arrows of one side of a Flow; they meet the box one below the other, and its models inside."""
    ordered = sorted(links, key=lambda link: systems[link.system].y)
    step = (box.height - _HEAD) / max(len(ordered), 1)
    level = max(
        (_wide(label_of(link)) + 16 for link in ordered), default=0
    )  # words stand on a level line
    for index, link in enumerate(ordered):
        system, model = systems[link.system], models[link.model]
        y = box.y + _HEAD - 4 + (index + 0.5) * step
        points = [
            (system.right if from_left else system.x, system.middle),
            (box.x - level if from_left else box.right + level, y),
            (box.x if from_left else box.right, y),
            (model.x if from_left else model.right, model.middle),
        ]
        picture.arrow(points if link.into else points[::-1], link.kind)
        x, anchor = (box.x - 8, "end") if from_left else (box.right + 8, "start")
        picture.text(x, y - 5, label_of(link), "label", anchor)


def _document(picture: _Picture, width: float, height: float) -> str:
    size = f'width="{width:.0f}" height="{height:.0f}"'
    box = f'viewBox="0 0 {width:.0f} {height:.0f}"'
    marker = 'id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {box} role="img">',
        "<title>Systems, Flows and Mappings</title>",
        f"<style>\n{_STYLE}\n</style>",
        f'<defs><marker {marker} orient="auto"><path class="head" d="M0 0 L8 4 L0 8 z"/></marker></defs>',
        f'<rect class="page" {size}/>',
        *picture.shapes,
        *picture.arrows,
        *picture.words,
        "</svg>",
    ]
    return "\n".join(lines)
