"""What is due today about a Flow: its next look, and its exceptions. Dates never refuse anything.

The operator asks with the day of its clock and tells it in the condition Compliant; the rules say what
must be written.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal

from intops_api.flow import FlowSpec, RuleException

# Domain reference, COM-07: twice a year somebody asks whether a Flow is still what the business needs.
LONGEST_UNTIL_REVIEW_DAYS: Final = 180
REVIEW_RULE: Final = "COM-07"

Due = Literal["exceptionExpired", "reviewDue", "reviewTooFar"]


@dataclass(frozen=True, slots=True)
class OutOfDate:
    """What is due first.

    Attributes:
        due: Which kind it is.
        expired: For exceptions, those whose last day is over.
        latest: For a review that is too far ahead, the last day that would do.
    """

    due: Due
    expired: tuple[RuleException, ...] = ()
    latest: str = ""


def out_of_date(spec: FlowSpec, today: date, *, limits_reviews: bool) -> OutOfDate | None:
    """What is due about a Flow, the gravest first; None if nothing is.

    Args:
        spec: The Flow.
        today: The day of whoever asks, in UTC.
        limits_reviews: Whether its Pattern lists COM-07. An exception from that rule lifts the limit too.
    """
    # As text: a day that does not exist is refused elsewhere and must not end the judgement.
    expired = tuple(one for one in spec.exceptions if one.until < today.isoformat())
    if expired:
        return OutOfDate("exceptionExpired", expired)
    if spec.review_by is None:
        return None
    if spec.review_by < today.isoformat():
        return OutOfDate("reviewDue")
    last = today + timedelta(days=LONGEST_UNTIL_REVIEW_DAYS)
    excused = any(one.rule == REVIEW_RULE for one in spec.exceptions)
    if limits_reviews and not excused and spec.review_by > last.isoformat():
        return OutOfDate("reviewTooFar", latest=last.isoformat())
    return None
