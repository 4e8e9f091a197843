"""What a Mapping, a CanonicalModel and a Pattern can be judged by alone.

Read by this package only.
"""

from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel

from intops_api.canonical_model import CanonicalModelSpec, ModelVersion
from intops_api.mapping import FieldRule, MappingBody, MappingEnd
from intops_api.pattern import PatternSpec, Role, Rule
from intops_api.rules.rule import CelRule, unique

_MAPPING_END: Final = (
    CelRule(
        "has(self.class) != has(self.model)",
        "An end of a Mapping is either an object of a class or a canonical model; "
        "write class and object, or model and version.",
    ),
    CelRule(
        "has(self.class) == has(self.object)",
        "class and object belong together, because fields are looked up in that object; "
        "write both, such as class: alertmanager and object: alert.",
    ),
    CelRule(
        "has(self.model) == has(self.version)",
        "model and version belong together, because a model's fields differ between versions; "
        "write both, such as model: event and version: v1.",
    ),
)

_MAPPING_BODY: Final = (
    CelRule(
        "!(has(self.from.class) && has(self.to.class))",
        "Both ends are systems, but every system is mapped to a canonical model so that N systems need "
        "N Mappings; write two Mappings with a model between them.",
    ),
    CelRule(
        unique("variants"),
        "Two variants have the same name, so a rule limited to one would mean both; "
        "give each variant a name of its own.",
        ".variants",
    ),
    CelRule(
        unique("examples"),
        "Two examples have the same name, so nobody could tell which of them fails; "
        "give each example a name of its own.",
        ".examples",
    ),
)

_FIELD_RULE: Final = (
    CelRule(
        "!has(self.onUnmapped) || has(self.values)",
        "onUnmapped says what happens to a value that the table lacks, but there is no table; "
        "write values, or leave onUnmapped out.",
        ".onUnmapped",
    ),
)

_MODEL: Final = (
    CelRule(
        unique("versions"),
        "Two versions have the same name, so a Mapping could not say which it means; "
        "give each version a name of its own, such as v2.",
        ".versions",
    ),
)

_MODEL_VERSION: Final = (
    CelRule(
        "!has(self.identity) || self.identity.all(path, path in self.fields)",
        "identity names a field that the version does not have, so two things could not be told apart; "
        "write paths that are listed under fields.",
        ".identity",
    ),
)

PATTERN_ROOT: Final = (
    CelRule(
        "!has(self.spec.extends) || self.spec.extends != self.metadata.name",
        "A Pattern cannot extend itself; name the Pattern that this one tightens, or leave extends out.",
        ".spec.extends",
    ),
)

_PATTERN: Final = (
    CelRule(
        unique("stages"),
        "Two stages have the same name, but a step runs once; name each stage once.",
        ".stages",
    ),
    CelRule(
        unique("rules", "id"),
        "Two rules have the same id, so an exception would lift both; give each rule an id of its own.",
        ".rules",
    ),
)

_ROLE: Final = (
    CelRule(
        "!has(self.min) || !has(self.max) || self.min <= self.max",
        "min is above max, so no Flow could fill this role; write a max that is at least min.",
        ".min",
    ),
)

_PATTERN_RULE: Final = (
    CelRule(
        "!has(self.when) || has(self.message)",
        "A rule of your own has no message, so whoever breaks it would not know what to do; "
        "write message: what is wrong, why it matters, what to write.",
        ".when",
    ),
)

RULES: Final[Mapping[type[BaseModel], tuple[CelRule, ...]]] = {
    MappingEnd: _MAPPING_END,
    MappingBody: _MAPPING_BODY,
    FieldRule: _FIELD_RULE,
    CanonicalModelSpec: _MODEL,
    ModelVersion: _MODEL_VERSION,
    PatternSpec: _PATTERN,
    Role: _ROLE,
    Rule: _PATTERN_RULE,
}
