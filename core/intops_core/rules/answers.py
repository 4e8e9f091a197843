"""Where a sender may wait for the outcome of what it sent, and how long.

Used by conformance for `answerWithin` of a Flow's bindings.
"""

from collections.abc import Iterator
from typing import Final

from intops_api.common import duration_s
from intops_core.facts import CAPTURE, FlowFacts
from intops_core.findings import Breach

# Load balancers and HTTP clients give up after 30 to 60 s; a worker must answer before they do.
LONGEST_S: Final = 25.0


def answers_in_time(facts: FlowFacts) -> Iterator[Breach]:
    """`answerWithin` stands at a source and is shorter than senders wait."""
    for system in facts.systems:
        given = system.binding.answer_within
        if given is None:
            continue
        path = f"{system.path}.answerWithin"
        if system.role is not None and CAPTURE not in system.role.operations:
            words = (
                f'Nobody sends to binding "{system.binding.name}", so nobody waits for an answer. '
                "Write answerWithin at a source."
            )
            yield Breach(path, words)
        elif not 0 < duration_s(given) <= LONGEST_S:
            words = (
                f"A sender that waits {given} is cut off by load balancers on the way and does not learn "
                f"the outcome. Write at most {LONGEST_S:g}s; what takes longer is answered 202 with a "
                "link to ask later."
            )
            yield Breach(path, words)
