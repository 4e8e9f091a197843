"""A plan that its worker has, kept in a twentieth of the room until the next look at its Flow.

Called by the reconciler. There may be ten thousand, and each is read for some milliseconds now and then.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from intops_api.plan import ClassBlob, FlowPlan, PlanBlobs

_BLOBS = {"blobs"}


@dataclass(frozen=True, slots=True)
class KeptPlan:
    """What is kept of it: all but the blobs, which stand in its ConfigMap."""

    packed: bytes
    classes: Mapping[str, ClassBlob]
    """Classes are shared by all plans that use them, so they cost nothing."""

    @classmethod
    def of(cls, plan: FlowPlan) -> "KeptPlan":
        """Pack a plan."""
        text = plan.model_dump_json(by_alias=True, exclude=_BLOBS, exclude_unset=True)
        # Fast rather than small: the least that zlib does takes four fifths away.
        return cls(zlib.compress(text.encode(), 1), plan.blobs.classes)

    def plan(self) -> FlowPlan:
        """The plan, with the blobs of its classes only."""
        text = zlib.decompress(self.packed)[:-1] + b',"blobs":{}}'
        blobs = PlanBlobs(classes=dict(self.classes))
        return FlowPlan.model_validate_json(text).model_copy(update={"blobs": blobs})
