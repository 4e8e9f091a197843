"""What an exception of a Flow is judged by: a rule that can be lifted, and somebody else who agreed.

Used by conformance. When it ends is told by `dates` and refuses nothing.
"""

from collections.abc import Iterator, Mapping

from intops_api.flow import RuleException
from intops_core.facts import FlowFacts
from intops_core.findings import Breach, suggestion
from intops_core.rules.rule import BuiltInRule


def exception_breaches(facts: FlowFacts, built_in: Mapping[str, BuiltInRule]) -> Iterator[Breach]:
    """Everything that is wrong with the exceptions of a Flow."""
    pattern = facts.pattern_spec
    own = {rule.id for rule in pattern.rules} if pattern else set()
    for index, exception in enumerate(facts.written.exceptions):
        path = f"spec.exceptions[{index}]"
        known = built_in.get(exception.rule)
        if known is not None and not known.excusable:
            words = (
                f"Rule {exception.rule} cannot be lifted, because a Flow that breaks it could not run. "
                "Remove the exception and mend what the rule says."
            )
            yield Breach(f"{path}.rule", words)
        elif known is not None and not known.liftable:
            words = (
                f"Rule {exception.rule} is about a {known.kinds[0]}, which other Flows may use too, so an "
                "exception of this Flow lifts nothing. Remove it and mend what the rule says there."
            )
            yield Breach(f"{path}.rule", words, at_most="warn")
        elif exception.rule not in own and pattern is not None:
            yield Breach(
                f"{path}.rule", _lifts_nothing(exception, facts, built_in, own), at_most="warn"
            )
        yield from _approved(exception, path, facts)


def _lifts_nothing(
    exception: RuleException, facts: FlowFacts, built_in: Mapping[str, BuiltInRule], own: set[str]
) -> str:
    if exception.rule in built_in:
        return (
            f'Pattern "{facts.spec.pattern}" does not list rule {exception.rule}, so the exception lifts nothing. '
            "Remove it."
        )
    liftable = {rule.id for rule in built_in.values() if rule.liftable}
    return f'There is no rule "{exception.rule}", so the exception lifts nothing.' + suggestion(
        exception.rule, own | liftable
    )


def _approved(exception: RuleException, path: str, facts: FlowFacts) -> Iterator[Breach]:
    owner, approver = facts.spec.owner, exception.approved_by.strip()
    for field, value in (("reason", exception.reason), ("approvedBy", exception.approved_by)):
        if not value.strip():
            yield Breach(
                f"{path}.{field}",
                f"The exception from {exception.rule} has a blank {field}, so nobody could tell later why it was "
                f"allowed and by whom. Write {field}.",
            )
    if approver and approver in (owner.team, owner.contact):
        yield Breach(
            f"{path}.approvedBy",
            f'The exception from {exception.rule} is approved by "{approver}", who owns this Flow, so nobody else '
            "has agreed to it. Have it approved by somebody else, such as whom spec.owner.escalation names.",
            at_most="warn",
        )
