"""The audit chain: who or what decided, on which evidence, under which plan, so that a change is seen.

Pure. The store appends in the transaction that it records; `intops audit verify` checks with the same code.
Each entry's text holds the hash of the one before it. Values that may be personal stand beside the chain,
which holds only salted digests of them: they can be erased, and everything else still verifies.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from intops_api.plan import FlowPlan

GENESIS: Final = "0" * 64
"""What the first entry names as the one before it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was decided.

    Attributes:
        action: delivered, dropped, toReview, planLoaded, retry, edit, discard, refused, told, erased,
            forgotten, or damaged: what stands for an entry that was changed before it was sealed.
        facts: What the chain holds for good: numbers, hashes, names of rules. No personal data.
        values: What may be personal, by name: the actor, a reason, a sentence. Kept beside the chain.
    """

    action: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """One entry as it is stored: `body` is hashed byte by byte, `values` is JSON or None if erased."""

    seq: int
    body: str
    hash: str
    values: str | None = None


def _text(value: Any) -> str:
    """JSON that is equal for equal values, whatever the order of their keys."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # an integer of more than 64 bits, or half a character
        return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def hash_of(body: str) -> str:
    """The hash of one entry's text."""
    return hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()


def digest_of(salt: str, value: Any) -> str:
    """The salted digest of one value: without the salt, nobody finds the value by trying."""
    text = salt + _text(value)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def seal(entry: Entry, *, seq: int, previous: str, at: str, salt: Callable[[], str]) -> Row:
    """The next row of a chain.

    Args:
        entry: What is recorded.
        seq: Number of the row, one more than that of the row before.
        previous: Hash of the row before, or `GENESIS`.
        at: When, RFC 3339.
        salt: Gives a new random text for each value.
    """
    facts = {name: value for name, value in entry.facts.items() if value is not None}
    facts |= {"seq": seq, "previous": previous, "at": at, "action": entry.action}
    kept = {name: [salt(), value] for name, value in entry.values.items() if value is not None}
    if kept:
        facts["digests"] = {name: digest_of(*pair) for name, pair in kept.items()}
    body = _text(facts)
    return Row(seq, body, hash_of(body), _text(kept) if kept else None)


def packed(entry: Entry, at: str) -> str:
    """An entry as text, until it is sealed; `at` is RFC 3339."""
    return _text({"action": entry.action, "at": at, "facts": entry.facts, "values": entry.values})


def unpacked(text: str) -> tuple[Entry, str]:
    """The entry of such a text, and when it was made."""
    found = json.loads(text)
    return Entry(found["action"], found["facts"], found["values"]), str(found["at"])


@dataclass(slots=True)
class Verifier:
    """Takes the rows of a chain in order; `finish` says what is wrong with it."""

    problems: list[str] = field(default_factory=list)
    entries: int = 0
    erased: int = 0
    head: tuple[int, str] = (0, GENESIS)
    _first: tuple[int, str] | None = None
    _silent: dict[int, str] = field(default_factory=dict)
    """Rows without values although their text has digests, by number, with what is wrong then."""
    _allowed: set[int] = field(default_factory=set)
    _anchors: dict[int, str] = field(default_factory=dict)
    _hashes: dict[int, str] = field(default_factory=dict)
    _awaited: frozenset[int] = frozenset()

    def await_heads(self, *heads: tuple[int, str]) -> None:
        """Heads that were exported earlier and must be found; call it before the first row."""
        self._awaited = frozenset(seq for seq, _ in heads)

    def feed(self, row: Row) -> None:
        """Look at the next row."""
        self.entries += 1
        seq, before = self.head
        body = self._body(row)
        if self._first is None:
            self._first = (row.seq, str(body.get("previous", "")))
        elif row.seq != seq + 1:
            self._wrong(row.seq, f"does not follow entry {seq}; entries are missing or reordered")
        elif body.get("previous") != before:
            self._wrong(row.seq, f"does not name the hash of entry {seq} before it")
        if row.seq in self._awaited:
            self._hashes[row.seq] = row.hash
        self.head = (row.seq, row.hash)
        self._values(row, body)
        if body.get("action") == "erased":
            self._allowed.update(n for n in body.get("entries", ()) if isinstance(n, int))
        elif body.get("action") == "forgotten":
            self._anchors[int(body.get("through", 0))] = str(body.get("hash", ""))
        elif body.get("action") == "damaged":
            self._wrong(row.seq, "stands for one that was changed before it was sealed")

    def finish(self, *heads: tuple[int, str]) -> list[str]:
        """Everything that is wrong, in sentences; empty where the chain is whole.

        Args:
            heads: Number and hash of heads that were exported earlier: only they show that the end
                of a chain was cut off.
        """
        for seq, words in self._silent.items():
            if seq not in self._allowed:
                self._wrong(seq, words)
        self._begin()
        for seq, expected in heads:
            self._find(seq, expected)
        return self.problems

    def _begin(self) -> None:
        if self._first is None:
            return
        seq, previous = self._first
        if seq == 1 and previous == GENESIS:
            return
        if self._anchors.get(seq - 1) != previous:
            self._wrong(
                seq, "is the first, and nothing in the chain says what became of those before"
            )

    def _find(self, seq: int, expected: str) -> None:
        first, before = self._first or (1, GENESIS)
        if seq == 0 or seq < first - 1:
            return
        found = before if seq == first - 1 else self._hashes.get(seq)
        if found is None:
            self._wrong(seq, "was exported earlier and is gone; the end of the chain was cut off")
        elif found != expected:
            self._wrong(seq, "was exported earlier with another hash; the chain was made anew")

    def _body(self, row: Row) -> dict[str, Any]:
        try:
            body = json.loads(row.body)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            self._wrong(row.seq, "cannot be read")
            return {}
        if hash_of(row.body) != row.hash:
            self._wrong(row.seq, "was changed: its text does not have its hash")
        if body.get("seq") != row.seq:
            self._wrong(row.seq, "has another number in its text")
        return body

    def _values(self, row: Row, body: dict[str, Any]) -> None:
        digests = body.get("digests") or {}
        if row.values is None:
            if digests:
                self.erased += 1
                self._silent[row.seq] = "lacks its values, and no entry says that they were erased"
            return
        try:
            values = json.loads(row.values)
            found = {name: digest_of(salt, value) for name, (salt, value) in values.items()}
        except (ValueError, TypeError, AttributeError):
            self._wrong(row.seq, "has values that cannot be read")
            return
        if found != digests or row.values != _text(values):
            self._wrong(row.seq, "has values that were changed: they do not have their digests")

    def _wrong(self, seq: int, words: str) -> None:
        self.problems.append(f"Entry {seq} {words}.")


def shown(row: Row) -> dict[str, Any]:
    """One entry as people and exports see it: text, hash and values that are still there."""
    values = json.loads(row.values) if row.values else {}
    return {
        **json.loads(row.body),
        "hash": row.hash,
        "values": {name: value for name, (_, value) in values.items()},
    }


def exported(row: Row) -> dict[str, Any]:
    """One line of an export: everything that a later verification needs."""
    return {
        "seq": row.seq, "hash": row.hash, "body": row.body, "values": row.values,
    }  # fmt: skip


def imported(line: Mapping[str, Any]) -> Row:
    """The row of one line of an export.

    Raises:
        ValueError: it is none.
    """
    try:
        values = line["values"]
        return Row(
            int(line["seq"]),
            str(line["body"]),
            str(line["hash"]),
            None if values is None else str(values),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"no entry of an audit chain ({error})") from error


def plan_entry(plan: FlowPlan) -> Entry:
    """What the audit chain says of a plan that is taken into use: all that it maps with, by hash.

    A Mapping on trial decides nothing, and so stands apart.
    """
    deciding = {plan.transform, *(b.in_ for b in plan.bindings), *(b.out for b in plan.bindings)}
    facts = {
        "plan": plan.hash,
        "pattern": plan.pattern,
        "generation": plan.flow.generation or None,
        "mappings": {
            blob.name: name
            for name, blob in sorted(plan.blobs.mappings.items())
            if name in deciding
        },
        "classes": {blob.name: name for name, blob in sorted(plan.blobs.classes.items())},
        "models": {blob.name: name for name, blob in sorted(plan.blobs.models.items())},
    }
    if shadows := {b.shadow_name or "": b.shadow for b in plan.bindings if b.shadow}:
        facts["shadows"] = shadows
    return Entry("planLoaded", facts)
