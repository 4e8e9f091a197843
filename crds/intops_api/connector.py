"""Connector: one instance of a ConnectorClass, with endpoint, credentials, limits and owner."""

import re
from typing import Any, Final

from pydantic import Field, field_validator

from intops_api.common import ApiModel, ObjectName, Owner
from intops_api.conditions import Condition

# A pattern would do, but its refusal repeats the value, and with it the password.
ENDPOINT_CREDENTIALS: Final = r"^[a-z]+://[^/?#]*@"
ENDPOINT_HOLDS_CREDENTIALS: Final = (
    "The endpoint holds a user name or password, which everybody who may read Connectors would see; "
    "put them into the Secret that credentials.secretName names."
)


class CredentialsRef(ApiModel):
    """Where the credentials are. intops never reads the Secret; the worker mounts it."""

    secret_name: ObjectName
    """Secret in the same namespace; the class says which keys it needs."""


class ConnectorLimits(ApiModel):
    """How hard intops may work the system; at most what the class documents."""

    requests_per_second: float | None = Field(default=None, gt=0, le=10000)
    """Most requests a second."""
    concurrency: int | None = Field(default=None, ge=1, le=256)
    """Most requests at the same time."""


class TlsOptions(ApiModel):
    """How the system proves who it is. Verification cannot be switched off."""

    ca_secret_name: ObjectName | None = None
    """Secret whose `ca.crt` is trusted for this endpoint, beside the system's own authorities."""


class ConnectorSpec(ApiModel):
    """What a Connector says."""

    class_: ObjectName = Field(alias="class")
    """ConnectorClass that describes this kind of system. Cannot be changed."""
    endpoint: str | None = Field(default=None, max_length=2048, pattern=r"^https?://\S+$")
    """Base address of the system. Not needed where the system only sends to intops."""
    credentials: CredentialsRef | None = None
    """Secret with the credentials."""
    config: dict[str, Any] = Field(default_factory=dict)
    """Settings that the class declares in its configSchema."""
    limits: ConnectorLimits | None = None
    """Limits below those of the class."""
    tls: TlsOptions | None = None
    """Trust in the system's certificate."""
    owner: Owner
    """Who is accountable for the system."""

    @field_validator("endpoint")
    @classmethod
    def _keeps_no_credentials(cls, value: str | None) -> str | None:
        if value is not None and re.match(ENDPOINT_CREDENTIALS, value):
            raise ValueError(ENDPOINT_HOLDS_CREDENTIALS)
        return value


class ConnectorStatus(ApiModel):
    """What intops observed about a Connector."""

    observed_generation: int | None = None
    """Generation that this status describes."""
    conditions: list[Condition] = Field(default_factory=list, max_length=16)
    """Accepted, ResolvedRefs, CredentialsValid, TargetReachable and Ready."""
    flows: int | None = None
    """How many Flows use this Connector."""
    host: str | None = None
    """Host of the endpoint."""
    limits: str | None = None
    """Limits in use, its own or those of its class, such as `10/s, 4 at once`."""
    error_class: str | None = None
    """Class of the error that keeps messages from the system, while one does."""
    since: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """Since when, as the Flow that saw it first says."""
    certificate_expires: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """When the certificate of the system ends, where a worker has seen it."""
