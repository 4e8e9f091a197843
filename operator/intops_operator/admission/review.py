"""Translate AdmissionReview into what is asked, and findings into the answer. Pure.

Called by the admission server.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from intops_api import names
from intops_api.kinds import BY_NAME
from intops_core.findings import EXAMPLE, REFERENCE, SCHEMA, Finding
from intops_operator.core import sentences as say

REVIEW_VERSION = "admission.k8s.io/v1"
LONGEST_WARNING = 250  # the API server cuts warnings at 256 bytes


class ReviewError(Exception):
    """The request is no AdmissionReview of ours; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be judged."""

    uid: str
    kind: str
    operation: str
    object: dict[str, Any]
    """The object as it would be; empty for a deletion."""
    before: dict[str, Any]
    """The object as it is; empty for a creation."""

    @property
    def needs_judging(self) -> bool:
        """False where a refusal would help nobody.

        An unchanged spec is not judged again: a label must be settable, and a finalizer removable,
        on an object that newer rules would refuse.
        """
        if self.operation not in {"CREATE", "UPDATE"}:
            return False
        if self.object.get("metadata", {}).get("deletionTimestamp"):
            return False
        return self.operation == "CREATE" or self.object.get("spec") != self.before.get("spec")

    @property
    def is_deletion(self) -> bool:
        """Whether somebody asks for the object to go; one that goes already is left alone."""
        return self.operation == "DELETE" and not self.before.get("metadata", {}).get(
            "deletionTimestamp"
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """The verdict."""

    allowed: bool
    message: str = ""
    warnings: tuple[str, ...] = ()
    code: int = 403


def parse_review(review: Any) -> Asked:
    """What an AdmissionReview asks.

    Raises:
        ReviewError: It is not one, or about a kind that is not ours.
    """
    if not isinstance(review, Mapping):
        raise ReviewError("The body is no JSON object.")
    if review.get("apiVersion") != REVIEW_VERSION or review.get("kind") != "AdmissionReview":
        raise ReviewError(f"The body is no AdmissionReview of {REVIEW_VERSION}.")
    request = review.get("request")
    if not isinstance(request, Mapping) or not isinstance(request.get("uid"), str):
        raise ReviewError("The AdmissionReview has no request with a uid.")
    kind = request.get("kind")
    name = (
        kind.get("kind") if isinstance(kind, Mapping) and kind.get("group") == names.GROUP else ""
    )
    if not isinstance(name, str) or name not in BY_NAME:
        raise ReviewError(f"This endpoint judges kinds of {names.GROUP} only.")
    return Asked(
        uid=request["uid"],
        kind=name,
        operation=str(request.get("operation", "")),
        object=_object(request, "object"),
        before=_object(request, "oldObject"),
    )


def _object(request: Mapping[str, Any], field: str) -> dict[str, Any]:
    """One object of a review as far as an API server vouches for it; empty where there is none."""
    found = request.get(field)
    if found is None:
        return {}
    meta = found.get("metadata", {}) if isinstance(found, Mapping) else None
    if not isinstance(meta, Mapping) or not all(
        isinstance(meta.get(below) or {}, Mapping) for below in ("labels", "annotations")
    ):
        raise ReviewError(f"The {field} of the AdmissionReview is no object of Kubernetes.")
    return dict(found)


def answer_to(asked: Asked, findings: Iterable[Finding]) -> Answer:
    """Refuse with every denial in one message, and warn about everything else."""
    denials, warnings = [], []
    for finding in findings:
        if finding.severity == "deny" and finding.missing is None:
            denials.append(finding)
        elif finding.severity != "audit":
            warnings.append(finding)
    name = asked.object.get("metadata", {}).get("name") or "(unnamed)"
    message = ""
    if denials:
        several = f" for {len(denials)} reasons" if len(denials) > 1 else ""
        told = say.numbered([sentence_of(finding) for finding in denials])
        message = f'{asked.kind} "{name}" is refused{several}: {told}'
    return Answer(
        allowed=not denials,
        message=message[: say.LONGEST_MESSAGE],
        warnings=tuple(dict.fromkeys(shortened(sentence_of(finding)) for finding in warnings)),
    )


def sentence_of(finding: Finding) -> str:
    """Rule, sentence and field path of one finding."""
    label = "" if finding.rule in {SCHEMA, REFERENCE, EXAMPLE} else f"{finding.rule}: "
    text = say.sentence(finding.message)
    where = f" [{finding.path}]" if finding.path and finding.path not in text else ""
    return f"{label}{text}{where}"


def shortened(text: str) -> str:
    """A warning in as many bytes as the API server takes."""
    if len(text.encode()) <= LONGEST_WARNING:
        return text
    return text.encode()[: LONGEST_WARNING - 3].decode(errors="ignore") + "..."


def review_of(asked: Asked, answer: Answer) -> dict[str, Any]:
    """The AdmissionReview that goes back."""
    response: dict[str, Any] = {"uid": asked.uid, "allowed": answer.allowed}
    if not answer.allowed:
        response["status"] = {"code": answer.code, "message": answer.message}
    if answer.warnings:
        response["warnings"] = list(answer.warnings)
    return {"apiVersion": REVIEW_VERSION, "kind": "AdmissionReview", "response": response}
