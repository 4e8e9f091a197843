"""What a single object can be judged by: rules in CEL that the API server itself checks, by model.

The schema generator writes them into the CRDs as `x-kubernetes-validations`, so they hold without any
server of ours. A rule stands with the model that it is about and holds wherever that model is used.
Rules keep to CEL that every implementation has, and treat an empty list like an absent one.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel

from intops_api.conditions import Condition
from intops_api.connector_class import CredentialKey
from intops_api.flow import Binding
from intops_api.pattern import Role
from intops_api.rules import flow_rules, meaning_rules, system_rules
from intops_api.rules.rule import CelRule

# Lists whose elements have an identity: several managers may own elements of one list, and the
# API server refuses two elements with one key. Lists in which order decides are not among them.
LIST_KEYS: Final[Mapping[type[BaseModel], str]] = {
    Binding: "name",
    Condition: "type",
    CredentialKey: "key",
    Role: "name",
}

RULES: Final[Mapping[type[BaseModel], tuple[CelRule, ...]]] = {
    **flow_rules.RULES,
    **meaning_rules.RULES,
    **system_rules.RULES,
}


def rules_of(model: type[BaseModel]) -> tuple[CelRule, ...]:
    """The rules of a model and of the models that it extends."""
    return tuple(rule for base in model.__mro__ for rule in RULES.get(base, ()))


def judgeable(value: Any, path: str) -> Iterator[tuple[str, CelRule, dict[str, Any]]]:
    """Every rule that one object can be judged by, with the value of `self`.

    For those who check manifests without an API server. Rules about a change are left out.

    Args:
        value: A model, or a list or dict in which models are.
        path: Where it stands, such as `spec`.

    Yields:
        Path of the field to blame, the rule, and `self` as the API server would see it.
    """
    if isinstance(value, BaseModel):
        own = _as_stored(value)
        for rule in rules_of(type(value)):
            if not rule.compares_with_before:
                yield path + rule.field, rule, own
        for name, info in type(value).model_fields.items():
            yield from judgeable(getattr(value, name), f"{path}.{info.alias or name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from judgeable(item, f"{path}[{index}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from judgeable(item, f"{path}.{key}")


def _as_stored(value: Any) -> Any:
    """A model as the API server stores it: what was written, and defaults where they are scalars."""
    if isinstance(value, BaseModel):
        there = {
            info.alias or name: getattr(value, name)
            for name, info in type(value).model_fields.items()
            if name in value.model_fields_set or isinstance(getattr(value, name), str | int | float)
        }
        return {name: _as_stored(below) for name, below in there.items() if below is not None}
    if isinstance(value, list):
        return [_as_stored(item) for item in value]
    if isinstance(value, dict):
        return {key: _as_stored(item) for key, item in value.items()}
    return value
