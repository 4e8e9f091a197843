"""Typed checks of single expressions, each made once.

Used by the rules about routes, classes and Patterns; Mappings are checked by `mapping_checks`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from intops_core.ends import Model
from intops_core.expressions import ExpressionError, check_expression, compile_expression
from intops_core.typed import Record, VarType

Variables = Mapping[str, Record | VarType]


@dataclass(frozen=True, slots=True)
class _Check:
    """One check; equal where its key is, whatever the records."""

    source: str
    key: str
    expects: VarType | None
    variables: Variables = field(compare=False)


def expression_problem(source: str, model: Model | None) -> str:
    """Why a condition over a canonical record cannot be used, as a sentence; empty if it can.

    Without the model nothing can be said.
    """
    if model is None:
        return ""
    variables: Variables = {model.name: model.record}
    return typed_problem(source, model.key, variables, expects="boolean")


def typed_problem(
    source: str, key: str, variables: Variables, *, expects: VarType | None = None
) -> str:
    """Why an expression does not fit its variables, as a sentence; empty if it does.

    Args:
        source: The expression.
        key: Equal for equal variables.
        variables: Type of each name.
        expects: Type that the result must have.
    """
    return _typed_problem(_Check(source, key, expects, variables))


# 8192: expressions of a few hundred Flows and classes; an entry is a short text.
@lru_cache(maxsize=8192)
def _typed_problem(check: _Check) -> str:
    try:
        check_expression(check.source, check.variables, expects=check.expects)
        compile_expression(check.source, frozenset(check.variables))
    except ExpressionError as error:
        return f"The expression cannot be used: {error}"
    return ""
