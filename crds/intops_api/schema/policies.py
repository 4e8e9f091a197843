"""The policies that ask who the user is and what they may do: whose decision it is, which Secret and class they name.

A worker sends a Secret where a Connector says, so whoever may write Connectors could else have any Secret of the
namespace sent to a host of their own. The API server judges by its own authorizer: the operator needs no right
for it, and nothing waits for a server of ours. Used by generate.py, which writes them, and by tests.
"""

from collections.abc import Sequence
from typing import Any, Final

from intops_api import names
from intops_api.kinds import CONNECTOR, CONNECTOR_CLASS, FLOW, FLOW_ACTION, Kind
from intops_api.rules.flow_rules import APPROVED_TOO_EARLY, APPROVER_IS_ANOTHER

Manifest = dict[str, Any]

USE: Final = "use"
"""Verb on a ConnectorClass that whoever names it must have, in the namespace of the Connector."""

# What changes no spec names nothing anew: labels and finalizers are not asked about.
_SPEC_IS_NEW: Final = (
    "request.operation == 'CREATE' || object.metadata.generation != oldObject.metadata.generation"
)
_ASK: Final = (
    "ask its owner to apply this, or somebody who grants rights for the verb get on this Secret."
)


def rights_policies() -> list[Manifest]:
    """ValidatingAdmissionPolicies on Connectors and Flows, each followed by its binding."""
    connector = [
        _secret(
            "spec.credentials.secretName",
            "object.spec.?credentials.?secretName.orValue('')",
            "its values would be sent to spec.endpoint",
        ),
        _secret(
            "spec.tls.caSecretName",
            "object.spec.?tls.?caSecretName.orValue('')",
            "the worker would get it",
        ),
        _class(),
    ]
    flow = [
        _secret(
            "spec.runtime.store.postgres.secretName",
            "object.spec.?runtime.?store.?postgres.?secretName.orValue('')",
            "its messages would be kept in the database of somebody else",
        ),
        _secret(
            "spec.runtime.expose.ingress.tlsSecretName",
            "object.spec.?runtime.?expose.?ingress.?tlsSecretName.orValue('')",
            "its certificate would be shown under your host",
        ),
    ]
    new_specs = [{"name": "spec-is-new", "expression": _SPEC_IS_NEW}]
    return [*_policy(CONNECTOR, connector, new_specs), *_policy(FLOW, flow, new_specs)]


def flow_action_policy() -> list[Manifest]:
    """The ValidatingAdmissionPolicy on FlowActions and its binding.

    A CRD's own rules do not know who is asking; this one does, and needs no server of ours.
    """
    validations = [
        {
            "expression": (
                "request.operation != 'CREATE' || object.spec.actor == request.userInfo.username"
            ),
            "messageExpression": (
                "'spec.actor is ' + object.spec.actor + ', but you are ' + "
                "request.userInfo.username + '; a decision is made in nobody else\\'s "
                "name, so write your own user name.'"
            ),
            "reason": "Forbidden",
        },
        {
            "expression": "request.operation != 'CREATE' || !has(object.spec.approvedBy)",
            "message": APPROVED_TOO_EARLY,
            "reason": "Forbidden",
        },
        {
            "expression": (
                "request.operation != 'UPDATE' || !has(object.spec.approvedBy) || "
                "has(oldObject.spec.approvedBy) || "
                "object.spec.approvedBy == request.userInfo.username"
            ),
            "messageExpression": (
                "'spec.approvedBy is ' + object.spec.approvedBy + ', but you are ' + "
                "request.userInfo.username + '; a decision is approved in nobody else\\'s "
                "name, so write your own user name.'"
            ),
            "reason": "Forbidden",
        },
        {
            "expression": APPROVER_IS_ANOTHER.rule.replace("self.", "object.spec."),
            "message": APPROVER_IS_ANOTHER.message,
            "reason": "Forbidden",
        },
    ]
    return _policy(FLOW_ACTION, validations)


def _policy(
    kind: Kind, validations: list[Manifest], conditions: Sequence[Manifest] = ()
) -> list[Manifest]:
    name = f"{kind.plural}.{names.GROUP}"
    labels = {names.LABEL_NAME: "intops"}
    return [
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {
                    "resourceRules": [
                        {
                            "apiGroups": [names.GROUP],
                            "apiVersions": ["*"],
                            "operations": ["CREATE", "UPDATE"],
                            "resources": [kind.plural],
                        }
                    ]
                },
                **({"matchConditions": list(conditions)} if conditions else {}),
                "validations": validations,
            },
        },
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name, "labels": labels},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        },
    ]


def _secret(field: str, value: str, why: str) -> Manifest:
    return {
        "expression": (
            f"{value} == '' || authorizer.group('').resource('secrets')"
            f".namespace(request.namespace).name({value}).check('get').allowed()"
        ),
        "messageExpression": (
            f"'{field} is ' + {value} + ', a Secret that ' + request.userInfo.username + "
            f"' may not read, and {why}; {_ASK}'"
        ),
        "reason": "Forbidden",
    }


def _class() -> Manifest:
    return {
        "expression": (
            f"authorizer.group('{names.GROUP}').resource('{CONNECTOR_CLASS.plural}')"
            # In the namespace, so that a RoleBinding there can grant it.
            f".namespace(request.namespace).name(object.spec.class).check('{USE}').allowed()"
        ),
        "messageExpression": (
            f"'spec.class is ' + object.spec.class + ', which ' + request.userInfo.username + "
            f"' may not use; name another class, or ask somebody who grants rights for the verb {USE} on "
            "this ConnectorClass.'"
        ),
        "reason": "Forbidden",
    }
