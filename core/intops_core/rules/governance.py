"""Rules about the promise behind a Flow: who answers for it, what it promises, what becomes of errors.

Used by the registry. Dates are not judged here, because they refuse nothing: see `dates`.
"""

from collections.abc import Iterator
from typing import Final

from intops_api.common import duration_s
from intops_core.error_classes import BY_NAME, class_overrides, effective_policies
from intops_core.facts import FlowFacts
from intops_core.findings import Breach
from intops_core.rules.dates import LONGEST_UNTIL_REVIEW_DAYS, REVIEW_RULE
from intops_core.rules.directions import both_directions_are_sound
from intops_core.rules.keeping import outages_are_outlasted
from intops_core.rules.rule import BuiltInRule

_ENDS_MESSAGES: Final = ("review", "drop")


def somebody_answers(facts: FlowFacts) -> Iterator[Breach]:
    """COM-07: team and contact, whom to reach when they do not answer, and a day for the next look."""
    owner, name = facts.spec.owner, facts.flow.ref.name
    for field, value in (("team", owner.team), ("contact", owner.contact)):
        if not value.strip():
            yield Breach(
                f"spec.owner.{field}",
                f'Flow "{name}" has a blank {field} of its owner. Someone must be accountable for its outcome. '
                "Set spec.owner.team and spec.owner.contact.",
            )
    if owner.escalation is None or not owner.escalation.strip():
        yield Breach(
            "spec.owner.escalation",
            f'Nobody is named for when "{owner.team}" does not answer, so overdue reviews of Flow "{name}" would '
            "be told to those who overlooked them. Set spec.owner.escalation to whom they report to.",
        )
    elif owner.escalation.strip() == owner.contact.strip():
        yield Breach(
            "spec.owner.escalation",
            f'The escalation of Flow "{name}" is its contact, so overdue reviews would be told to those who '
            "overlooked them. Set spec.owner.escalation to whom they report to.",
        )
    if facts.spec.review_by is None:
        yield Breach(
            "spec.reviewBy",
            f'Nobody has promised to look at Flow "{name}" again, so it may outlive its use. Set spec.reviewBy '
            f"to a day within the next {LONGEST_UNTIL_REVIEW_DAYS}.",
        )


def errors_have_an_end(facts: FlowFacts) -> Iterator[Breach]:
    """COM-08: policies say all that they need, and somebody looks within a time that can be kept.

    Classes that no policy names inherit their default, and who looks is the owner where nobody else is
    named, so only what is written can be wrong.
    """
    for name, policy in facts.spec.errors.items():
        path = f"spec.errors.{name}"
        if name == "expired" and policy.strategy in _ENDS_MESSAGES and policy.max_age is None:
            yield Breach(
                f"{path}.maxAge",
                f"errors.expired says {policy.strategy}, but not from which age on, so no message would ever "
                f"expire. Set {path}.maxAge, such as 24h.",
            )
        elif name == "expired" and policy.strategy not in _ENDS_MESSAGES and policy.max_age:
            yield Breach(
                f"{path}.strategy",
                f"errors.expired has a maxAge, but not what becomes of older messages, so they would be "
                f"delivered all the same. Set {path}.strategy to review or drop.",
            )
    yield from _delays(facts)
    yield from _review_time(facts)


def _delays(facts: FlowFacts) -> Iterator[Breach]:
    """First delays that are longer than the longest, with what classes of systems say below the Flow."""
    for name, policy in facts.spec.errors.items():
        known = BY_NAME.get(name)
        if policy.base is None or known is None or not known.takes_numbers:
            continue
        if name == "conflict":  # its delay is drawn between both, so a longer base is kept
            continue
        of_systems = [
            class_overrides(system.class_spec.error_policies)
            for system in facts.systems
            if system.class_spec is not None
        ]
        caps = {
            effective_policies(below, facts.spec.errors)[name].cap for below in of_systems or [{}]
        }
        cap = min((cap for cap in caps if cap is not None), key=duration_s, default=None)
        if cap is not None and duration_s(policy.base) > duration_s(cap):
            yield Breach(
                f"spec.errors.{name}.base",
                f"After {name} the first delay, {policy.base}, is longer than the longest, {cap}, so it would "
                f"never be kept. Write a base of at most {cap}, or a longer cap.",
            )


def _review_time(facts: FlowFacts) -> Iterator[Breach]:
    due, window = facts.spec.review.due_within, facts.spec.slo.window
    if due is None:
        return
    if duration_s(due) == 0:
        yield Breach(
            "spec.review.dueWithin",
            f"Reviews are due after {due}, so each would be overdue before anybody could look. Set "
            "spec.review.dueWithin to a time that the team can keep, such as 8h.",
        )
    elif window is not None and 0 < duration_s(window) < duration_s(due):
        yield Breach(
            "spec.review.dueWithin",
            f"Reviews are due after {due}, which is longer than the {window} over which the promise is measured: "
            "what waits for a person would never count as late. Set spec.review.dueWithin to a time that the "
            "team can keep, such as 8h.",
            # A default of the Pattern that does not fit is told, but nobody wrote it.
            at_most="deny" if facts.written.review.due_within else "warn",
        )


def outcome_is_promised(facts: FlowFacts) -> Iterator[Breach]:
    """COM-12: a share of messages, a time for them, and a period, all of which can be measured."""
    slo = facts.spec.slo
    lacking = [
        f"spec.slo.{name}"
        for name, value in (
            ("delivered", slo.delivered),
            ("within", slo.within),
            ("window", slo.window),
        )
        if value is None
    ]
    if len(lacking) == 3:
        yield Breach(
            "spec.slo",
            "This Flow promises no outcome. Set spec.slo.delivered, spec.slo.within and spec.slo.window, such as "
            "99.9%, 60s and 30d, so that it can be measured.",
        )
        return
    for path in lacking:
        yield Breach(
            path,
            f"The promise of this Flow lacks {path}, so nobody could measure whether it is kept. Set "
            f"{' and '.join(lacking)}, such as {_EXAMPLE[path]}.",
        )
    if slo.delivered is not None and float(slo.delivered.rstrip("%")) == 0:
        yield Breach(
            "spec.slo.delivered",
            f"A share of {slo.delivered} promises nothing, because losing every message would keep it. Set "
            "spec.slo.delivered to what the business needs, such as 99.9%.",
        )
    for name, value in (("within", slo.within), ("window", slo.window)):
        if value is not None and duration_s(value) == 0:
            yield Breach(
                f"spec.slo.{name}",
                f"In {value} nothing can be delivered, so the promise could never be kept. Set spec.slo.{name}, "
                f"such as {_EXAMPLE[f'spec.slo.{name}']}.",
            )


_EXAMPLE: Final = {
    "spec.slo.delivered": "99.9%",
    "spec.slo.within": "60s",
    "spec.slo.window": "30d",
}

GOVERNANCE_RULES: Final[tuple[BuiltInRule, ...]] = (
    BuiltInRule(
        REVIEW_RULE,
        "Somebody is accountable and can be reached, somebody above them too, and a day is set for the next look.",
        severity="warn",
        flow=somebody_answers,
    ),
    BuiltInRule(
        "COM-08",
        "Every class of errors comes to an end, and what waits for a person is looked at in time.",
        flow=errors_have_an_end,
    ),
    BuiltInRule(
        "COM-09",
        "What comes during the longest outage that the Flow allows is kept and delivered afterwards.",
        flow=outages_are_outlasted,
    ),
    BuiltInRule(
        "COM-11",
        "What moves in both directions has a way back, and is recognised when it comes back.",
        flow=both_directions_are_sound,
    ),
    BuiltInRule(
        "COM-12",
        "An outcome is promised that can be measured: which share of messages, how soon, over which period.",
        flow=outcome_is_promised,
    ),
)
