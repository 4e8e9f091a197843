"""COM-09: what comes during the longest outage that a Flow allows is kept, and delivered afterwards.

Used by the registry. Every store is durable; here it is judged whether policies and room reach as far as
the Flow says.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Final

from intops_api.common import duration_s
from intops_api.flow import EmbeddedStore, ErrorPolicy
from intops_api.report import KEEP_ENDED_S
from intops_core.error_classes import class_overrides, effective_policies
from intops_core.facts import FlowFacts
from intops_core.findings import Breach, Severity
from intops_core.pausing import attempts_last_s

_MIB: Final = 1024.0**2
_UNITS: Final = {"Mi": _MIB, "Gi": 1024 * _MIB, "Ti": 1024**2 * _MIB}
# Measured: 4.8 KiB in the file for a webhook of 1 kB with one alert that became a ticket, and some log.
_BYTES_A_MESSAGE: Final = 6 * 1024.0
# Domain reference, COM-09: twice of what is expected, because storms come with outages.
_MARGIN: Final = 2.0
# What meets an outage before its gate shuts, and so waits by the policy of its own class.
_MEET_OUTAGES: Final = ("transientNetwork", "timeout")


def outages_are_outlasted(facts: FlowFacts) -> Iterator[Breach]:
    """COM-09: no policy gives up, and no volume is full, before the longest outage is over."""
    outage = facts.spec.runtime.store.max_outage
    if outage is None:
        return
    yield from _given_up(facts, outage)
    yield from _no_room(facts, outage)


def _given_up(facts: FlowFacts, outage: str) -> Iterator[Breach]:
    layers = [
        class_overrides(system.class_spec.error_policies)
        for system in facts.of_role("out")
        if system.class_spec is not None
    ]
    given_up: dict[_End, list[str]] = {}
    for below in layers or [{}]:
        policies = effective_policies(below, facts.spec.errors)
        for name in (*_MEET_OUTAGES, "expired"):
            end = _gives_up(name, policies[name], outage)
            if end is not None and name not in given_up.setdefault(end, []):
                given_up[end].append(name)
    # An outage that only the Pattern names is no promise of this Flow, so a contradiction is a doubt.
    written = facts.written.runtime.store.max_outage is not None
    at_most: Severity = "deny" if written else "warn"
    for end, names in given_up.items():
        places = " and ".join(f"spec.errors.{name}" for name in names)
        after = "" if names == ["expired"] else f"after {' and '.join(names)} "
        yield Breach(
            "spec.runtime.store.maxOutage" if written else f"spec.errors.{names[0]}",
            f"Outages of up to {outage} are to be outlasted (spec.runtime.store.maxOutage), but {after}{end.words}. "
            f"Let {places} {end.remedy}, or write a shorter maxOutage.",
            at_most=at_most,
        )


@dataclass(frozen=True, slots=True)
class _End:
    """What happens to messages of an outage before it is over, and what their policy should do instead."""

    words: str
    remedy: str = "wait longer"


def _gives_up(name: str, policy: ErrorPolicy, outage: str) -> _End | None:
    """How a policy ends before an outage is over; None if it waits."""
    too_young = policy.max_age is not None and duration_s(policy.max_age) < duration_s(outage)
    if name == "expired":
        ends = {"drop": "are dropped", "review": "go to a person"}.get(policy.strategy or "")
        if ends is None or not too_young:
            return None
        return _End(f"messages that waited {policy.max_age} {ends}")
    if policy.strategy == "review":
        return _End("a message goes to a person at once")
    if too_young:
        return _End(f"a message goes to a person once it is {policy.max_age} old")
    attempts = policy.max_attempts
    if attempts is not None and attempts_last_s(attempts) < duration_s(outage):
        times = "once" if attempts == 1 else f"{attempts} times"
        after = _span(attempts_last_s(attempts))
        return _End(
            f"a message goes to a person when it was tried {times} (maxAttempts), which may be {after}",
            "try more often or without maxAttempts",
        )
    return None


def _span(seconds: float) -> str:
    """A time after the first attempt, in words.

    >>> [_span(s) for s in (0.0, 90.0, 20707.5)]
    ['within seconds', 'after 2 minutes', 'after 6 hours']
    """
    if seconds < 60:
        return "within seconds"
    if seconds < 7200:
        return f"after {ceil(seconds / 60)} minutes"
    return f"after {seconds / 3600:.0f} hours"


def _no_room(facts: FlowFacts, outage: str) -> Iterator[Breach]:
    store = facts.spec.runtime.store
    if store.peak_per_hour is None or store.postgres is not None:
        return
    size = (store.embedded or EmbeddedStore()).size
    hours = duration_s(outage) / 3600
    kept_hours = KEEP_ENDED_S / 3600
    wanted = store.peak_per_hour * max(_MARGIN * hours, hours + kept_hours)
    room = _bytes(size) / _BYTES_A_MESSAGE
    if wanted <= room:
        return
    needed = ceil(wanted * _BYTES_A_MESSAGE / _UNITS["Gi"])
    yield Breach(
        "spec.runtime.store.embedded.size",
        f"A volume of {size} holds about {_round(room)} messages, but {_grouped(store.peak_per_hour)} an hour, "
        f"through an outage of {outage} and with those that are kept for {kept_hours / 24:.0f} days after their "
        f"end, are about {_round(wanted)}: senders would be refused. Write {needed}Gi, a shorter maxOutage, or "
        "store.postgres.",
    )


def _bytes(size: str) -> float:
    return int(size[:-2]) * _UNITS[size[-2:]]


def _round(count: float) -> str:
    """Two figures are enough for an estimate.

    >>> _round(178956.97)
    '180 000'
    """
    return _grouped(float(f"{count:.1e}"))


def _grouped(count: float) -> str:
    return f"{count:,.0f}".replace(",", " ")
