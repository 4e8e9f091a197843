"""FlowReport: what a worker says about the plans it runs. Comes up to the operator over HTTP.

No payload, no key, no personal data, no secret. A reader passes over fields that it does not know and refuses a
newer major schema. A field that is there already gets no new values: an older reader would not know them.
"""

from typing import Final, Literal

from pydantic import ConfigDict, Field

from intops_api.actions import ActionReport
from intops_api.common import ApiModel

REPORT_SCHEMA: Literal[1] = 1

NOT_IN_RANGES: Final = "not in the ranges that the operator allows"
"""Words of a worker's guard by which the operator knows what would help: a value of the chart."""

FILLING_FROM = 0.7
"""Part of a store's room from which it is told that it fills up, and senders are slowed down."""

KEEP_ENDED_S = 7 * 86400.0
"""Seconds for which messages that came to an end stay in a store, so that people can look back."""


class ReportModel(ApiModel):
    """Base of everything in a report. Open: an older operator reads on when a newer worker has more to say."""

    model_config = ConfigDict(extra="ignore")


ConnectorState = Literal["ok", "held", "open", "limited"]


class ReportFlow(ReportModel):
    namespace: str
    name: str


class StoreReport(ReportModel):
    """Counts of one store. Messages: received = done + dropped + waiting + held + sending + review + discarded."""

    received: int = 0
    done: int = 0
    dropped: dict[str, int] = Field(default_factory=dict)
    waiting: int = 0
    held: int = 0
    sending: int = 0
    review: int = 0
    discarded: int = 0
    captured: int = 0
    """Deliveries captured = split + pending + malformed."""
    split: int = 0
    pending: int = 0
    malformed: int = 0
    oldest_at: str | None = None
    """When the oldest message in flight (or delivery not yet split) arrived, RFC 3339."""
    review_oldest_due_at: str | None = None
    review_overdue: int = 0
    scope: Literal["worker", "shared"] = "worker"
    failed: str | None = None
    """Why the store cannot be used, in a sentence."""
    full: bool = False
    fill: float | None = None
    """Share of the room for messages that is used, 0 to 1; senders get 503 at 1. None where it has no volume."""
    fenced: int = 0
    """Late writes of this worker that were refused, because another replica had taken over."""

    @property
    def in_flight(self) -> int:
        return self.waiting + self.held + self.sending

    @property
    def unfinished(self) -> int:
        """What would be lost with the store: messages in flight or in review, deliveries not yet split."""
        return self.in_flight + self.review + self.pending

    @property
    def imbalance(self) -> int:
        """Received messages that are in no state; anything but 0 is a defect."""
        ended = self.done + sum(self.dropped.values()) + self.discarded
        return self.received - (ended + self.in_flight + self.review)


class PreviousReport(ReportModel):
    """The old value of a key, which senders may still use while they are given the new one."""

    key: str
    """Its key in the Secret, such as `token.previous`."""
    last_used: str | None = None
    """When a sender last proved itself with it; None where none has since this worker started."""


class SecretReport(ReportModel):
    """How a Secret is; names of keys, never a value."""

    secret: str
    present: bool
    missing_keys: list[str] = Field(default_factory=list)
    since: str | None = None
    weak_keys: list[str] = Field(default_factory=list)
    """Keys with which senders prove themselves and whose values are too short."""
    previous: list[PreviousReport] = Field(default_factory=list)


class ConnectorReport(ReportModel):
    """How one binding's system is doing."""

    name: str
    """Name of the binding."""
    connector: str
    role: str
    state: ConnectorState = "ok"
    error_class: str | None = None
    detail: str | None = None
    """The system's answer in a few words, without payload or secret, such as `HTTP 401`."""
    since: str | None = None
    doing: str | None = None
    """What the worker does about it, such as `asks again every 10 s`."""
    secret: SecretReport | None = None
    certificate_expires: str | None = None


class RateReport(ReportModel):
    delivered_per_hour: int = 0
    failed_per_hour: int = 0
    in_time: int = 0
    """Messages delivered within spec.slo.within since the worker started."""
    late: int = 0
    within_s: float | None = None
    """spec.slo.within in seconds; None where nothing is promised."""


class Finding(ReportModel):
    """Something a person should know, without data of the message."""

    kind: Literal["drift", "proposal", "overdue", "gap"]
    reason: str
    message: str
    count: int = 1
    severity: Literal["info", "warning", "critical"] = "info"
    since: str | None = None
    mapping: str | None = None
    """Name of the Mapping that it is about, where it is about one."""


ShadowResult = Literal["differs", "mends", "drift", "unmapped", "error"]


class ShadowField(ReportModel):
    """One field over which a Mapping on trial disagrees. Its values stay with the worker."""

    path: str
    """Field of the record or of what a target is written; empty where none can be named."""
    result: ShadowResult
    messages: int
    since: str | None = None


class ShadowReport(ReportModel):
    """What a Mapping on trial would have made of the messages since its plan was loaded."""

    binding: str
    mapping: str
    since: str | None = None
    same: int = 0
    differing: int = 0
    """Messages with another value in a field, or that fail now and would not."""
    drift: int = 0
    """Messages whose form it does not recognise."""
    unmapped: int = 0
    """Messages that would wait for a person, or be refused, for a value."""
    error: int = 0
    """Messages over which it crashed."""
    skipped: int = 0
    """Messages that were not compared, because comparing had used up its share of the time."""
    stopped: str | None = None
    """Why nothing is compared any more, in a sentence."""
    fields: list[ShadowField] = Field(default_factory=list)
    further: int = 0
    """Disagreements about fields beyond those that are listed."""

    @property
    def failing(self) -> int:
        return self.drift + self.unmapped + self.error

    @property
    def compared(self) -> int:
        return self.same + self.differing + self.failing


class EnrichmentReport(ReportModel):
    """What an enricher has answered since the worker started, by look-up."""

    binding: str
    hit: int = 0
    """It knew more."""
    stale: int = 0
    """It did not answer in time, and an older answer stood in."""
    missing: int = 0
    """It knows nothing of the record, or several things that fit."""
    error: int = 0
    """It did not answer in time; the message went on without."""
    incomplete: int = 0
    """Messages that were delivered without it and are completed when it answers."""
    since: str | None = None
    """Since when it has not answered; absent while it answers."""
    detail: str | None = None
    """Why not, without payload or secret."""


class PollReport(ReportModel):
    """What asking one source has found since the worker started."""

    source: str
    ok: int = 0
    """Listings that came whole."""
    failed: int = 0
    """Listings that did not come, or could not be read."""
    recovered: int = 0
    """Messages that came only by asking."""


class PlanReport(ReportModel):
    flow: ReportFlow
    active: str | None = None
    """Hash of the plan that runs."""
    draining: str | None = None
    error: str | None = None
    """Why the newest plan was refused, in a sentence; the old one runs on."""
    suspended: bool = False
    store: StoreReport = Field(default_factory=StoreReport)
    rates: RateReport = Field(default_factory=RateReport)
    last_delivered_at: str | None = None
    connectors: list[ConnectorReport] = Field(default_factory=list)
    findings: list[Finding] = Field(default_factory=list)
    variants: dict[str, dict[str, int]] = Field(default_factory=dict)
    """Messages since the worker started, by source binding and recognised form of the payload."""
    shadows: list[ShadowReport] = Field(default_factory=list)
    enrichments: list[EnrichmentReport] = Field(default_factory=list)
    polls: list[PollReport] = Field(default_factory=list)
    actions: list[ActionReport] = Field(default_factory=list)
    """Answers to the decisions that stand beside the plan now."""


class FlowReport(ReportModel):
    schema_: int = Field(default=REPORT_SCHEMA, alias="schema")
    worker: str
    version: str = ""
    started_at: str
    at: str
    plans: list[PlanReport] = Field(default_factory=list)
    left: dict[str, int | None] | None = None
    """Unfinished messages in stores without a plan, by `NAMESPACE/NAME` of the Flow that is gone; null where not
    known. None of a worker that has not looked yet."""


class LastWords(ReportModel):
    """What a worker leaves behind when it ends in order: the termination message of its container.

    Kubernetes shows at most 4 KiB of it, in the pod's status.
    """

    left: dict[str, int | None] = Field(default_factory=dict)
    """Unfinished messages of each store, by `NAMESPACE/NAME` of its Flow; null if not known. Where all would not
    fit, only the stores in which something is left or may be."""
    total: int | None = None
    """Unfinished messages of all stores of the volume together; null if that is not known."""
