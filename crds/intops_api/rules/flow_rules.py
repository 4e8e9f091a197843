"""What a Flow and a FlowAction can be judged by alone.

Read by this package and by the policy on FlowActions; by conformance what stands in that policy only.
"""

from collections.abc import Mapping
from typing import Final, get_args

from pydantic import BaseModel

from intops_api.connector_class import ErrorClassName
from intops_api.flow import FlowSpec, Replicas, Runtime, Store
from intops_api.flow_action import FlowActionSpec
from intops_api.rules.rule import CelRule, immutable, unique

# 56: a Flow's children are called intops-NAME, and 63 is the longest DNS label (RFC 1035).
FLOW_ROOT: Final = (
    CelRule(
        "self.metadata.name.size() <= 56 && !self.metadata.name.contains('.')",
        "A Flow's worker, Service and volume are all called intops-NAME, which must be a DNS label; "
        "choose a name of at most 56 characters without dots.",
        ".metadata.name",
    ),
)

_STORE_KIND: Final = (
    "(has({0}.runtime) && has({0}.runtime.store) && has({0}.runtime.store.postgres))"
)
_POOL: Final = "(has({0}.runtime) && has({0}.runtime.pool) ? {0}.runtime.pool : '')"
_CHANGES_STORE: Final = f"{_STORE_KIND.format('self')} != {_STORE_KIND.format('oldSelf')}"

_FLOW: Final = (
    CelRule(
        immutable("pattern"),
        "The pattern of a Flow cannot be changed, because its messages are under way in that pattern's "
        "engine; make a new Flow with the other pattern and delete this one when it is empty.",
        ".pattern",
    ),
    CelRule(
        unique("routes"),
        "Two routes have the same name, so nobody could tell from a trace which one was taken; "
        "give each route a name of its own.",
        ".routes",
    ),
    CelRule(
        unique("exceptions", "rule"),
        "Two exceptions are from the same rule, so nobody could tell which day is the last; "
        "keep the one that was approved last.",
        ".exceptions",
    ),
    CelRule(
        "!has(self.routes) || self.routes.size() == 0 || "
        "!has(self.routes[self.routes.size() - 1].when) || "
        "self.routes[self.routes.size() - 1].when == 'true'",
        "The last route has a condition, so a message that no route matches would go nowhere; "
        "add a last route without when.",
        ".routes",
    ),
    CelRule(
        "!has(self.routes) || self.routes.filter(r, !has(r.when) || r.when == 'true').size() <= 1",
        "More than one route matches every message, so the routes after the first of them are never "
        "taken; write when on every route but the last.",
        ".routes",
    ),
    CelRule(
        "!has(self.routes) || self.routes.all(r, !has(r.target) || ('target' in self.roles && "
        "self.roles['target'].exists(b, b.name == r.target)))",
        "A route names a target that is not bound, so its messages could not be delivered; "
        "write the name of a binding of spec.roles.target, or leave target out.",
        ".routes",
    ),
    CelRule(
        "[has(self.episodes), has(self.reconciliation), has(self.run)].filter(there, there).size() <= 1",
        "There are settings of more than one engine, but a Flow has the one engine of its pattern; "
        "keep only that engine's settings: episodes, reconciliation or run.",
    ),
    CelRule(
        "!has(self.errors) || self.errors.all(name, name in ["
        + ", ".join(f"'{name}'" for name in get_args(ErrorClassName))
        + "])",
        "spec.errors names an error class that does not exist, so its policy would never apply; "
        "write one of " + ", ".join(get_args(ErrorClassName)) + ".",
        ".errors",
    ),
    CelRule(
        f"{_POOL.format('self')} == {_POOL.format('oldSelf')} || "
        "(has(oldSelf.suspend) && oldSelf.suspend)",
        "A running Flow cannot move to another pool, because its messages would stay behind; "
        "set suspend to true, apply, then change runtime.pool.",
        ".runtime",
    ),
    CelRule(
        f"!({_CHANGES_STORE}) || (has(oldSelf.suspend) && oldSelf.suspend)",
        "A running Flow cannot change between an embedded store and PostgreSQL, because its messages would stay "
        "behind; set suspend to true, apply, and change runtime.store when nothing is left in it.",
        ".runtime",
    ),
    CelRule(
        f"!({_CHANGES_STORE}) || {_POOL.format('self')} == {_POOL.format('oldSelf')}",
        "runtime.pool and the kind of runtime.store change at once, so the old worker could not be asked what is "
        "left; change the one, wait until the Flow is Programmed, then the other.",
        ".runtime",
    ),
)

_RUNTIME: Final = (
    CelRule(
        "!has(self.replicas) || !has(self.replicas.max) || self.replicas.max <= 1 || "
        "(has(self.store) && has(self.store.postgres))",
        "An embedded store belongs to one worker, so more than one replica would not see the same "
        "messages; write store.postgres, or replicas.max 1.",
        ".replicas",
    ),
    CelRule(
        "!has(self.pool) || !(has(self.store) && has(self.store.postgres))",
        "The Flows of a pool keep their messages in files of the pool's own volume, so this one's database would "
        "never be used; leave store.postgres out, or pool.",
        ".pool",
    ),
    CelRule(
        "!has(self.pool) || self.pool.size() <= 40",
        "A pool's worker and volume are called intopspool-NAME, which must leave room in a DNS label; "
        "choose a name of at most 40 characters.",
        ".pool",
    ),
)

_REPLICAS: Final = (
    CelRule(
        "!has(self.min) || !has(self.max) || self.min <= self.max",
        "replicas.min is above replicas.max, so no number of workers would do; "
        "write a max that is at least min.",
        ".min",
    ),
)

_STORE: Final = (
    CelRule(
        "!(has(self.embedded) && has(self.postgres))",
        "A Flow keeps its messages in one store, but both embedded and postgres are given; "
        "keep one of them.",
    ),
)

# The worker refuses these addresses whatever name leads there; here the plain cases get a sentence.
_METADATA_HOSTS: Final = (
    r"169\\.254\\.|100\\.100\\.100\\.200|168\\.63\\.129\\.16|192\\.0\\.0\\.192|metadata([.:/]|$)|"
    r"[0-9]+([:/]|$)|0x[0-9a-f.x]+([:/]|$)|\\[fe[89ab]|\\[fd00:ec2:|\\[::ffff:"
)

# No rule of the CRD, which is not told whether an object is being made.
APPROVED_TOO_EARLY: Final = (
    "approvedBy is set, but nobody can have approved a decision that is only now being made; "
    "leave it out, and let another person write it."
)

APPROVER_IS_ANOTHER: Final = CelRule(
    "!has(self.approvedBy) || self.approvedBy != self.actor",
    "approvedBy is the actor, but a second pair of eyes is somebody else's; "
    "let another person approve, or leave approvedBy out.",
    ".approvedBy",
)

_FLOW_ACTION: Final = (
    CelRule(
        " && ".join(immutable(f) for f in ("flow", "action", "select", "reason", "actor"))
        + " && has(self.patch) == has(oldSelf.patch) && (!has(self.patch) || self.patch == oldSelf.patch)"
        + " && (!has(oldSelf.approvedBy) || (has(self.approvedBy) && self.approvedBy == oldSelf.approvedBy))",
        "A decision cannot be changed once it is made, because the worker may have applied it; "
        "create a new FlowAction. Only an approval can be added.",
    ),
    CelRule(
        "(self.action == 'edit') == (has(self.patch) && self.patch.size() > 0)",
        "edit corrects fields and is the only action that does; write patch with at least one path "
        "and value for edit, and no patch otherwise.",
        ".action",
    ),
    CelRule(
        "(has(self.select.messages) && self.select.messages.size() > 0) || "
        "has(self.select.fingerprint) || "
        "(has(self.select.allInReview) && self.select.allInReview)",
        "select names no message, so nothing would happen; "
        "write messages, fingerprint or allInReview: true.",
        ".select",
    ),
    APPROVER_IS_ANOTHER,
)

RULES: Final[Mapping[type[BaseModel], tuple[CelRule, ...]]] = {
    FlowSpec: _FLOW,
    Runtime: _RUNTIME,
    Replicas: _REPLICAS,
    Store: _STORE,
    FlowActionSpec: _FLOW_ACTION,
}
