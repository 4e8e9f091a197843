"""What is said of the stores of a Flow's workers: broken, full, filling up. Part of the condition Programmed.

Called by `judging`.
"""

from typing import Final

from intops_api.conditions import ConditionType, Reason
from intops_api.report import FILLING_FROM
from intops_operator.core import sentences as say
from intops_operator.core.facts import Counts, FlowFacts
from intops_operator.core.verdict import Verdict

FILLING_OVER: Final = 0.65
"""Below this it is told no more, so that a status does not go back and forth."""


def store_trouble(facts: FlowFacts, counts: Counts | None) -> Verdict | None:
    """Why nothing can be kept, or what does not add up; None where all is well."""
    for report in facts.reports:
        failed, full = report.store.failed, report.store.full
        if failed is None and not full:
            continue
        message = say.tell(
            say.sentence(failed) if failed else "The store of the worker is full.",
            waiting=say.waiting(counts),
            doing="Senders are told to come again (503), so nothing is acknowledged and lost.",
            action="Give the volume more room (spec.runtime.store.embedded.size) or repair it.",
            owner=facts.plan.owner if facts.plan else None,
        )
        reason = Reason.STORE_FAILED if failed else Reason.STORE_FULL
        return Verdict(ConditionType.PROGRAMMED, "False", reason, message)
    off = next((r.store.imbalance for r in facts.reports if r.store.imbalance), 0)
    return _uncounted(facts, off) if off else None


def _uncounted(facts: FlowFacts, off: int) -> Verdict:
    """What is said where messages are in no state (`off` above 0), or in two (below 0)."""
    number = say.messages(abs(off))
    what = (
        f"{number} that the store has taken in can be found nowhere in it, so the Flow cannot be trusted to "
        "have lost nothing."
        if off > 0
        else f"{number} more can be found in the store than it has taken in, so the Flow cannot be trusted to "
        "have repeated nothing."
    )
    message = say.tell(
        what,
        doing="The worker goes on; messages are kept as they are.",
        action="This is a defect of intops: follow the runbook IntopsMessagesUnaccounted, and report it.",
        owner=facts.plan.owner if facts.plan else None,
    )
    return Verdict(ConditionType.PROGRAMMED, "False", Reason.STORE_FAILED, message)


def store_filling(facts: FlowFacts) -> str:
    """What to do about a volume that gets full, long before senders are refused; empty where none does."""
    fill = max((report.store.fill or 0.0 for report in facts.reports), default=0.0)
    before = facts.previous.get(ConditionType.PROGRAMMED)
    is_told = before is not None and before.reason == Reason.STORE_FILLING
    if fill < (FILLING_OVER if is_told else FILLING_FROM):
        return ""
    # No number: a sentence that changes with every report would be written with every report.
    return (
        f"More than {FILLING_OVER:.0%} of the volume's room is used. Senders are slowed down, and told to come "
        "again (503) when it is full; nothing is lost. Bring the systems back that messages wait for, or give "
        "the volume more room (spec.runtime.store.embedded.size)."
    )
