"""What is wrong with admission: webhook configuration, CA bundle, the certificate that is served, and a trial.

Used by `doctor`; see `diagnosis`.
"""

import base64
import binascii
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from intops_cli.diagnosis import Diagnosis
from intops_cli.installation import Installation, Manifest, Unread, argument, place, readable
from intops_operator.proof import DENIED

SELF_SIGNED: Final = "selfSigned"
FILES: Final = "files"
OFF: Final = "off"
"""What `--certificate-mode` of an operator may say."""
UNASKED: Final = "failed calling webhook"
"""How the API server says that it could not ask, whatever the cause."""
SOON: Final = timedelta(days=7)
"""The operator renews 30 days before the end, so what ends sooner is not renewed."""
_WHY_REFUSED: Final = (
    "With failurePolicy Fail, which the chart sets, the API server refuses every new spec of intops."
)  # fmt: skip


def admission(seen: Installation, now: datetime) -> Iterator[Diagnosis]:
    """Whether the API server asks the operator, and trusts it."""
    if isinstance(seen.webhooks, Unread):
        yield Diagnosis("unseen", "admission", f"Webhooks cannot be listed: {seen.webhooks.why}")
    elif not seen.webhooks:
        yield Diagnosis(
            "warning", "admission", "No webhook configuration judges objects of intops.",
            "What cannot work is stored and told in the status only, after it was applied.",
            "Install the chart with admission.enabled=true, which is its default.",
        )  # fmt: skip
    else:
        for configuration in seen.webhooks:
            yield from _configuration(configuration, seen, now)
    yield from _trial(seen)


def _configuration(found: Manifest, seen: Installation, now: datetime) -> Iterator[Diagnosis]:
    """The CA bundle of each webhook: equal ones are told once."""
    name = place(found)[1]
    told: set[str] = set()
    for webhook in found["webhooks"]:
        client: Any = webhook["clientConfig"]
        bundle = str(client.get("caBundle") or "")
        if bundle in told:
            continue
        told.add(bundle)
        if not bundle:
            yield Diagnosis(
                "broken", "admission", f"{name} has no CA bundle (webhooks[].clientConfig.caBundle).",
                f"The API server trusts nobody without it. {_WHY_REFUSED}",
                _repair(name, seen),
            )  # fmt: skip
            continue
        authorities = _authorities(bundle)
        if authorities is None:
            yield Diagnosis(
                "broken", "admission", f"The CA bundle of {name} holds no certificate that can be read.",
                f"The API server trusts nobody with it. {_WHY_REFUSED}",
                _repair(name, seen),
            )  # fmt: skip
            continue
        living = [one for one in authorities if one.not_valid_after_utc > now]
        if not living:
            yield Diagnosis(
                "broken", "admission",
                f"The CA bundle of {name} ended on {authorities[0].not_valid_after_utc:%Y-%m-%d}.",
                f"The API server trusts nobody with it. {_WHY_REFUSED}",
                _repair(name, seen),
            )  # fmt: skip
            continue
        yield from _served(name, living, seen, now)


def _served(
    name: str, authorities: list[x509.Certificate], seen: Installation, now: datetime
) -> Iterator[Diagnosis]:
    """What is shown to the API server, against the bundle."""
    if not seen.certificates:
        yield Diagnosis("unseen", "certificate", "No pod of the operator shows a certificate.")
    for who, shown in seen.certificates.items():
        if isinstance(shown, Unread):
            yield Diagnosis(
                "unseen", "certificate", f"The certificate of {who} cannot be read. {shown.why}"
            )
            continue
        certificate = x509.load_pem_x509_certificate(shown.encode())
        end = certificate.not_valid_after_utc
        # Behind an intermediate authority nothing is issued directly: only the API server says whether it trusts it.
        is_trusted = _is_proven(seen, DENIED) or any(
            _is_issued_by(certificate, one) for one in authorities
        )
        is_refused = _is_proven(seen, UNASKED, "x509") or name in _kept(seen)
        if not is_trusted and is_refused:
            yield Diagnosis(
                "broken", "certificate",
                f"The certificate of {who} was not issued by the CA bundle of {name}.",
                f"The API server does not trust it. {_WHY_REFUSED}",
                _repair(name, seen),
            )  # fmt: skip
        elif end <= now:
            yield Diagnosis(
                "broken", "certificate", f"The certificate of {who} ended on {end:%Y-%m-%d %H:%M} UTC.",
                f"The API server does not trust it. {_WHY_REFUSED}",
                f"{_renewal(seen)} {_log(seen)}",
            )  # fmt: skip
        elif end - now < SOON:
            yield Diagnosis(
                "warning", "certificate", f"The certificate of {who} ends on {end:%Y-%m-%d %H:%M} UTC.",
                f"By now it should have been renewed. After that day: {_WHY_REFUSED}",
                f"{_renewal(seen)} {_log(seen)}",
            )  # fmt: skip
        elif not is_trusted:
            yield Diagnosis(
                "unseen", "certificate",
                f"The certificate of {who} was not issued directly by the CA bundle of {name}. Whether the API "
                "server trusts it through an intermediate authority, only a trial shows.",
            )  # fmt: skip
        else:
            yield Diagnosis(
                "ok", "certificate",
                f"{who} shows a certificate that the CA bundle of {name} trusts, good until {end:%Y-%m-%d}.",
            )  # fmt: skip


def _is_proven(seen: Installation, *words: str) -> bool:
    """Whether the API server answered the trial with all of these words."""
    return isinstance(seen.proof, str) and all(word in seen.proof for word in words)


def _trial(seen: Installation) -> Iterator[Diagnosis]:
    """What became of a wrong object: only our own refusal shows that the API server asks the operator."""
    answer = seen.proof
    configured = not isinstance(seen.webhooks, Unread) and bool(seen.webhooks)
    if isinstance(answer, Unread):
        yield Diagnosis("unseen", "trial", f"No object could be tried: {answer.why}")
    elif answer is None:
        if configured:
            yield Diagnosis(
                "warning", "trial",
                f'A wrong Connector on trial in namespace "{seen.namespace}" was taken; nobody judged it.',
                "What cannot work is stored there, and told in the status only.",
                "See the failurePolicy and the namespaceSelector of the webhook configuration: the chart's "
                "watchNamespaces names what is judged.",
            )  # fmt: skip
    elif DENIED in answer:
        yield Diagnosis(
            "ok", "trial", "The API server asked the operator, and a wrong Connector was refused."
        )
    elif UNASKED in answer:
        yield Diagnosis(
            "broken", "trial", f"The API server cannot ask the operator: {answer}",
            "It refuses every new spec of intops until it can.",
            "Mend the operator or its certificate first, as the other findings say. A network policy that keeps "
            "the API server from port 9443 of the operator does this too.",
        )  # fmt: skip
    else:
        yield Diagnosis(
            "unseen", "trial", f"A Connector on trial was refused, not by the operator: {answer}"
        )


def _authorities(bundle: str) -> list[x509.Certificate] | None:
    try:
        return x509.load_pem_x509_certificates(base64.b64decode(bundle, validate=True))
    except (ValueError, binascii.Error):
        return None


def _is_issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _modes(seen: Installation) -> set[str]:
    """Certificate modes of the operators that can be seen."""
    return {
        argument(operator, "--certificate-mode") or SELF_SIGNED
        for operator in readable(seen.operation.operators)
    }


def _kept(seen: Installation) -> set[str]:
    """Webhook configurations into which leaders write their authority."""
    return {
        name
        for operator in readable(seen.operation.operators)
        if (name := argument(operator, "--webhook-configuration"))
        and (argument(operator, "--certificate-mode") or SELF_SIGNED) == SELF_SIGNED
    }


def _repair(name: str, seen: Installation) -> str:
    """What to do about a bundle: who writes it depends on the operators' certificate modes."""
    kept, modes = _kept(seen), _modes(seen)
    by_leader = (
        "The leader writes it again within 10 s. Where it stays, nobody leads, or something else writes it, such as "
        "a GitOps tool that does not ignore caBundle."
    )
    by_others = (
        f"With the chart's admission.certificateMode certManager, cert-manager's injector writes it: see the "
        f"annotation cert-manager.io/inject-ca-from of {name}, and the injector's log. With secret, `helm upgrade` "
        "writes admission.caBundle, or ca.crt of your Secret: it must hold the authority of the certificate."
    )
    if name in kept:
        return f"{by_leader} {_log(seen)}"
    if FILES in modes:
        return by_others
    if modes == {OFF}:
        return (
            "No operator judges anything (--certificate-mode=off). Install the chart with admission.enabled=true, "
            f"or, where nothing is to be judged, `kubectl delete validatingwebhookconfiguration {name}`."
        )
    if kept:
        return (
            f"No operator keeps {name}: it was left by an installation that is gone. "
            f"`kubectl delete validatingwebhookconfiguration {name}`."
        )
    return f"{by_leader} {_log(seen)}" if modes else f"{by_leader} {by_others}"


def _renewal(seen: Installation) -> str:
    """Who renews a certificate, and when."""
    modes = _modes(seen)
    by_leader = "The leader renews it 30 days before, in certificate mode selfSigned."
    by_others = (
        "cert-manager renews it (`kubectl describe certificate` says why not), or you do, with the chart's "
        "admission.certificateMode secret. The operator takes the new files without a restart."
    )
    if FILES not in modes and modes:
        return by_leader
    return by_others if SELF_SIGNED not in modes and modes else f"{by_leader} Else {by_others}"


def _log(seen: Installation) -> str:
    operators = [place(operator) for operator in readable(seen.operation.operators)]
    namespace, name = operators[0] if operators else ("NAMESPACE", "NAME")
    return f"The operator's log says more: `kubectl -n {namespace} logs deployment/{name}`."
