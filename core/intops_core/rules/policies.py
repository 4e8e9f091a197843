"""What a policy for an error class may say: a strategy that class can have, and numbers that it uses.

Used by conformance for `spec.errors` of a Flow and `spec.errorPolicies` of a ConnectorClass.
"""

from collections.abc import Iterator, Mapping

from intops_api.flow import ErrorPolicy
from intops_core.error_classes import BY_NAME
from intops_core.findings import Breach

_NUMBERS = ("max_attempts", "base", "cap", "max_age")


def policy_breaches(policies: Mapping[str, ErrorPolicy], at: str) -> Iterator[Breach]:
    """Everything that is wrong with some policies by class name; unknown names are told elsewhere."""
    for name, policy in policies.items():
        known = BY_NAME.get(name)
        if known is None:
            continue
        if policy.strategy is not None and policy.strategy not in known.allowed:
            words = (
                f'After {name} nothing can be done by "{policy.strategy}", because messages would be lost or '
                f"the system hammered. Write {' or '.join(known.allowed)}."
            )
            yield Breach(f"{at}.{name}.strategy", words)
        elif not known.takes_numbers:
            for number in _NUMBERS:
                if getattr(policy, number) is not None:
                    field = ErrorPolicy.model_fields[number].alias or number
                    words = f"Nothing is tried again after {name}, so {field} would do nothing. Remove it."
                    yield Breach(f"{at}.{name}.{field}", words)
