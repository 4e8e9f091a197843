"""What is told of the secrets with which senders prove themselves: too short, or on their way out.

Called by `delivering`. Neither keeps a message from anywhere, so it is told of a True condition. From workers'
reports, which name keys and never a value.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from intops_api.names import SECRET_LEAST_BYTES, SECRET_PREVIOUS_SUFFIX
from intops_api.reasons import Reason
from intops_api.report import ConnectorReport, PreviousReport, SecretReport
from intops_operator.core import sentences as say
from intops_operator.core.facts import instant


@dataclass(frozen=True, slots=True)
class Kept:
    """What a person should do about a Secret, and of which system it is."""

    system: ConnectorReport
    reason: Reason
    what: str
    action: str


def senders_secrets(systems: Sequence[ConnectorReport]) -> Kept | None:
    """What is told first: a short secret before one that is on its way out; None where there is neither.

    Args:
        systems: Of one Flow, from all of its workers.
    """
    for system in systems:
        secret = system.secret
        if secret is not None and secret.weak_keys:
            rotating = _rotating(secret, systems)
            what = f"{_weak(system, secret)} {rotating}".rstrip()
            return Kept(system, Reason.WEAK_SECRET, what, _stronger(secret))
    for system in systems:
        if system.secret is not None and system.secret.previous:
            what = _rotating(system.secret, systems)
            keys = say.quoted(one.key for one in system.secret.previous)
            action = f"Take {keys} away once every sender has the new value."
            return Kept(system, Reason.ROTATING, what, action)
    return None


def last_used(systems: Iterable[ConnectorReport]) -> str | None:
    """When a sender last needed a previous value, RFC 3339; None if none has, as far as workers know."""
    found = (one for system in systems if system.secret for one in system.secret.previous)
    return _latest(found)


def _weak(system: ConnectorReport, secret: SecretReport) -> str:
    many = len(secret.weak_keys) > 1
    return (
        f'Secret "{secret.secret}" of connector "{system.connector}" has in {say.quoted(secret.weak_keys)} '
        f"{'values' if many else 'a value'} of less than {SECRET_LEAST_BYTES} bytes, so somebody could guess "
        f"{'one' if many else 'it'} and send messages in another's name. Messages are taken as before."
    )


def _stronger(secret: SecretReport) -> str:
    now = [key for key in secret.weak_keys if not key.endswith(SECRET_PREVIOUS_SUFFIX)]
    old = [key for key in secret.weak_keys if key.endswith(SECRET_PREVIOUS_SUFFIX)]
    parts = []
    if now:
        kept = say.quoted(f"{key}{SECRET_PREVIOUS_SUFFIX}" for key in now)
        parts.append(
            f"Write a long random value, such as what openssl rand -hex {SECRET_LEAST_BYTES} says; until every "
            f"sender has it, the old one may stay as {kept}."
        )
    if old:
        parts.append(f"Take {say.quoted(old)} away once every sender has the new value.")
    return " ".join(parts)


def _rotating(secret: SecretReport, systems: Sequence[ConnectorReport]) -> str:
    """When each previous value was last used, to the hour: a status is not written with every message."""
    said = []
    for key in sorted({one.key for one in secret.previous}):
        moment = _latest(
            one
            for system in systems
            if system.secret is not None and system.secret.secret == secret.secret
            for one in system.secret.previous
            if one.key == key
        )
        used = (
            f"was last used in the hour that began at {say.hour(moment)}"
            if moment
            else "has not been used since the worker started"
        )
        said.append(
            f'The old value in "{key}" of Secret "{secret.secret}" is still good; it {used}.'
        )
    return " ".join(said)


def _latest(found: Iterable[PreviousReport]) -> str | None:
    moments = [one.last_used for one in found if instant(one.last_used) is not None]
    return max((moment for moment in moments if moment), default=None)
