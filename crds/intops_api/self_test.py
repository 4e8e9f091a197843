"""How `intops connector test` looks at a system: who we are there, what we may do, what one instance has of its own.

Part of ConnectorClass. Everything here is a read: there is no method to choose, so nothing can be written by it.
Expressions of a request see `config` and `link`; those over an answer see `response` (`status`, `headers`, `body`),
too. Secrets are never visible.
"""

from pydantic import Field

from intops_api.common import ApiModel, Expression, FieldPath


class Look(ApiModel):
    """One read (GET). Parameters are percent-encoded."""

    path: str = Field(min_length=1, max_length=1024, pattern=r"^/")
    """Path below the endpoint; `{name}` stands for a parameter."""
    params: dict[str, Expression] = Field(default_factory=dict, max_length=32)
    """CEL for each parameter of the path."""
    query: dict[str, Expression] = Field(default_factory=dict, max_length=32)
    """CEL for each query parameter; null leaves it out."""
    success: Expression = "response.status == 200"
    """CEL over `response` that is true when it is the answer that was asked for."""


class Right(ApiModel):
    """One thing that the user of intops must be allowed to do there."""

    name: str = Field(min_length=1, max_length=128)
    """What it is, in the system's own words, such as Create issues."""
    operations: list[str] = Field(min_length=1, max_length=16)
    """Operations of the class that need it."""
    granted: Expression
    """CEL over `response` that is true where the user has it."""
    remedy: str = Field(min_length=1, max_length=512)
    """What to give the user where it is missing, as a sentence."""


class Rights(ApiModel):
    """What the user may do, as far as the system tells without a write."""

    read: Look
    """The read that tells it."""
    needs: list[Right] = Field(min_length=1, max_length=16)
    """What is needed."""


class SelfTest(ApiModel):
    """How to see that the credentials are good, and the rights that they give."""

    read: Look
    """A harmless read that takes good credentials, such as who am I."""
    who: Expression | None = None
    """CEL over `response` for the name by which the system knows us."""
    rights: Rights | None = None
    """What the user may do."""


class FirstRead(ApiModel):
    """A read that finds the id of what is to be read."""

    read: Look
    """The read."""
    native_id: Expression
    """CEL over `response` for the id; the next read sees it as `link.nativeId`."""


class Discovered(ApiModel):
    """One read of what an instance has of its own, to compare it with what Mappings send."""

    name: str = Field(min_length=1, max_length=128)
    """What is read, such as states of the project."""
    object: FieldPath
    """Object whose fields it is about."""
    first: FirstRead | None = None
    """What must be looked up before."""
    read: Look
    """The read."""
    values: dict[FieldPath, Expression] = Field(default_factory=dict, max_length=32)
    """Field → CEL over `response` for the list of values that it takes."""
    keys: dict[FieldPath, Expression] = Field(default_factory=dict, max_length=8)
    """Field that is a map → CEL over `response` for the list of keys that it takes."""
    required: Expression | None = None
    """CEL over `response` for the list of fields that a new record must have, less those that the class fills."""
