"""Built-in rules: one published list, from which documentation and `intops explain rule` are made."""

from collections.abc import Mapping
from typing import Final

from intops_core.drafts.marks import MARK
from intops_core.findings import COMPATIBILITY, DRAFT, EXAMPLE, REFERENCE, SCHEMA
from intops_core.rules.common import COMMON_RULES
from intops_core.rules.event_to_incident import EVENT_TO_INCIDENT_RULES
from intops_core.rules.governance import GOVERNANCE_RULES
from intops_core.rules.rule import BuiltInRule

_EVERYTHING: Final = (
    "Flow",
    "Connector",
    "Mapping",
    "ConnectorClass",
    "CanonicalModel",
    "Pattern",
    "FlowAction",
)

# Without a number, because no Pattern can leave them out.
UNNUMBERED: Final[tuple[BuiltInRule, ...]] = (
    BuiltInRule(
        SCHEMA,
        "The object has the shape of its kind and holds together in itself.",
        excusable=False,
        also=_EVERYTHING,
    ),
    BuiltInRule(
        DRAFT,
        f"A draft of `intops new` is finished: no field says {MARK} any more.",
        excusable=False,
        also=_EVERYTHING,
    ),
    BuiltInRule(
        REFERENCE,
        "What the object names exists and is usable. What does not exist yet only warns.",
        excusable=False,
        also=_EVERYTHING,
    ),
    BuiltInRule(
        EXAMPLE,
        "The examples of a Mapping hold.",
        excusable=False,
        also=("Mapping", "ConnectorClass", "Pattern"),
    ),
    BuiltInRule(
        COMPATIBILITY,
        "An edition of a model that live Flows use changes only as compatibility.md says.",
        excusable=False,
        also=("CanonicalModel",),
    ),
)

RULES: Final[tuple[BuiltInRule, ...]] = tuple(
    sorted((*COMMON_RULES, *GOVERNANCE_RULES, *EVENT_TO_INCIDENT_RULES), key=lambda rule: rule.id)
)
"""Rules that a Pattern may list, by id."""

BY_ID: Final[Mapping[str, BuiltInRule]] = {rule.id: rule for rule in (*RULES, *UNNUMBERED)}
