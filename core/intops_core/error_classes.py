"""The eighteen classes of errors as data: how each is told, and what happens by default.

The documentation and `intops explain error` are made from it; planning merges policies with it.
What the worker does by itself stands in `intops_runtime.core.retrying`; the numbers here are those.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import ValidationError

from intops_api.connector_class import ErrorClassName
from intops_api.flow import ErrorPolicy

Strategy = Literal["retry", "hold", "review", "continue", "drop"]


@dataclass(frozen=True, slots=True)
class ErrorClass:
    """One class of errors.

    Attributes:
        name: Its name in `spec.errors`.
        detection: How it is told.
        strategy: What happens by default.
        policy: Default numbers.
        what: In words for people, what that means for the message.
        allowed: Strategies that a policy may choose instead; the rest would lose messages or hammer a system.
    """

    name: ErrorClassName
    detection: str
    strategy: Strategy
    policy: ErrorPolicy
    what: str
    allowed: tuple[Strategy, ...]

    @property
    def takes_numbers(self) -> bool:
        """Whether attempts and delays mean anything for it."""
        return "retry" in self.allowed or self.name == "expired"


def _policy(strategy: Strategy, **numbers: Any) -> ErrorPolicy:
    return ErrorPolicy.model_validate({"strategy": strategy, **numbers})


_RETRY: Final = _policy("retry", base="500ms", cap="30s", maxAge="24h")
_HOLD: Final = _policy("hold")
_REVIEW: Final = _policy("review")

ERROR_CLASSES: Final[tuple[ErrorClass, ...]] = (
    ErrorClass(
        "transientNetwork",
        "The connection was refused or broke, the name could not be resolved for the moment, or the "
        "answer was 502, 503 or 504 without Retry-After.",
        "retry",
        _RETRY,
        "The second attempt follows within 100 ms, the third after a few seconds, later ones after 30 s "
        "to 15 min, always with jitter, until the message is a day old; then a person looks.",
        ("retry", "review"),
    ),
    ErrorClass(
        "timeout",
        "No answer came within the deadline of the operation, or the answer was 408.",
        "retry",
        _RETRY,
        "As transientNetwork; a write is looked up in the system before it is repeated, because it may "
        "have been done.",
        ("retry", "review"),
    ),
    ErrorClass(
        "rateLimited",
        "The answer was 429, 503 with Retry-After, or what the class says about its system.",
        "retry",
        _policy("retry", base="2s", cap="5m"),
        "The message waits as long as the system says (Retry-After, then ratelimit-reset, then "
        "X-RateLimit-Reset), else longer with each refusal; such attempts do not count. A limit "
        "that comes back soon pauses twice as long; half as many requests run at once afterwards, then a "
        "tenth more each minute.",
        ("retry", "review"),
    ),
    ErrorClass(
        "authExpired",
        "A request with a token that was fetched for it (OAuth 2) was answered 401, or the class tells "
        "that a token ran out.",
        "hold",
        _HOLD,
        "The token is fetched anew once, by one request for all, and the same request repeated once; if "
        "that is refused too, it is authDenied. Tokens are renewed before, at 80 % of their life.",
        ("hold",),
    ),
    ErrorClass(
        "authDenied",
        "The answer was 401, or what the class says about its system.",
        "hold",
        _HOLD,
        "The connector is held, so that its account is not locked; its messages wait, and it goes on by "
        "itself when the credential works.",
        ("hold",),
    ),
    ErrorClass(
        "forbidden",
        "The answer was 403.",
        "review",
        _REVIEW,
        "A person looks: the account lacks a right for this record.",
        ("review", "drop"),
    ),
    ErrorClass(
        "validation",
        "The answer was another 4xx such as 400 or 422, or the class recognises a refusal.",
        "review",
        _REVIEW,
        "A person looks: the same request would be refused again.",
        ("review", "drop"),
    ),
    ErrorClass(
        "conflict",
        "The answer was 409 or 412: somebody changed the record meanwhile.",
        "retry",
        _policy("retry", maxAttempts=3, base="100ms", cap="500ms"),
        "The record is read again and the write repeated, three attempts in all; then a person looks.",
        ("retry", "review", "drop"),
    ),
    ErrorClass(
        "duplicate",
        "The class recognises that the record exists already.",
        "continue",
        _policy("continue"),
        "The record that is there is looked up by our key and adopted; if it does not carry our key, a "
        "person looks.",
        ("continue", "review"),
    ),
    ErrorClass(
        "notFound",
        "The answer was 404 or 410.",
        "review",
        _REVIEW,
        "The record is looked up again by our key: if another one carries it, that one is used from now on; "
        "else a person looks, because it is gone or hidden from the account.",
        ("review", "drop"),
    ),
    ErrorClass(
        "destinationDown",
        "Several failures of the network in a row, another 5xx, or a page for people instead of data.",
        "hold",
        _HOLD,
        "Requests to the system stop, it is probed, and messages go on oldest first when it answers.",
        ("hold",),
    ),
    ErrorClass(
        "schemaDrift",
        "A payload has no known form, or an answer is neither a success nor an error that is known.",
        "review",
        _REVIEW,
        "A person looks: the Mapping or the class must learn the new form.",
        ("review", "drop"),
    ),
    ErrorClass(
        "payloadMalformed",
        "A body cannot be read: no JSON, wrong encoding, too deep or too large.",
        "review",
        _REVIEW,
        "The bytes are kept and the sender is answered, so that it does not send them for ever; a "
        "person looks.",
        ("review",),
    ),
    ErrorClass(
        "poison",
        "The worker itself fails on a message.",
        "review",
        _REVIEW,
        "After three crashes of its handling, or three deaths of the worker, the message is set aside so that "
        "it blocks no other; a person looks.",
        ("review", "drop"),
    ),
    ErrorClass(
        "policyDenied",
        "A rule of your own forbids it, such as an address that must not be used, an origin that the Secret's "
        "allowedOrigins does not list, or a binding that is gone.",
        "review",
        _REVIEW,
        "An address or origin that the worker itself refuses holds the connector whatever the policy says: "
        "nothing is sent, its messages wait, and it goes on by itself when the Connector or the Secret is mended. "
        "Of everything else a person looks; nothing was sent.",
        ("review", "drop"),
    ),
    ErrorClass(
        "enrichmentUnavailable",
        "A system that would know more does not answer in time.",
        "continue",
        _policy("continue", maxAge="6h"),
        "An answer of the last day stands in. Without one the message goes on, and its record says "
        "`enrichment.status: partial` and who is `missing`. After ten seconds they are asked again, then ever more "
        "seldom, for as long as maxAge says; what they know is then added to the record.",
        ("continue", "review"),
    ),
    ErrorClass(
        "bufferPressure",
        "The store is full or nearly so.",
        "hold",
        _HOLD,
        "From 70 % of the volume's room on the status tells it (`StoreFilling`) and answers to senders wait, up "
        "to a second, so that they slow down. When only the reserve is left "
        "senders are answered 503 and send again; what was acknowledged is kept and delivered.",
        ("hold",),
    ),
    ErrorClass(
        "expired",
        "A message is older than the policy's maxAge before anything was sent for it.",
        "continue",
        _policy("continue"),
        "Nothing, unless the policy gives maxAge: then an older message that was not sent yet goes to a "
        "person or is dropped and counted, as the policy says.",
        ("continue", "review", "drop"),
    ),
)

BY_NAME: Final[Mapping[str, ErrorClass]] = {entry.name: entry for entry in ERROR_CLASSES}


def merged(layers: Iterable[Mapping[str, ErrorPolicy]]) -> dict[str, ErrorPolicy]:
    """Policies field by field; later layers win. Classes that no layer names are left out."""
    fields: dict[str, dict[str, Any]] = {}
    for layer in layers:
        for name, policy in layer.items():
            fields.setdefault(name, {}).update(policy.to_wire())
    return {name: ErrorPolicy.model_validate(given) for name, given in sorted(fields.items())}


def effective_policies(*layers: Mapping[str, ErrorPolicy]) -> dict[str, ErrorPolicy]:
    """The policy of every class: the defaults, then each layer over those before it, field by field."""
    return merged([{name: entry.policy for name, entry in BY_NAME.items()}, *layers])


def class_overrides(policies: Mapping[str, Any]) -> dict[str, ErrorPolicy]:
    """`errorPolicies` of a ConnectorClass as policies; what is malformed is left out.

    Conformance refuses what is malformed.
    """
    found: dict[str, ErrorPolicy] = {}
    for name, given in policies.items():
        try:
            found[name] = ErrorPolicy.model_validate(given, by_alias=True, by_name=False)
        except ValidationError:
            continue
    return found
