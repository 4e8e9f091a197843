"""PromQL over the conditions of Flows, which only the leading operator shows.

A new leader judges every Flow anew, which takes seconds in which nothing is known. An alert must not begin anew by
that, so for two minutes what was known last stands in.
"""

from typing import Final

_BRIDGED: Final = "2m"
_SERIES: Final = "intops_operator_flow_condition"


def flow_condition(matchers: str) -> str:
    """Flows of which a condition is shown, or was until nothing was shown of the Flow; 1 by namespace and flow.

    Args:
        matchers: Labels of the condition, such as `type="Ready", status="False"`.
    """
    shown = f"{_SERIES}{{{matchers}}}"
    return (
        f"max by (namespace, flow) ({shown}) > 0"
        f" or max by (namespace, flow) (max_over_time({shown}[{_BRIDGED}])"
        f' unless on (namespace, flow) {_SERIES}{{type="Ready"}}) > 0'
    )
