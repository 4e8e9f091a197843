"""Flow: a Pattern with its roles bound to Connectors: what moves, by which rules, for whom."""

from typing import Annotated, Any, Literal

from pydantic import Field

from intops_api.common import (
    ApiModel,
    Duration,
    Expression,
    IsoDate,
    LabelName,
    ObjectName,
    Owner,
    Percent,
    Quantity,
)
from intops_api.conditions import Condition


class Binding(ApiModel):
    """One Connector in one role."""

    name: LabelName
    """Name of this binding within the Flow."""
    connector: ObjectName
    """Connector in the same namespace."""
    mapping: ObjectName | None = None
    """Mapping in the same namespace; the class's own for the Pattern's model if absent."""
    shadow: ObjectName | None = None
    """Mapping that is tried beside `mapping` on live messages, between the same ends, before it takes over.

    What it makes of them is compared and counted (`intops shadow FLOW`), never stored and never sent.
    """
    reverse_mapping: ObjectName | None = None
    """Mapping for the way back, where status comes back."""
    on_failure: Literal["continue", "hold", "review"] | None = None
    """What happens to a message when this system fails; each role has its default."""
    timeout: Duration | None = None
    """Longest wait for this system; 2s for enrichers if absent."""
    cache: Duration | None = None
    """For enrichers: how long an answer is used again; 5m if absent. While the system is away, for up to a day."""
    delivery: Literal["atLeastOnce", "atMostOnce"] | None = None
    """For targets that can neither recognise nor find a repeated request: repeat, or rather lose."""
    answer_within: Duration | None = None
    """For sources whose senders wait for the outcome: answered with the record, or with 202 after this time."""


class Route(ApiModel):
    """One way through. Every message takes the first route whose `when` is true."""

    name: LabelName
    """Name of the route."""
    when: Expression | None = None
    """CEL over the canonical record, such as `incident.service == "payments"`.

    Every message matches where it is absent, and so the last route has none.
    """
    set: dict[str, Any] = Field(default_factory=dict, max_length=32)
    """Fields of the canonical record that this route sets, such as `assignmentGroup`."""
    target: LabelName | None = None
    """Name of a binding of `roles.target`, where there are several; the first if absent."""


class Closure(ApiModel):
    """What happens when the cause is gone, and when it comes back."""

    on_resolved: Literal["resolve", "comment", "ignore"] | None = None
    """What a recovery does to the record: resolve it, comment on it, or nothing."""
    reopen_within: Duration | None = None
    """How long after its resolution a record is reopened rather than made anew."""
    after_window: Literal["new", "comment", "ignore"] | None = None
    """What a recurrence after that time does."""


class Sync(ApiModel):
    """In which direction status moves."""

    mode: Literal["toTarget", "bidirectional"] = "toTarget"
    """toTarget; or bidirectional, which this version warns of, because it does not move anything back yet."""


class Slo(ApiModel):
    """What is promised."""

    delivered: Percent | None = None
    """Share of messages that must be delivered."""
    within: Duration | None = None
    """Time from capture to delivery that is still good."""
    window: Duration | None = None
    """Period over which the promise is measured."""


class ErrorPolicy(ApiModel):
    """What happens to one class of errors. Fields that are absent keep the default."""

    strategy: Literal["retry", "hold", "review", "continue", "drop"] | None = None
    """retry, hold the connector, review, continue or drop."""
    max_attempts: int | None = Field(default=None, ge=1, le=1000)
    """Deliveries tried before the message goes to review; counts the first."""
    base: Duration | None = None
    """First delay; doubles with every attempt."""
    cap: Duration | None = None
    """Longest delay."""
    max_age: Duration | None = None
    """Age at which retrying ends."""


class Review(ApiModel):
    """Who looks at what intops cannot decide."""

    owner: str | None = Field(default=None, max_length=128)
    """Team that looks; the owner's team if absent."""
    due_within: Duration | None = None
    """How soon; 8h if absent."""
    second_approver: bool | None = None
    """Whether every decision needs a second person, who approves it."""


class Replicas(ApiModel):
    """How many workers."""

    min: int = Field(default=1, ge=1, le=64)
    """Fewest."""
    max: int = Field(default=1, ge=1, le=64)
    """Most; above 1 only with a PostgreSQL store. Between min and max the operator decides, by the backlog."""
    target_age: Duration | None = None
    """How old the oldest waiting message may be before workers are added, up to max; 30s if absent."""


class EmbeddedStore(ApiModel):
    """A store in the worker's own volume."""

    size: str = Field(default="1Gi", max_length=16, pattern=r"^[0-9]{1,6}(Mi|Gi|Ti)$")
    """Size of the volume."""
    storage_class: ObjectName | None = None
    """StorageClass of the volume; the cluster's default if absent."""


class PostgresStore(ApiModel):
    """A store in PostgreSQL. Flows may share one database; each keeps its own messages there."""

    secret_name: ObjectName
    """Secret with the connection: key `dsn` (or `uri`), or `host`, `port`, `database` (or `dbname`), `user`
    (or `username`) and `password`; optional are `sslmode`, `sslrootcert` (or `ca.crt`, PEM text) and
    `pooler: transaction`."""


class Store(ApiModel):
    """Where messages are kept until they are delivered, and how long and how many. One of embedded and postgres."""

    embedded: EmbeddedStore | None = None
    """SQLite in the worker's own volume: nothing to install, one replica."""
    postgres: PostgresStore | None = None
    """PostgreSQL: any number of replicas."""
    max_outage: Duration | None = None
    """Longest outage of a target after which everything that came meanwhile is still delivered by itself."""
    peak_per_hour: int | None = Field(default=None, ge=1, le=100_000_000)
    """Messages in a busy hour, as far as you know; the size of an embedded store is judged by it."""


class Resources(ApiModel):
    """What the worker may use, in Kubernetes quantities."""

    requests: dict[str, Quantity] = Field(default_factory=dict, max_length=8)
    """What is reserved."""
    limits: dict[str, Quantity] = Field(default_factory=dict, max_length=8)
    """What is allowed at most."""


class Ingress(ApiModel):
    """How senders outside the cluster reach capture."""

    host: str = Field(min_length=1, max_length=253)
    """Host name."""
    class_name: ObjectName | None = None
    """IngressClass."""
    tls_secret_name: ObjectName | None = None
    """Secret with the certificate."""


class Expose(ApiModel):
    """How capture is reached from outside the cluster."""

    ingress: Ingress | None = None
    """An Ingress for the capture path only."""


class Runtime(ApiModel):
    """How and where the worker runs."""

    replicas: Replicas = Field(default_factory=Replicas)
    """How many workers."""
    store: Store = Field(default_factory=Store)
    """Where messages are kept; embedded if absent."""
    pool: LabelName | None = None
    """Name of the worker that quiet Flows of this namespace share, at most 100 of them; embedded store only."""
    resources: Resources | None = None
    """What the worker may use."""
    expose: Expose | None = None
    """How capture is reached from outside the cluster."""


class RuleException(ApiModel):
    """A rule that this Flow may break for a while."""

    rule: str = Field(min_length=1, max_length=63)
    """Id of the rule."""
    reason: str = Field(min_length=1, max_length=1024)
    """Why."""
    approved_by: str = Field(min_length=1, max_length=253)
    """Who allowed it."""
    until: IsoDate
    """Last day."""


class FlowSpec(ApiModel):
    """What a Flow says."""

    pattern: ObjectName
    """Pattern that this Flow follows. Cannot be changed."""
    owner: Owner
    """Who is accountable for the outcome."""
    business_process: str | None = Field(default=None, max_length=128)
    """Business process that this Flow serves."""
    review_by: IsoDate | None = None
    """Day by which the owner looks at this Flow again, at most 180 days ahead. Never a reason to refuse it."""
    roles: dict[str, Annotated[list[Binding], Field(max_length=64)]] = Field(
        min_length=1, max_length=32
    )
    """Which Connectors play which role; a list even where one is allowed."""
    routes: list[Route] = Field(default_factory=list, max_length=64)
    """Where messages go. The first whose `when` is true is taken; the last must always match."""
    closure: Closure = Field(default_factory=Closure)
    """What happens when the cause is gone."""
    sync: Sync = Field(default_factory=Sync)
    """In which direction status moves."""
    slo: Slo = Field(default_factory=Slo)
    """What is promised."""
    errors: dict[str, ErrorPolicy] = Field(default_factory=dict, max_length=18)
    """Error policies by class name; the Pattern's defaults otherwise."""
    review: Review = Field(default_factory=Review)
    """Who looks at what intops cannot decide."""
    episodes: dict[str, Any] | None = None
    """Settings of the episodes engine."""
    reconciliation: dict[str, Any] | None = None
    """Settings of the reconciliation engine."""
    run: dict[str, Any] | None = None
    """Settings of the run engine."""
    runtime: Runtime = Field(default_factory=Runtime)
    """How and where the worker runs."""
    exceptions: list[RuleException] = Field(default_factory=list, max_length=16)
    """Rules that this Flow may break for a while."""
    suspend: bool = False
    """Capture, but do not poll or deliver."""


class ShadowStatus(ApiModel):
    """How a Mapping on trial does beside the one that decides, since the plan was loaded."""

    binding: str
    """Name of the binding."""
    mapping: str
    """The Mapping on trial."""
    compared: int = 0
    """Messages that went through both."""
    differing: int = 0
    """Messages of these in which a field would get another value."""
    failing: int = 0
    """Messages of these that the Mapping on trial cannot map."""
    since: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """When the trial began; a new plan and a restart of the worker begin it anew."""
    stopped: str | None = None
    """Why nothing is compared any more."""


class FlowStatus(ApiModel):
    """What intops observed about a Flow: whether its messages arrive."""

    observed_generation: int | None = None
    """Generation that this status describes."""
    conditions: list[Condition] = Field(default_factory=list, max_length=16)
    """Every statement about this Flow; Ready sums them up."""
    config_hash: str | None = None
    """Hash of the plan that should run."""
    backlog: int | None = None
    """Messages in flight: waiting, held or being sent."""
    oldest_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """When the oldest message in flight arrived."""
    review: int | None = None
    """Messages that wait for a person."""
    slo: str | None = None
    """Share of messages delivered in time."""
    last_delivered_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """When a message was delivered last."""
    received: int | None = None
    """Messages received since the store was made."""
    done: int | None = None
    """Messages delivered since the store was made."""
    dropped: int | None = None
    """Messages dropped on purpose since the store was made, such as duplicates."""
    discarded: int | None = None
    """Messages discarded by a person since the store was made."""
    delivered_per_hour: int | None = None
    """Deliveries in the last hour."""
    failed_per_hour: int | None = None
    """Failed attempts in the last hour."""
    variants: dict[str, dict[str, str]] | None = None
    """Share of each known form among recognised payloads since the workers started, by source binding and form."""
    replicas: int | None = None
    """Workers that report."""
    desired_replicas: int | None = None
    """Workers that there should be now, between spec.runtime.replicas.min and max."""
    source: str | None = None
    """Connectors that messages come from."""
    target: str | None = None
    """Connectors that messages go to."""
    shadows: list[ShadowStatus] = Field(default_factory=list, max_length=16)
    """Mappings on trial, those that fail or differ first."""
    capture_url: str | None = None
    """Address inside the cluster where senders deliver."""
