"""The graph of Flows as text: Mermaid, DOT of Graphviz, and JSON. The picture is made by graph_picture.

A Flow is a box with the models on its way. Arrows between systems and models bear the name of the Mapping.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from intops_core.estate import FlowLinks, Link, NamedMapping
from intops_core.findings import Ref

_MERMAID_ARROWS: Final = {"mapped": "-->", "back": "-->", "shadow": "-.->", "unmapped": "-.->"}
_MERMAID_ENTITIES: Final = str.maketrans(
    {"#": "#35;", "&": "#amp;", '"': "#quot;", "<": "#lt;", ">": "#gt;"}
)
_DOT_STYLES: Final = {"mapped": "solid", "back": "solid", "shadow": "dashed", "unmapped": "dotted"}


def label_of(link: Link) -> str:
    """The words on an arrow: the Mapping, or the role where there is none."""
    name = link.mapping.name if link.mapping is not None else link.role
    return {"back": f"back: {name}", "shadow": f"trial: {name}"}.get(link.kind, name)


def mermaid(flows: Sequence[FlowLinks]) -> str:
    """A Mermaid flowchart, as GitHub and many wikis draw it."""
    lines = ["flowchart LR"]
    keys = _keys(flows)
    for ref, class_name in sorted(_systems(flows).items()):
        below = f"<br/>{_quoted(class_name)}" if class_name else ""
        lines.append(f'  {keys[ref]}(["{_quoted(ref.name)}{below}"]):::system')
    for one in flows:
        flow = keys[one.flow]
        lines.append(f'  subgraph {flow}["{_quoted(one.flow.name)} ({_quoted(one.owner)})"]')
        lines += [
            f'    {flow}_m{index}["{_quoted(model)}"]:::model'
            for index, model in enumerate(models_of(one))
        ]
        if one.transform is not None:
            first, last = _model_keys(one, flow, one.models[0], one.models[-1])
            lines.append(f'    {first} -->|"{_quoted(one.transform.name)}"| {last}')
        lines.append("  end")
        for link in one.links:
            (model,) = _model_keys(one, flow, link.model)
            ends = (keys[link.system], model) if link.into else (model, keys[link.system])
            arrow = _MERMAID_ARROWS[link.kind]
            lines.append(f'  {ends[0]} {arrow}|"{_quoted(label_of(link))}"| {ends[1]}')
    lines += [
        "  classDef system fill:#dbeafe,stroke:#1e3a8a,color:#111827",
        "  classDef model fill:#dcfce7,stroke:#14532d,color:#111827",
    ]
    return "\n".join(lines)


def dot(flows: Sequence[FlowLinks]) -> str:
    """A digraph for Graphviz."""
    keys = _keys(flows)
    lines = [
        "digraph intops {",
        "  rankdir=LR;",
        '  node [shape=box, style="filled,rounded", fontname="sans-serif", fontcolor="#111827"];',
        '  edge [fontname="sans-serif", fontsize=10];',
    ]
    for ref, class_name in sorted(_systems(flows).items()):
        text = _dot_text(ref.name) + (rf"\n{_dot_text(class_name)}" if class_name else "")
        lines.append(f'  {keys[ref]} [label="{text}", fillcolor="#dbeafe"];')
    for one in flows:
        flow = keys[one.flow]
        lines.append(f"  subgraph cluster_{flow} {{")
        lines.append(f'    label="{_dot_text(one.flow.name)} ({_dot_text(one.owner)})";')
        lines += [
            f'    {flow}_m{index} [label="{_dot_text(model)}", fillcolor="#dcfce7"];'
            for index, model in enumerate(models_of(one))
        ]
        if one.transform is not None:
            first, last = _model_keys(one, flow, one.models[0], one.models[-1])
            lines.append(f'    {first} -> {last} [label="{_dot_text(one.transform.name)}"];')
        lines.append("  }")
        for link in one.links:
            (model,) = _model_keys(one, flow, link.model)
            ends = (keys[link.system], model) if link.into else (model, keys[link.system])
            label, style = _dot_text(label_of(link)), _DOT_STYLES[link.kind]
            lines.append(f'  {ends[0]} -> {ends[1]} [label="{label}", style={style}];')
    return "\n".join([*lines, "}"])


def graph_wire(flows: Sequence[FlowLinks]) -> dict[str, Any]:
    """Systems and Flows with their links as JSON."""
    return {
        "systems": [
            {"namespace": ref.namespace, "name": ref.name, "class": class_name or None}
            for ref, class_name in sorted(_systems(flows).items())
        ],
        "flows": [
            {
                "namespace": one.flow.namespace,
                "name": one.flow.name,
                "owner": one.owner,
                "pattern": one.pattern,
                "models": list(one.models),
                "transform": _mapping_wire(one.transform),
                "links": [_link_wire(link) for link in one.links],
                "missing": list(one.lost),
            }
            for one in flows
        ],
    }


def models_of(one: FlowLinks) -> list[str]:
    """Models to draw in the box of a Flow: those of its Pattern, then others that a Mapping names."""
    return list(dict.fromkeys([*one.models, *(link.model for link in one.links)]))


def _link_wire(link: Link) -> dict[str, Any]:
    return {
        "system": link.system.name,
        "binding": link.binding,
        "role": link.role,
        "kind": link.kind,
        "direction": "toModel" if link.into else "fromModel",
        "model": link.model,
        "mapping": _mapping_wire(link.mapping),
    }


def _mapping_wire(named: NamedMapping | None) -> dict[str, str] | None:
    if named is None:
        return None
    return {"name": named.name, "of": f"{named.carrier.kind}/{named.carrier.name}"}


def _systems(flows: Iterable[FlowLinks]) -> dict[Ref, str]:
    return {link.system: link.class_name for one in flows for link in one.links}


def _keys(flows: Sequence[FlowLinks]) -> dict[Ref, str]:
    """Names of nodes: numbers, because a name may hold signs that a drawing tool reads as its own."""
    found = {ref: f"s{index}" for index, ref in enumerate(sorted(_systems(flows)))}
    return found | {one.flow: f"f{index}" for index, one in enumerate(flows)}


def _model_keys(one: FlowLinks, flow: str, *models: str) -> list[str]:
    known = models_of(one)
    return [f"{flow}_m{known.index(model)}" for model in models]


def _quoted(text: str) -> str:
    """Text between quotes of Mermaid, which writes its entities with # instead of &."""
    return " ".join(text.split()).translate(_MERMAID_ENTITIES)


def _dot_text(text: str) -> str:
    return " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"')
