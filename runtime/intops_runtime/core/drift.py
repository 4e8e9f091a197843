"""Sees that the payloads of one source no longer look the way its class and its Mapping expect.

The intake shows it every message; the report tells what it has found. It keeps paths, kinds and counts,
never values; of a value that a table lacks only what looks like the name of an enumeration is told.
Detectors and thresholds: domain reference, section 4.4.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeVar

from intops_api.common import FieldSchema
from intops_api.mapping import MappingBody
from intops_api.report import Finding
from intops_core.mapping import Mapped, Unmapped
from intops_core.records import ABSENT, getter
from intops_core.shapes import Kind, is_readable, kind_of, paths
from intops_runtime.core.compiled import CompiledPlan
from intops_runtime.core.reporting import rfc3339
from intops_runtime.core.vanished import VanishedPaths

Severity = Literal["critical", "warning", "info"]
SEVERITIES: Final[tuple[Severity, ...]] = ("critical", "warning", "info")

# How often something must be seen before it is told.
SEEN_AT_LEAST: Final = 3
# A share of messages above which a change hurts.
CRITICAL_SHARE: Final = 0.01
# What was not seen for an hour is over.
FORGET_S: Final = 3600.0
MOST_FINDINGS: Final = 20
MAX_PATHS: Final = 200
# Looking costs some 50 µs; a flood need not be looked at whole.
LOOKS_PER_S: Final = 200
_K = TypeVar("_K")
_NAME = re.compile(r"^[A-Za-z0-9_.\-]{1,32}$")


@dataclass(slots=True)
class _Seen:
    """How often something was seen, and when last (epoch seconds)."""

    count: int = 0
    first_at: float = 0.0
    last_at: float = 0.0

    def again(self, now: float) -> None:
        self.count += 1
        self.first_at = self.first_at or now
        self.last_at = now


class DriftWatch:
    """Watches one source binding from the load of its plan on."""

    def __init__(
        self,
        source: str,
        mapping: str,
        body: MappingBody,
        objects: Mapping[str, FieldSchema],
        payload: Mapping[str, FieldSchema],
    ) -> None:
        """`objects` and `payload` are the declared fields of an item and of what is around it."""
        self._readers = [[getter(path) for path in rule.from_] for rule in body.fields]
        self._source = source
        self._mapping = mapping
        self._body = body
        self._objects = objects
        self._payload = payload
        self._messages = 0
        self._new: dict[str, _Seen] = {}
        self._wrong: dict[tuple[str, Kind], _Seen] = {}
        self._unmapped: dict[tuple[int, str], _Seen] = {}
        self._unknown = _Seen()
        self._gone = VanishedPaths(source, mapping, body, objects)
        self._second = 0
        self._looks = 0
        self.variants: Counter[str] = Counter()
        """Messages by recognised form."""

    def observe(self, item: Any, payload: Any, result: Mapped | Unmapped, now: float) -> None:
        """Look at one message, and at what the Mapping made of it."""
        self._messages += 1
        variant = result.variant if isinstance(result, Mapped) else None
        if variant is not None:
            self.variants[variant] += 1
        if isinstance(result, Unmapped) and result.outcome == "drift":
            self._unknown.again(now)
        elif isinstance(result, Unmapped) or result.left_out:
            self._look_at_tables(item, variant, now)
        if not self._may_look(now) or not isinstance(item, dict):
            return
        seen = self._look_at(item, self._objects, "object", now)
        if payload is not item and isinstance(payload, dict):
            self._look_at(payload, self._payload, "payload", now)
        self._gone.look(item, variant, seen)

    def _value(self, item: Any, index: int) -> Any:
        """What a rule reads: the first of its paths that is there."""
        found = (read(item) for read in self._readers[index])
        return next((value for value in found if value is not ABSENT and value is not None), None)

    def _may_look(self, now: float) -> bool:
        if int(now) != self._second:
            self._second, self._looks = int(now), 0
        self._looks += 1
        return self._looks <= LOOKS_PER_S

    def _look_at(
        self, value: Mapping[str, Any], declared: Mapping[str, FieldSchema], at: str, now: float
    ) -> list[str]:
        """Note what is new or of another kind; returns the paths that are there."""
        if not declared:
            return []  # nothing is known of it, so nothing is new
        seen = []
        for path, kind in paths(value, declared):
            seen.append(path)
            schema = declared.get(path)
            if schema is None:
                _note(self._new, f"{at}.{path}", now)
            elif not is_readable(kind, schema):
                _note(self._wrong, (f"{at}.{path}", kind), now)
        return seen

    def _look_at_tables(self, item: Any, variant: str | None, now: float) -> None:
        """Which value a table lacked; a message stops at its first, so all tables are looked at."""
        for index, rule in enumerate(self._body.fields):
            if not rule.values or rule.on_unmapped == "default":
                continue
            if variant is not None and rule.variants and variant not in rule.variants:
                continue
            found = self._value(item, index)
            text = found if isinstance(found, str) else str(found).lower()
            if (
                found is not None
                and kind_of(found) not in ("map", "list")
                and text not in rule.values
            ):
                _note(self._unmapped, (index, text if _NAME.match(text) else ""), now)

    def findings(self, now: float) -> list[Finding]:
        """What has changed, the worst first."""
        found = [*self._variants_unknown(now), *self._gone.findings(), *self._types(now)]
        found += [*self._values(now), *self._paths(now)]
        return sorted(found, key=lambda one: (SEVERITIES.index(one.severity), one.since or ""))

    def _variants_unknown(self, now: float) -> Iterator[Finding]:
        if _is_news(self._unknown, now, at_least=1):
            known = ", ".join(variant.name for variant in self._body.variants)
            words = (
                f'Payloads of source "{self._source}" have none of the forms that Mapping '
                f'"{self._mapping}" knows ({known}); they wait in review. Was the sender upgraded? Add a '
                "form to spec.variants."
            )
            yield self._finding("UnknownVariant", words, self._unknown, "critical")

    def _types(self, now: float) -> Iterator[Finding]:
        for (path, kind), seen in self._wrong.items():
            if _is_news(seen, now):
                at, _, name = path.partition(".")
                schema = (self._objects if at == "object" else self._payload)[name]
                words = (
                    f'Source "{self._source}" sends a {kind} at {path}, where its class declares '
                    f"{schema.type}. Look at the sender's release notes, then mend class and Mapping."
                )
                yield self._finding("TypeChanged", words, seen, self._weight(seen))

    def _values(self, now: float) -> Iterator[Finding]:
        for (index, value), seen in self._unmapped.items():
            if _is_news(seen, now, at_least=1):
                rule = self._body.fields[index]
                shown = f'"{value}"' if value else "a value that is not shown here"
                meanwhile = (
                    f"the rest is delivered, and {rule.to} waits in review"
                    if rule.on_unmapped == "continue"
                    else "such messages wait in review"
                )
                words = (
                    f'Source "{self._source}" sends {shown} at {" or ".join(rule.from_)}, which the table '
                    f'of Mapping "{self._mapping}" lacks; {meanwhile}. '
                    f"Add it to spec.fields[{index}].values, then retry them."
                )
                yield self._finding("UnmappedValue", words, seen, self._weight(seen))

    def _paths(self, now: float) -> Iterator[Finding]:
        for path, seen in self._new.items():
            if _is_news(seen, now):
                words = (
                    f'Source "{self._source}" sends {path}, which its class does not declare. '
                    "Nothing breaks; map it if it matters."
                )
                yield self._finding("NewPath", words, seen, "info")

    def _weight(self, seen: _Seen) -> Severity:
        return "critical" if seen.count > CRITICAL_SHARE * self._messages else "warning"

    def _finding(self, reason: str, words: str, seen: _Seen, severity: Severity) -> Finding:
        return Finding(
            kind="drift", reason=reason, message=words, count=seen.count,
            severity=severity, since=rfc3339(seen.first_at), mapping=self._mapping,
        )  # fmt: skip


def _note(seen: dict[_K, _Seen], key: _K, now: float) -> None:
    if key in seen or len(seen) < MAX_PATHS:
        seen.setdefault(key, _Seen()).again(now)


def _is_news(seen: _Seen, now: float, *, at_least: int = SEEN_AT_LEAST) -> bool:
    return seen.count >= at_least and now - seen.last_at < FORGET_S


def watches(plan: CompiledPlan) -> dict[str, DriftWatch]:
    """A watch for each source binding of a plan."""
    found = {}
    for name, source in plan.sources.items():
        spec = plan.plan.blobs.classes[source.binding.class_].spec
        blob = plan.plan.blobs.mappings[source.binding.in_ or ""]
        capture = spec.capture
        if capture is None:
            continue
        item = spec.objects.get(capture.object)
        around = capture.payload_fields if capture.items is not None else {}
        found[name] = DriftWatch(name, blob.name, blob.spec, item.fields if item else {}, around)
    return found


class Watch(Protocol):
    """Something that finds changes."""

    def findings(self, now: float) -> Iterable[Finding]:
        """What has changed."""


def told(seen: Iterable[Watch], now: float) -> list[Finding]:
    """Findings of all watches of a plan, the worst first; not too many, because people read them."""
    found = [finding for watch in seen for finding in watch.findings(now)]
    return sorted(found, key=lambda one: SEVERITIES.index(one.severity))[:MOST_FINDINGS]
