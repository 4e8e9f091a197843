"""Drafted manifests as YAML with comments: the same text for the same draft, whatever the values hold.

Used by `intops new`.
"""

import textwrap
from collections.abc import Iterable, Iterator
from typing import Any, Final

import yaml

from intops_core.drafts.draft import Document, Entry, Fields, Listed

_WIDTH: Final = 100
_COMMENT_WIDTH: Final = 96
_LONGEST_COMMENT: Final = 1200


def text_of(documents: Iterable[Document]) -> str:
    """All of them as one file."""
    return "---\n".join("".join(f"{line}\n" for line in _document(one)) for one in documents)


def _document(document: Document) -> Iterator[str]:
    for line in document.head:
        yield from _comment(line, "")
    yield from _fields(document.fields, "")


def _fields(value: Fields, indent: str) -> Iterator[str]:
    for entry in value.entries:
        yield from _comment(entry.note, indent)
        yield from _entry(entry, indent)
    yield from _comment(value.closing, indent)


def _entry(entry: Entry, indent: str) -> Iterator[str]:
    key = _flow(entry.key)
    match entry.value:
        case Fields(entries=()):
            yield f"{indent}{key}: {{}}"
        case Fields() as below:
            yield f"{indent}{key}:"
            yield from _fields(below, f"{indent}  ")
        case Listed() as listed:
            yield f"{indent}{key}:"
            for item in listed.items:
                yield from _item(item, indent)
            yield from _comment(listed.closing, indent)
        case value:
            yield from _value(f"{indent}{key}:", value, indent)


def _item(item: Any, indent: str) -> Iterator[str]:
    if not isinstance(item, Fields):
        yield from _value(f"{indent}-", item, indent, dash=True)
        return
    first, *rest = item.entries
    yield from _comment(first.note, indent)
    lines = [*_entry(Entry(first.key, first.value), f"{indent}  ")]
    yield f"{indent}- {lines[0].strip()}"
    yield from lines[1:]
    yield from _fields(Fields(tuple(rest), item.closing), f"{indent}  ")


def _value(head: str, value: Any, indent: str, *, dash: bool = False) -> Iterator[str]:
    """JSON on the same line where it is short, in lines of its own otherwise."""
    flow = _flow(value)
    if isinstance(value, str) and len(head) + len(flow) >= _WIDTH:
        folded = _folded(value, f"{indent}  ")
        if folded:
            yield f"{head} >-"
            yield from folded
            return
    if len(head) + len(flow) < _WIDTH or not isinstance(value, dict | list) or not value:
        yield f"{head} {flow}"
        return
    block = yaml.safe_dump(
        value, sort_keys=False, allow_unicode=True, width=10**9, default_flow_style=None
    )
    lines = textwrap.indent(block.rstrip("\n"), f"{indent}  ").split("\n")
    if dash:
        yield f"{head} {lines[0].strip()}"
        yield from lines[1:]
    else:
        yield head
        yield from lines


def _folded(text: str, indent: str) -> list[str]:
    """A long text as lines that YAML joins again; none where joining would change it."""
    lines = textwrap.wrap(
        text, _WIDTH - len(indent), break_long_words=False, break_on_hyphens=False
    )
    block = [f"{indent}{line}" for line in lines]
    try:
        back = yaml.safe_load("\n".join(["text: >-", *block]))
    except yaml.YAMLError:
        return []
    return block if back == {"text": text} else []


def _flow(value: Any) -> str:
    """JSON as one line of YAML."""
    text: str = yaml.safe_dump(
        value, sort_keys=False, allow_unicode=True, width=10**9, default_flow_style=True
    )
    return text.removesuffix("...\n").strip()


def _comment(text: str, indent: str) -> Iterator[str]:
    """Comment lines; what steers a terminal or ends a line of YAML is not in them."""
    plain = "".join(sign if sign.isprintable() else " " for sign in text)[:_LONGEST_COMMENT]
    for line in textwrap.wrap(plain, _COMMENT_WIDTH - len(indent), break_on_hyphens=False):
        yield f"{indent}# {line}"
