"""Sees that a target demands a field that the Mapping does not write, from the words with which it refuses records.

The lane shows it every refused write; the report tells what it has found. It keeps names of fields and counts. Words
that stand in the record itself are not told: they may be anybody's data. Domain reference, section 4.4.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from intops_api.common import FieldSchema
from intops_api.mapping import MappingBody
from intops_api.report import Finding
from intops_core.records import leaves
from intops_runtime.core.classifying import Failure
from intops_runtime.core.compiled import CompiledPlan
from intops_runtime.core.drift import FORGET_S
from intops_runtime.core.reporting import rfc3339

REFUSED: Final = "validation"
# So often within so many seconds: one refusal is an accident of one record.
SEEN_AT_LEAST: Final = 3
WITHIN_S: Final = 600.0
MAX_NAMES: Final = 100
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*")
_LONGEST: Final = 64
_NO_SIGN: Final = re.compile(r"[\W_]+")
# Only in a sentence that demands something is a word that the class does not know taken for a field.
_DEMANDS: Final = re.compile(
    r"\b(?:mandatory|required|requires|missing|must|needs?|needed|empty|blank|null)\b",
    re.IGNORECASE,
)


@dataclass(slots=True)
class _Named:
    """How often a field was named; `times` are the newest of them (epoch seconds)."""

    first_at: float
    count: int = 0
    times: tuple[float, ...] = ()
    tripped: bool = False

    def again(self, now: float) -> None:
        self.count += 1
        self.times = (*self.times, now)[-SEEN_AT_LEAST:]
        if len(self.times) == SEEN_AT_LEAST and now - self.times[0] <= WITHIN_S:
            self.tripped = True


class RefusalWatch:
    """Watches one target binding from the load of its plan on."""

    def __init__(
        self,
        target: str,
        system: str,
        mapping: str,
        body: MappingBody,
        fields: Mapping[str, FieldSchema],
    ) -> None:
        """`system` is its name for people, `fields` are those of its object that the class declares."""
        self._target, self._system, self._mapping = target, system, mapping
        paths = {rule.to for rule in body.fields}
        self._written = paths | {path.rpartition(".")[2] for path in paths}
        self._declared = {path for path in fields if path not in paths}
        self._named: dict[str, _Named] = {}

    def note(self, failure: Failure, record: Mapping[str, Any], now: float) -> None:
        """A write of `record` failed."""
        if failure.error_class != REFUSED or failure.status is None:
            return  # no answer of the system: what we refuse ourselves says nothing of it
        for name in self._fields_in(failure.detail, record):
            if name in self._named or len(self._named) < MAX_NAMES:
                self._named.setdefault(name, _Named(now)).again(now)

    def _fields_in(self, words: str, record: Mapping[str, Any]) -> set[str]:
        """Words that name a field which the Mapping does not write: declared ones, or such as `u_site`."""
        demands = _DEMANDS.search(words) is not None
        found = {
            word
            for word in _WORD.findall(words)
            if len(word) <= _LONGEST
            and word not in self._written
            and (word in self._declared or (demands and "_" in word.strip("_")))
        }
        if not found:
            return found
        data = "\0".join(_bare(str(value)) for _, value in leaves(dict(record)))
        return {word for word in found if _bare(word) not in data}

    def findings(self, now: float) -> Iterator[Finding]:
        """Which fields are demanded."""
        for name, named in self._named.items():
            if not named.tripped or now - named.times[-1] >= FORGET_S:
                continue
            declare = "" if name in self._declared else " and declare it in the class"
            words = (
                f'{self._system} refuses records of target "{self._target}" and names {name}, which Mapping '
                f'"{self._mapping}" does not write; such messages wait in review. Was the system changed? '
                f"Add a rule for {name} to spec.fields{declare}, then retry all equal ones."
            )
            yield Finding(
                kind="drift", reason="FieldDemanded", message=words, count=named.count,
                severity="critical", since=rfc3339(named.first_at), mapping=self._mapping,
            )  # fmt: skip


def _bare(text: str) -> str:
    """Letters and digits only: `jane_doe` is the name of Jane Doe."""
    return _NO_SIGN.sub("", text.lower())


def refusal_watches(plan: CompiledPlan) -> dict[str, RefusalWatch]:
    """A watch for each target binding of a plan."""
    found = {}
    for name, target in plan.targets.items():
        blob = plan.plan.blobs.mappings[target.binding.out or ""]
        spec = target.class_.spec
        fields = spec.objects[target.object].fields
        found[name] = RefusalWatch(name, spec.display_name, blob.name, blob.spec, fields)
    return found
