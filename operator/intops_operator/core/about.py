"""What one Flow tells of the objects that it uses, and what all Flows of an object tell of it together.

The reconciler keeps the first for each Flow, as little as possible, and hands the second to `standing`.
Everything comes from workers' reports. The sentences hold no counts of messages: an object is not written
anew with every message.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from intops_api.conditions import ConditionType, Reason
from intops_api.report import ConnectorReport
from intops_operator.core.delivering import credentials_of, drift_of, is_in_trouble, reachability_of
from intops_operator.core.facts import FlowFacts, instant
from intops_operator.core.senders import last_used
from intops_operator.core.verdict import Verdict

_LATEST: Final = datetime.max.replace(tzinfo=UTC)
_TELLS_MOST: Final = {Reason.EXPIRING: 0, Reason.WEAK_SECRET: 1, Reason.ROTATING: 2}
"""Which True of several a Connector shows."""
SYSTEM: Final = (ConditionType.CREDENTIALS_VALID, ConditionType.TARGET_REACHABLE)


@dataclass(frozen=True, slots=True)
class Seen:
    """How the system of one Connector is doing."""

    verdicts: tuple[Verdict, ...]
    """CredentialsValid and TargetReachable."""
    error_class: str | None = None
    since: str | None = None
    """Since when something is wrong, RFC 3339; None while nothing is."""
    certificate_expires: str | None = None
    """When its certificate ends, RFC 3339; None if nobody has said."""
    previous_used: str | None = None
    """When a sender last needed a previous value of its Secret, RFC 3339; None if none has."""


_WELL: Final = Seen(
    (
        Verdict(
            ConditionType.CREDENTIALS_VALID,
            "True",
            Reason.VALID,
            "Every credential is there, and none is refused.",
        ),
        Verdict(
            ConditionType.TARGET_REACHABLE,
            "True",
            Reason.REACHABLE,
            "It answers, as far as it is asked.",
        ),
    )
)
_STABLE: Final = Verdict(
    ConditionType.SCHEMA_STABLE,
    "True",
    Reason.HEALTHY,
    "Payloads look the way the Mapping expects.",
)
NO_DRIFT: Final[Mapping[str, Verdict]] = {}


def about_connector(facts: FlowFacts, connector: str) -> Seen | None:
    """What a Flow's workers say about one Connector; None if they say nothing of it."""
    systems = [system for system in facts.connectors() if system.connector == connector]
    if not systems:
        return None
    said = (credentials_of(facts, systems, None), reachability_of(facts, systems, None))
    verdicts = tuple(
        well if well.reason == found.reason else found
        for well, found in zip(_WELL.verdicts, said, strict=True)
    )
    troubled = next((system for system in systems if is_in_trouble(system)), None)
    expiries = [system.certificate_expires for system in systems if system.certificate_expires]
    seen = Seen(
        verdicts,
        error_class=troubled.error_class if troubled else None,
        since=_since(troubled) if troubled else None,
        certificate_expires=_earliest(expiries),
        previous_used=last_used(systems),
    )
    # Ten thousand Flows that are well need not keep ten thousand equal answers.
    return _WELL if seen == _WELL else seen


def _since(system: ConnectorReport) -> str | None:
    secret = system.secret
    lacking = secret is not None and (not secret.present or secret.missing_keys)
    return secret.since if secret is not None and lacking else system.since


def about_mappings(facts: FlowFacts) -> Mapping[str, Verdict] | None:
    """Mappings whose payloads changed so that it hurts, by name; None without a report."""
    if not facts.reports:
        return None
    return drift_of(facts) or NO_DRIFT


def fold_systems(seen: Sequence[Seen], users: int) -> Seen:
    """What all Flows of a Connector see together: a False wins, then what needs somebody soon, then a True.

    Args:
        seen: What each of its Flows says, of those that say something.
        users: How many Flows use the Connector.
    """
    # Of two Flows that tell of a previous value, the one whose senders used it last tells it.
    seen = sorted(seen, key=lambda one: one.previous_used or "", reverse=True)
    troubled = [one for one in seen if one.since or one.error_class]
    first = min(troubled, key=lambda one: instant(one.since) or _LATEST, default=None)
    return Seen(
        tuple(
            _fold(kind, [v for one in seen for v in one.verdicts if v.type == kind], users)
            for kind in SYSTEM
        ),
        error_class=first.error_class if first else None,
        since=first.since if first else None,
        certificate_expires=_earliest(
            [one.certificate_expires for one in seen if one.certificate_expires]
        ),
    )


def fold_drift(mapping: str, seen: Sequence[Mapping[str, Verdict]], users: int) -> Verdict:
    """What all Flows of a Mapping see together.

    Args:
        mapping: Its name.
        seen: What each of its Flows says, of those that have a report.
        users: How many Flows use the Mapping.
    """
    kind = ConditionType.SCHEMA_STABLE
    return _fold(kind, [drift.get(mapping, _STABLE) for drift in seen], users)


def _fold(kind: ConditionType, found: Sequence[Verdict], users: int) -> Verdict:
    wrong = [verdict for verdict in found if verdict.status == "False"]
    if wrong:
        number = f" {len(wrong)} of {users} Flows see it." if users > 1 else ""
        return replace(wrong[0], message=wrong[0].message + number)
    if found:
        return min(found, key=lambda verdict: _TELLS_MOST.get(verdict.reason, len(_TELLS_MOST)))
    if users:
        return Verdict(kind, "Unknown", Reason.PENDING, "No worker has reported on it yet.")
    text = "No Flow uses it, so nobody has tried it."
    return Verdict(kind, "Unknown", Reason.UNUSED, text)


def _earliest(moments: Sequence[str]) -> str | None:
    return min(moments, key=lambda text: instant(text) or _LATEST, default=None)
