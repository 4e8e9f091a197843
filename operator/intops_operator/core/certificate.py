"""What is wrong with a certificate that the operator was given, and whether it may replace another. Pure.

The admission endpoint asks at every look at its files. An API server that does not trust what it is shown refuses
every change of our kinds, so what cannot work is told in words and, where there is something better, not shown.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from intops_operator.core import sentences as say

ENDS_SOON: Final = timedelta(days=14)
ENDS_SOON_PART: Final = 6  # of certificates that live for days or hours, the last sixth is soon

REPLACE: Final = "put a new one with its key into the Secret, or mend what renews it there"
RENEWED: Final = "the leader renews it by itself; its log says why it could not"


class Problem(StrEnum):
    """What can be wrong; the label `reason` of the metric."""

    UNREADABLE = "Unreadable"
    KEY_MISMATCH = "KeyMismatch"
    WRONG_NAME = "WrongName"
    NOT_YET_VALID = "NotYetValid"
    EXPIRED = "Expired"
    ENDS_SOON = "EndsSoon"


@dataclass(frozen=True, slots=True)
class Facts:
    """A certificate as far as it matters: DNS names and addresses as text, times in UTC."""

    names: tuple[str, ...]
    begins: datetime
    ends: datetime
    key_fits: bool


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong, in a sentence that says what to do."""

    problem: Problem
    sentence: str

    @property
    def refuses(self) -> bool:
        """Whether no API server would take the certificate as it is."""
        return self.problem is not Problem.ENDS_SOON


def troubles(
    facts: Facts, hosts: Sequence[str], now: datetime, *, made_here: bool = False
) -> tuple[Trouble, ...]:
    """Everything that is wrong with a certificate, the worst first; empty if all is well.

    Args:
        facts: Of the certificate and its key.
        hosts: DNS names and addresses under which API servers ask; each has to be covered.
        now: The time, in UTC.
        made_here: Whether the leader makes the certificate itself; nobody else can replace it then.
    """
    remedy = RENEWED if made_here else REPLACE
    found: list[Trouble] = []
    if not facts.key_fits:
        found.append(
            Trouble(
                Problem.KEY_MISMATCH,
                "tls.key is not the key of tls.crt; put both of one pair into the Secret, in one write.",
            )
        )
    missing = [host for host in hosts if not _covered(host, facts.names)]
    if missing:
        has = f"is for {say.listed(facts.names)}" if facts.names else "names no host"
        found.append(
            Trouble(
                Problem.WRONG_NAME,
                f"The certificate {has} and not for {say.listed(missing)}, where API servers ask; issue it with "
                f"{say.listed(missing)} among its subjectAltNames.",
            )
        )
    if now < facts.begins:
        found.append(
            Trouble(
                Problem.NOT_YET_VALID,
                f"The certificate is valid from {say.at(facts.begins)} on; issue one that is valid now, or mend the "
                "clock of this node.",
            )
        )
    if now >= facts.ends:
        found.append(
            Trouble(
                Problem.EXPIRED,
                f"The certificate ended at {say.at(facts.ends)}, and no manifest of intops can be applied: {remedy}.",
            )
        )
    elif facts.ends - now < min(ENDS_SOON, (facts.ends - facts.begins) / ENDS_SOON_PART):
        found.append(
            Trouble(
                Problem.ENDS_SOON,
                f"The certificate ends at {say.at(facts.ends)} and has not been renewed: {remedy}.",
            )
        )
    return tuple(found)


def unreadable(why: str) -> Trouble:
    """A pair of files that is missing, or is no certificate with its key."""
    return Trouble(
        Problem.UNREADABLE,
        f"{why}; the Secret needs tls.crt and tls.key, both as PEM texts.",
    )


def may_replace(candidate: Sequence[Trouble], served: Sequence[Trouble] | None) -> bool:
    """Whether a new pair is shown in place of the one that is served.

    Args:
        candidate: What is wrong with the new one.
        served: What is wrong by now with the one that is served; None if there is none.
    """
    unusable = {Problem.UNREADABLE, Problem.KEY_MISMATCH}
    if any(one.problem in unusable for one in candidate):
        return False
    if not any(one.refuses for one in candidate) or served is None:
        return True
    return any(one.refuses for one in served)


def _covered(host: str, names: Sequence[str]) -> bool:
    """As TLS compares: without case, and `*` for the whole first label of a name."""
    try:
        wanted = ipaddress.ip_address(host)
    except ValueError:
        host = host.lower().rstrip(".")
        rest = host.partition(".")[2]
        lowered = {name.lower().rstrip(".") for name in names}
        return host in lowered or (bool(rest) and f"*.{rest}" in lowered)
    return str(wanted) in names
