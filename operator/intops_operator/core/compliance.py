"""Judge whether a Flow is governed in time: reviews and exceptions, by the day of the clock.

Called by `judging`. What is due makes no Flow unready and refuses nothing.
"""

from intops_api.conditions import ConditionType, Reason
from intops_api.flow import FlowSpec
from intops_core.rules.dates import LONGEST_UNTIL_REVIEW_DAYS, OutOfDate, out_of_date
from intops_operator.core import sentences as say
from intops_operator.core.facts import FlowFacts
from intops_operator.core.verdict import Verdict


def compliant(facts: FlowFacts) -> Verdict:
    """Whether reviews are done in time and no exception has expired. Never a denial."""
    kind = ConditionType.COMPLIANT
    if facts.spec is None:
        return Verdict(kind, "Unknown", Reason.PENDING, "Waits until the Flow can be read.")
    due = out_of_date(facts.spec, facts.now.date(), limits_reviews=facts.limits_reviews)
    if due is not None:
        reason, what, action = _due(facts.spec, due)
        return Verdict(kind, "False", reason, say.tell(what, action=action, owner=facts.spec.owner))
    text = "Reviews are done in time and no exception has expired."
    return Verdict(kind, "True", Reason.COMPLIANT, text)


def _due(spec: FlowSpec, due: OutOfDate) -> tuple[Reason, str, str]:
    """Reason, what is due, and what to do about it."""
    match due.due:
        case "exceptionExpired":
            rules = say.listed(f"{e.rule} (until {e.until})" for e in due.expired)
            return (
                Reason.EXCEPTION_EXPIRED,
                f"The exception from {rules} has expired.",
                "Keep the rule and remove the exception, or have a new date approved.",
            )
        case "reviewDue":
            return (
                Reason.REVIEW_DUE,
                f"This Flow was to be looked at again by {spec.review_by}.",
                "Look at it and set spec.reviewBy to the next date.",
            )
        case "reviewTooFar":
            what = (
                f"This Flow is to be looked at again by {spec.review_by}, which is more than "
                f"{LONGEST_UNTIL_REVIEW_DAYS} days ahead, so nobody would notice in time that it is no longer "
                "what the business needs."
            )
            action = f"Set spec.reviewBy to {due.latest} or an earlier day."
            return Reason.REVIEW_TOO_FAR, what, action
