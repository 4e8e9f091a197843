"""Which field of a message is which field of a model: by its name first, then by what stands there."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from intops_api.common import FieldSchema
from intops_core.coercion import text_of
from intops_core.drafts.inference import Leaf, name_of
from intops_core.drafts.synonyms import COMPANIONS, MODELS, WORDS

# Names that also stand for the time of this one message, which is not when the trouble began.
PASSING: Final = frozenset(
    """timestamp occurredat eventtime time date ts clock lastupdated created createdat laststatechange
    lasthardstatechange statechangedat""".split()  # noqa: SIM905
)
# Below these stands who or what is concerned beside the thing that hurts.
_ASIDE: Final = frozenset(
    """agent user users assignee assignees assignedto creator author owner owners sender actor team teams requester
    reporter contact contacts acknowledgements acknowledgedby lastmodifiedby escalationpolicy""".split()  # noqa: SIM905
)
# After every name: only the value looks like it.
_BY_VALUE: Final = 1000
_TRUE_IS_OVER: Final = frozenset({"resolved", "isresolved", "recovered", "closed", "ok"})


@dataclass(frozen=True, slots=True)
class Match:
    """A leaf that may be a field of the model; `name` is the synonym by which it was found."""

    leaf: Leaf
    name: str
    rank: int


def names_for(model: str, path: str) -> list[str]:
    """Names that tools have for a field of a model, the best first; its own at least."""
    listed = MODELS.get(model, {}).get(path, "").split()
    own = [name_of(path), name_of(path.rpartition(".")[2])]
    return list(dict.fromkeys([*listed, *own]))


def matches(model: str, path: str, schema: FieldSchema, found: Iterable[Leaf]) -> list[Match]:
    """Leaves that may be this field, the most likely first."""
    ranks = {name: rank for rank, name in reversed(list(enumerate(names_for(model, path))))}
    hits: list[tuple[tuple[int, int, int, int], Match]] = []
    for position, leaf in enumerate(found):
        if not leaf.values or not _fits(leaf, path, schema) or _is_aside(leaf):
            continue
        known = [(ranks[name], name) for name in _names(leaf.parts) if name in ranks]
        if not known and _looks_like(model, path, schema, leaf):
            known = [(_BY_VALUE, "")]
        if not known:
            continue
        rank, name = min(known)
        doubt = 0 if not schema.enum or any(_known(model, path, schema, leaf)) else 1
        hits.append(((doubt, rank, len(leaf.parts), position), Match(leaf, name, rank)))
    return [match for _, match in sorted(hits, key=lambda hit: hit[0])]


def _names(parts: Sequence[str]) -> list[str]:
    """The last name of a path, the last two together, all together."""
    return [name_of(parts[-1]), name_of("".join(parts[-2:])), name_of("".join(parts))]


def _fits(leaf: Leaf, path: str, schema: FieldSchema) -> bool:
    values = leaf.values
    if schema.type == "time":
        return leaf.is_time
    if schema.type == "map":
        return all(
            isinstance(value, dict)
            and all(
                schema.of == "any" or isinstance(one, str | int | float) for one in value.values()
            )
            for value in values
        )
    if schema.type == "list":
        return all(isinstance(value, list) for value in values)
    if any(isinstance(value, dict | list) for value in values):
        return False
    if path.startswith("links."):
        return all(isinstance(value, str) and value.startswith("http") for value in values)
    if not schema.enum and any(isinstance(value, bool) for value in values):
        return False
    if path == "title" and any(len(str(value)) < 3 or leaf.is_time for value in values):
        return False
    return not (schema.enum and leaf.is_time)


def _is_aside(leaf: Leaf) -> bool:
    return any(name_of(part) in _ASIDE for part in leaf.parts)


def _looks_like(model: str, path: str, schema: FieldSchema, leaf: Leaf) -> bool:
    """Whether every value is a word of this field, so that its name need not be known."""
    return (
        path in WORDS.get(model, {})
        and all(isinstance(value, str) for value in leaf.values)
        and all(_known(model, path, schema, leaf))
    )


def _known(model: str, path: str, schema: FieldSchema, leaf: Leaf) -> Iterable[bool]:
    for value in leaf.values:
        yield value_of(model, path, schema, leaf, text_of(value)) is not None


def value_of(model: str, path: str, schema: FieldSchema, leaf: Leaf, text: str) -> str | None:
    """The model's value that a tool's word means; None where nobody knows."""
    words = WORDS.get(model, {}).get(path, {})
    if model == "event" and path == "state" and text in ("true", "false"):
        is_over = (text == "true") == (name_of(leaf.parts[-1]) in _TRUE_IS_OVER)
        return "resolved" if is_over else "firing"
    plain = name_of(text)
    by_name = {name_of(value): value for value in schema.enum}
    table = {word: value for value, listed in words.items() for word in listed.split()}
    last = name_of(text.replace("_", ".").replace("-", ".").replace(" ", ".").rpartition(".")[2])
    for word in (plain, last):
        if word in table and table[word] in schema.enum:
            return table[word]
        if word in by_name:
            return by_name[word]
    return None


def words_beside(model: str, path: str, seen: Sequence[str]) -> Mapping[str, str]:
    """Further words, with their values, that a tool will use which used these: in the same spelling."""
    words = WORDS.get(model, {}).get(path, {})
    if not words or not seen or any(text.isdigit() or text in ("true", "false") for text in seen):
        return {}
    table = {word: value for value, listed in words.items() for word in listed.split()}
    plain = {name_of(text) for text in seen}
    families = [family.split() for family in COMPANIONS.get(path, ())]
    whole = [family for family in families if plain <= set(family)]
    wanted = [word for family in whole or families if plain & set(family) for word in family]
    spelt = _spelling(seen[0])
    return {spelt(word): table[word] for word in dict.fromkeys(wanted) if word in table}


def _spelling(like: str) -> Callable[[str], str]:
    if len(like) > 1 and like.isupper():
        return str.upper
    return str.capitalize if like[:1].isupper() else str.lower
