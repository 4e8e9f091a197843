"""How hard a system may be worked: what a Connector says, but never more than its class documents.

Planning writes it into the plan, the operator shows it in the Connector's status.
"""

from intops_api.connector import ConnectorLimits
from intops_api.connector_class import ClassLimits


def limits_in_use(own: ConnectorLimits | None, known: ClassLimits) -> ClassLimits:
    """The limits that hold for one Connector.

    >>> limits_in_use(ConnectorLimits(concurrency=99), ClassLimits(concurrency=4)).concurrency
    4
    """
    asked = own or ConnectorLimits()
    return known.model_copy(
        update={
            "requests_per_second": min(
                asked.requests_per_second or known.requests_per_second, known.requests_per_second
            ),
            "concurrency": min(asked.concurrency or known.concurrency, known.concurrency),
        }
    )
