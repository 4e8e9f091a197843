"""ConnectorClass: a kind of system as data. Adding a system that speaks HTTP needs no code.

Expressions see these names: `payload`, `object`, `headers` (capture); `record` (the mapped native object; in the
operation `lookup` the canonical record), `key` (correlation key), `link` (nativeId, displayId, version), `config`,
`text`, `step` (id, to, offered: the chosen way on, where the operation has `steps`) (requests); `request` and
`response` (`status`, `headers` in lower case, `body`) after the answer, and with them `field`, a dotted path, in
`readBack.others`; `response`, `config`, `endpoint`, `now`, `also` in `capture.poll.body`. Secrets are never visible.

More than 400 lines, because it is one document: whoever writes a class reads its fields in one place.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from intops_api.common import ApiModel, Duration, Expression, FieldPath, FieldSchema
from intops_api.conditions import Condition
from intops_api.mapping import MappingBody
from intops_api.self_test import Discovered, SelfTest

# Domain reference, section 3.1: the closed list of error classes.
ErrorClassName = Literal[
    "transientNetwork",
    "timeout",
    "rateLimited",
    "authExpired",
    "authDenied",
    "forbidden",
    "validation",
    "conflict",
    "duplicate",
    "notFound",
    "destinationDown",
    "schemaDrift",
    "payloadMalformed",
    "poison",
    "policyDenied",
    "enrichmentUnavailable",
    "bufferPressure",
    "expired",
]


class ObjectSchema(ApiModel):
    """One object of the system and its fields."""

    fields: dict[str, FieldSchema] = Field(default_factory=dict, max_length=512)
    """Fields by dotted path."""
    open: bool = False
    """Whether the object may carry fields that are not listed."""


class CredentialKey(ApiModel):
    """One key that the Secret of a Connector holds."""

    key: str = Field(min_length=1, max_length=63, pattern=r"^[a-zA-Z][a-zA-Z0-9_.-]*$")
    """Name of the key."""
    required: bool = True
    """Whether a Connector cannot work without it."""
    description: str = Field(default="", max_length=512)
    """What to put there and where to get it."""


class OAuth2(ApiModel):
    """How a token is fetched (RFC 6749). Where a server gives out new refresh tokens, prefer clientCredentials."""

    grant: Literal["clientCredentials", "refreshToken", "password"]
    """What is shown for a token: the client itself, a refresh token, or a user's name and password."""
    token_path: str | None = Field(default=None, max_length=512, pattern=r"^/")
    """Path of the token endpoint below the Connector's endpoint."""
    token_config: str | None = Field(default=None, max_length=63)
    """Setting of `config` with the address of the token endpoint, where it is another host's."""
    client_id_key: str = Field(max_length=63)
    """Key of the Secret with the client's id."""
    client_secret_key: str = Field(max_length=63)
    """Key of the Secret with the client's secret."""
    client_auth: Literal["basic", "body"] = Field(
        default="basic", json_schema_extra={"x-intops-implied": True}
    )
    """How the client proves itself: in a header (basic) or in the form (body)."""
    refresh_token_key: str | None = Field(default=None, max_length=63)
    """Key of the Secret with the refresh token."""
    username_key: str | None = Field(default=None, max_length=63)
    """Key of the Secret with the user's name."""
    password_key: str | None = Field(default=None, max_length=63)
    """Key of the Secret with the user's password."""
    scope: str | None = Field(default=None, max_length=1024)
    """What the token is asked for, such as `read write`."""


class Auth(ApiModel):
    """How requests to the system are authenticated: one of a closed list of schemes."""

    scheme: Literal["none", "bearer", "basic", "header", "oauth2"]
    """none, bearer (Authorization: Bearer), basic, header (any header with a prefix), or oauth2."""
    header: str | None = Field(default=None, max_length=128)
    """Header that carries the credential, for scheme `header`."""
    prefix: str = Field(default="", max_length=64)
    """Text before the credential, for scheme `header`."""
    key: str | None = Field(default=None, max_length=63)
    """Key of the Secret that holds the credential (bearer, header)."""
    username_key: str | None = Field(default=None, max_length=63)
    """Key of the Secret that holds the user name (basic)."""
    password_key: str | None = Field(default=None, max_length=63)
    """Key of the Secret that holds the password (basic)."""
    optional: bool = False
    """Whether requests go out without a credential where the Secret holds none of these keys."""
    oauth2: OAuth2 | None = None
    """How a bearer token is fetched and renewed (oauth2)."""


class Verify(ApiModel):
    """One way in which a sender may prove who it is. Any one suffices if its keys are in the Secret."""

    scheme: Literal["bearer", "basic", "hmac"]
    """bearer, basic, or hmac over the raw body."""
    key: str | None = Field(default=None, max_length=63)
    """Key of the Secret with the token (bearer) or the shared secret (hmac)."""
    username_key: str | None = Field(default=None, max_length=63)
    """Key of the Secret with the user name (basic)."""
    password_key: str | None = Field(default=None, max_length=63)
    """Key of the Secret with the password (basic)."""
    header: str | None = Field(default=None, max_length=128)
    """Header with the signature (hmac)."""
    prefix: str = Field(default="", max_length=32)
    """Text before each signature, such as `sha256=`; several may be separated by commas."""
    algorithm: Literal["sha256", "sha512"] = Field(
        default="sha256", json_schema_extra={"x-intops-implied": True}
    )
    """Hash of the signature (hmac); sha256 if absent."""
    encoding: Literal["hex", "base64"] = Field(
        default="hex", json_schema_extra={"x-intops-implied": True}
    )
    """How the signature is written (hmac); hex if absent."""


class Poll(ApiModel):
    """How messages whose webhook was lost are found: the system is asked what is active now.

    Only for Connectors with an endpoint. What the webhook has brought already is dropped as a copy.
    """

    operation: str = Field(min_length=1, max_length=63)
    """Operation that lists what is active."""
    # None where there is none: a plan that does not use it must be readable for a worker that does not know it.
    also: list[Annotated[str, Field(min_length=1, max_length=63)]] | None = Field(
        default=None, max_length=4
    )
    """Operations that are asked after each page, for what it only names by an id. Their requests see the body of
    the page as `record`, so they have no `object`."""
    body: Expression
    """CEL over `response`, `config`, `endpoint`, `now` and `also` (operation → its `response`) that makes the body of
    a webhook out of the answer."""
    needs: list[str] = Field(default_factory=list, max_length=16)
    """Settings (`spec.config`) without which nobody is asked, because the answer would hold what is not ours."""
    every: Duration = Field(default="5m", json_schema_extra={"x-intops-implied": True})
    """How often it is asked, at least 10s; 5m if absent."""
    patience: Duration = Field(default="6m", json_schema_extra={"x-intops-implied": True})
    """How long something must have been listed until its webhook counts as lost; 6m if absent."""


class Capture(ApiModel):
    """How messages of this system arrive."""

    object: FieldPath
    """Object that each message is."""
    verify: list[Verify] = Field(default_factory=list, max_length=8)
    """Accepted proofs of the sender. Capture is always authenticated."""
    ack: int = Field(default=202, ge=200, le=299)
    """Status that the sender takes as received."""
    items: Expression | None = None
    """CEL over `payload` that gives the list of messages in one delivery; the payload itself if absent."""
    delivery_id: Expression | None = None
    """CEL over `object`, `payload`, `headers` that is equal for two copies of one message."""
    delivery_header: str | None = Field(default=None, max_length=128)
    """Header that is equal for two copies of one delivery."""
    origin: Expression | None = None
    """CEL over `object`, `payload`, `headers` for the correlation key that a record carries, where this system tells
    of its records: what intops has written itself and comes back is dropped as `echo`."""
    payload_fields: dict[str, FieldSchema] = Field(default_factory=dict, max_length=256)
    """Fields of the payload around the items."""
    max_body_bytes: int = Field(default=1048576, ge=1024, le=16777216)
    """Largest body that is taken, in bytes."""
    max_depth: int = Field(default=32, ge=2, le=100)
    """Deepest nesting that is taken."""
    poll: Poll | None = None
    """How messages whose webhook was lost are found."""


class Request(ApiModel):
    """One HTTP request. Parameters are percent-encoded; null leaves of the body are omitted."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    """HTTP method."""
    path: str = Field(min_length=1, max_length=1024, pattern=r"^/")
    """Path below the endpoint; `{name}` stands for a parameter."""
    params: dict[str, Expression] = Field(default_factory=dict, max_length=32)
    """CEL for each parameter of the path."""
    query: dict[str, Expression] = Field(default_factory=dict, max_length=32)
    """CEL for each query parameter; null leaves it out."""
    headers: dict[str, Expression] = Field(default_factory=dict, max_length=32)
    """CEL for each extra header; null leaves it out."""
    body: Expression | None = None
    """CEL that makes the JSON body."""
    body_add: dict[FieldPath, Expression] | None = Field(default=None, max_length=8)
    """Path in the body → CEL for a map whose entries are added there, such as fields that each site has of its own.
    What the body has already stays; null adds nothing."""
    body_nulls: bool = False
    """Whether null leaves of the body are sent rather than left out."""


class Result(ApiModel):
    """What is taken from an answer."""

    native_id: Expression | None = None
    """CEL for the system's own id of the record."""
    display_id: Expression | None = None
    """CEL for the id that people quote."""
    url: Expression | None = None
    """CEL for the address of the record."""
    version: Expression | None = None
    """CEL for the edition of the record, such as an ETag."""
    key: Expression | None = None
    """CEL for the correlation key that the record carries."""
    items: Expression | None = None
    """CEL for the list of records that a search found; then `item` is each record."""


class ReadBack(ApiModel):
    """How to see whether a 2xx did what was asked."""

    operation: str = Field(default="get", min_length=1, max_length=63)
    """Operation that reads the record."""
    compare: dict[str, Expression] = Field(default_factory=dict, max_length=64)
    """Field of `record` → CEL over `response` of the read; both must be equal where the field was sent."""
    others: Expression | None = None
    """CEL over `response` and `field` for what the read shows of any other field that was sent: where an object is
    open, a field that the system does not know is seen to be missing."""


class Idempotency(ApiModel):
    """How the system recognises a repeated request, if it does."""

    style: Literal["none", "header", "upsert"] = "none"
    """none, header (a repeated key is answered with the first result) or upsert."""
    header: str | None = Field(default=None, max_length=128)
    """Header that carries the idempotency key."""


class Concurrency(ApiModel):
    """How the system refuses a write that is based on an old edition."""

    header: str = Field(min_length=1, max_length=128)
    """Header that carries the edition, such as If-Match."""
    from_: str = Field(default="get", alias="from", min_length=1, max_length=63)
    """Operation whose `result.version` gives the current edition."""


class Steps(ApiModel):
    """How a state is reached in a system where each state offers its own ways on.

    The operation is sent once for each step; `step` names the way that was chosen.
    """

    field: FieldPath
    """Field of `record` that holds the state to be reached; without it the operation is sent once as it is."""
    state_from: str = Field(default="get", min_length=1, max_length=63)
    """Operation that reads the record."""
    state: Expression
    """CEL over `response` of that operation for the state in which the record is now."""
    choices_from: str = Field(min_length=1, max_length=63)
    """Operation whose `result.items` are the ways on from there, and `result.nativeId` the id of each."""
    to: Expression
    """CEL over `item` for the state to which a way leads."""
    via: Expression | None = None
    """CEL over `record` and `config` for the list of states that may be passed where none leads there at once; the
    first on offer is taken."""
    max: int = Field(default=5, ge=1, le=20, json_schema_extra={"x-intops-implied": True})
    """Most steps that are taken for one message; 5 if absent."""


class Unless(ApiModel):
    """When a write is left out: people may have done it already, in words of their own, which must stay."""

    operation: str = Field(
        default="get", min_length=1, max_length=63, json_schema_extra={"x-intops-implied": True}
    )
    """Operation that reads the record before the write; get if absent."""
    when: Expression
    """CEL over `response` of that read that is true where nothing is left to do."""


class Remark(ApiModel):
    """Fields that the system takes only when a record is made: what changes of them is told in a remark instead."""

    fields: list[FieldPath] = Field(min_length=1, max_length=16)
    """Fields of `record`. Where nothing else has changed, the write itself is left out."""
    text: Expression
    """CEL over `record`, `link`, `config` for what the operation `comment` says."""


class Paginate(ApiModel):
    """How a list goes on: that of `lookupByCorrelation`, and of the operation of `capture.poll`.

    The next page must stay on the endpoint's origin.
    """

    style: Literal["none", "page", "offset", "cursor", "link"] = "none"
    """How pages are named."""
    param: str | None = Field(default=None, max_length=64)
    """Query parameter that names the page, offset or cursor."""
    body_param: FieldPath | None = None
    """Path in the request's body where the cursor stands, instead of `param`; JSON-RPC asks for all by POST."""
    next: Expression | None = None
    """CEL over `response` for the next page, offset, cursor or link; null ends."""
    max: int = Field(default=1000, ge=1, le=100000)
    """Most records that are read."""


class Operation(ApiModel):
    """One thing that can be asked of the system. Its name is the capability it offers."""

    object: FieldPath | None = None
    """Object that it works on."""
    needs: list[str] | None = Field(default=None, max_length=16)
    """Settings (`spec.config`) without which it cannot be asked; a Flow that needs it of a Connector without them is
    refused."""
    request: Request
    """The request."""
    success: Expression = "response.status >= 200 && response.status < 300"
    """CEL over `response` that is true when the system did it."""
    result: Result = Field(default_factory=Result)
    """What is taken from the answer."""
    read_back: ReadBack | None = None
    """Read what was written and compare, where 2xx is not success."""
    idempotency: Idempotency = Field(default_factory=Idempotency)
    """How a repeated request is recognised."""
    concurrency: Concurrency | None = None
    """How a write on an old edition is refused."""
    steps: Steps | None = None
    """How a state is reached step by step."""
    unless: Unless | None = None
    """For update and transition: when the record already is where the write would bring it."""
    remark: Remark | None = None
    """For update and transition: what is told in a remark, because the system cannot change it."""
    paginate: Paginate | None = None
    """How a long answer goes on."""
    timeout: Duration = "20s"
    """Longest wait for the answer."""
    settle: Duration = "0s"
    """For look-ups: longest time after a write in which the system may not find it yet."""


class ErrorMatcher(ApiModel):
    """How the system tells one kind of error. Ordered; the first that matches wins."""

    when: Expression
    """CEL over `response` and `request`."""
    class_: ErrorClassName = Field(alias="class")
    """Error class."""
    retry_after: Expression | None = None
    """CEL for the seconds to wait."""
    detail: Expression | None = None
    """CEL for the system's own words."""
    path: Expression | None = None
    """CEL for the field of the record that the system names."""


class ClassLimits(ApiModel):
    """What the vendor documents or what is known to be safe."""

    requests_per_second: float = Field(default=50.0, gt=0, le=10000)
    """Most requests a second."""
    concurrency: int = Field(default=8, ge=1, le=256)
    """Most requests at the same time."""
    source: str = Field(default="", max_length=512)
    """Where the numbers come from."""


class ConnectorClassSpec(ApiModel):
    """What a ConnectorClass says."""

    display_name: str = Field(min_length=1, max_length=128)
    """Name that people use for the system."""
    description: str = Field(default="", max_length=4096)
    """What it is and what to set up on its side."""
    objects: dict[str, ObjectSchema] = Field(min_length=1, max_length=64)
    """Objects of the system and their fields."""
    config_schema: dict[str, FieldSchema] = Field(default_factory=dict, max_length=64)
    """Settings that a Connector gives in `config`."""
    endpoint_required: bool = True
    """Whether a Connector of this class needs an endpoint."""
    credentials: list[CredentialKey] = Field(default_factory=list, max_length=16)
    """Keys of the Secret."""
    auth: Auth | None = None
    """How requests are authenticated."""
    capture: Capture | None = None
    """How messages arrive; absent where the system does not send."""
    headers: dict[str, Expression] = Field(default_factory=dict, max_length=32)
    """CEL for headers of every request."""
    operations: dict[str, Operation] = Field(default_factory=dict, max_length=64)
    """What can be asked of the system."""
    errors: list[ErrorMatcher] = Field(default_factory=list, max_length=64)
    """How the system tells its errors."""
    error_policies: dict[str, Any] = Field(default_factory=dict)
    """Overrides of error policies by class name."""
    limits: ClassLimits = Field(default_factory=ClassLimits)
    """Limits."""
    versions: list[str] = Field(default_factory=list, max_length=32)
    """Versions of the system that this class was tested with."""
    self_test: SelfTest | None = None
    """How `intops connector test` sees whether credentials and rights are good; only reads."""
    discovery: list[Discovered] | None = Field(default=None, max_length=16)
    """What `intops connector test` reads of an instance, to compare it with what Mappings send."""
    mappings: dict[str, MappingBody] = Field(default_factory=dict, max_length=32)
    """The class's own Mappings; a binding that names none uses the one for its model."""


class ConnectorClassStatus(ApiModel):
    """What intops observed about a ConnectorClass."""

    observed_generation: int | None = None
    """Generation that this status describes."""
    conditions: list[Condition] = Field(default_factory=list, max_length=16)
    """Accepted, ResolvedRefs and Ready."""
    connectors: int | None = None
    """How many Connectors are of this class."""
    capabilities: str | None = None
    """What it offers, in one line."""
