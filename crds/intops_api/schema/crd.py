"""Build the CustomResourceDefinition of a kind.

Used by generate.py, which writes them, and by tests, which apply them.
"""

from typing import Any

from intops_api import names
from intops_api.kinds import Column, Kind
from intops_api.schema.checker import problems
from intops_api.schema.structural import Schema, SchemaError, structural

Manifest = dict[str, Any]

# The conditions that a new object shows until the operator has seen it, even while that is down.
_NEVER = "1970-01-01T00:00:00Z"


def crd(kind: Kind) -> Manifest:
    """The CustomResourceDefinition of one kind.

    Raises:
        SchemaError: the models of the kind cannot become a schema that the API server accepts.
    """
    schema = root_schema(kind)
    found = problems(schema)
    if found:
        raise SchemaError(f"{kind.name} cannot become a CRD:\n  " + "\n  ".join(found))
    version: Manifest = {
        "name": names.VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(column) for column in kind.columns],
        "schema": {"openAPIV3Schema": schema},
    }
    if kind.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in kind.selectable]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{names.GROUP}"},
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.singular,
                "shortNames": list(kind.short_names),
                "categories": [names.CATEGORY],
            },
            "versions": [version],
        },
    }


def root_schema(kind: Kind) -> Schema:
    """The schema of a whole object of a kind: spec, status and the rules over both."""
    status = structural(kind.status)
    status["default"] = {
        "conditions": [
            {
                "type": condition,
                "status": "Unknown",
                "reason": "Pending",
                "message": "Waiting for controller",
                "lastTransitionTime": _NEVER,
            }
            for condition in kind.default_conditions
        ]
    }
    root: Schema = {
        "type": "object",
        "description": kind.description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"Always {names.API_VERSION}."},
            "kind": {"type": "string", "description": f"Always {kind.name}."},
            # Declared only so that a rule can blame the name; nothing else may be said of it here.
            "metadata": {
                "type": "object",
                # 253: the longest name of any object, RFC 1123 subdomain.
                "properties": {"name": {"type": "string", "maxLength": 253}},
            },
            "spec": structural(kind.spec),
            "status": status,
        },
    }
    if kind.rules:
        root["x-kubernetes-validations"] = [
            {"rule": rule.rule, "message": rule.message}
            | ({"fieldPath": rule.field} if rule.field else {})
            for rule in kind.rules
        ]
    return root


def _column(column: Column) -> Manifest:
    made: Manifest = {"name": column.name, "type": column.type, "jsonPath": column.path}
    if column.description:
        made["description"] = column.description
    if column.wide:
        made["priority"] = 1
    return made
