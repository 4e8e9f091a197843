"""Who refused a manifest, for which field and in which words: the answers of an API server as values.

Four can refuse. `schema`: the types and forms in a CRD, in words of the API server. `rule`: CEL in a CRD,
`policy`: the ValidatingAdmissionPolicy on FlowActions, `webhook`: the operator; all three in our words.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final, Literal

from intops_api.kinds import KINDS
from intops_api.rules import RULES
from support.cluster.asking import Answer
from support.wrong import Promise

Speaker = Literal["schema", "rule", "policy", "webhook"]

_POLICY: Final = re.compile(
    r".* is forbidden: ValidatingAdmissionPolicy '(\S+)' with binding '\1' denied request: (.*)",
    re.DOTALL,
)
_WEBHOOK: Final = re.compile(
    r'admission webhook "validate\.intops\.io" denied the request: (.*)', re.DOTALL
)
_INVALID: Final = re.compile(
    r'Invalid value: (?:"(?:object|array|string|integer|boolean|null)": )?'
)
_UNKNOWN: Final = re.compile(r'unknown field "([^"]+)"')
_OURS: Final = frozenset(
    rule.message for rules in (*RULES.values(), *(kind.rules for kind in KINDS)) for rule in rules
)
# Beside a fault of the shape the API server says that it did not go on to the rules.
_NO_FAULT: Final = "<nil>"

SAME_FAULT: Final = (
    (r"unknown field", r"There is no field "),
    (r"Required value", r" is missing, and nothing can stand for it; "),
    (r"Unsupported value: ", r" must be one of "),
    (r"Duplicate value: ", r" is given twice, "),
    (r"Invalid value: .* in body should match '", r" is not an? "),
    (r"Too many: \d+: must have at most ", r" should have at most "),
    (r"Too long: may not be more than 262144 bytes", r" together have \d+ bytes, "),
    (r"Invalid value: .* in body must be of type date: ", r" is no day of the calendar; "),
    (
        r"Invalid value: .* in body must be of type boolean: ",
        r" must be true or false without quotes",
    ),
    (
        r"Invalid value: .* in body must be of type integer: ",
        r" must be a whole number without quotes",
    ),
    (r"Invalid value: .* a lowercase RFC 1123 subdomain must ", r" is not a name; "),
    (r"Invalid value: .* a valid label must be ", r" is not one that Kubernetes takes; "),
    (r"Invalid value: .* in body should be greater than ", r" should be greater than "),
)
"""How a fault begins in the API server's own words, and what our sentence about it contains."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing that was refused; `field` is empty where the speaker names it within its words."""

    speaker: Speaker
    field: str
    words: str

    def tells(self, promise: Promise, manifest: dict[str, Any]) -> bool:
        """Whether it is the refusal that people were promised.

        In our words the whole sentence has to be the same, and the field wherever one is told. In the API
        server's own words the field has to be the same, and the kind of fault by `SAME_FAULT`.
        """
        if self.speaker == "policy":
            return self.words == promise.message
        if self.speaker == "webhook":
            return self.words == _as_the_operator_says(promise, manifest)
        if self.field != plain(promise.path):
            return False
        if self.speaker == "rule":
            return self.words == promise.message
        return any(
            re.match(theirs, self.words) and re.search(ours, promise.message)
            for theirs, ours in SAME_FAULT
        )


def refusals(answer: Answer) -> list[Refusal]:
    """Every refusal in an answer; empty for what was accepted, or what is no answer of one of the four."""
    if answer.status == 400:
        return [
            Refusal("schema", plain(f), "unknown field") for f in _UNKNOWN.findall(answer.message)
        ]
    if answer.status == 422:
        causes = answer.body["details"]["causes"]
        return [_of_schema(c["field"], c["message"]) for c in causes if c["field"] != _NO_FAULT]
    if found := _POLICY.fullmatch(answer.message):
        return [Refusal("policy", "", found[2])]
    if found := _WEBHOOK.fullmatch(answer.message):
        return [Refusal("webhook", "", found[1])]
    return []


def plain(path: str) -> str:
    """A path in one notation: the API server writes keys of maps `fields[state]` or `fields.state`.

    >>> plain("spec.versions[1].fields[state].default")
    'spec.versions[1].fields.state.default'
    """
    return re.sub(r"\[([^\]]*[^\]0-9][^\]]*)\]", r".\1", path)


def _of_schema(field: str, words: str) -> Refusal:
    # Older API servers told the type of what is wrong, too.
    told = _INVALID.sub("", words)
    if told in _OURS:
        return Refusal("rule", plain(field), told)
    if words.startswith("Duplicate value: "):
        # The API server names the element and puts its key into the value; older ones write its Go type before it.
        (key,) = json.loads(words[words.index('{"') :])
        return Refusal("schema", f"{plain(field)}.{key}", words)
    return Refusal("schema", plain(field), words)


def _as_the_operator_says(promise: Promise, manifest: dict[str, Any]) -> str:
    label = "" if promise.rule in {"Schema", "Reference", "Example"} else f"{promise.rule}: "
    where = "" if promise.path in promise.message else f" [{promise.path}]"
    name = manifest["metadata"]["name"]
    return f'{manifest["kind"]} "{name}" is refused: {label}{promise.message}{where}'
