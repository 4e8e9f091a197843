"""Every metric of worker and operator, as it is called in PromQL.

The reference page is made from it, and alerts and dashboards are checked against it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.metrics import MetricWrapperBase

from intops_core.monitoring.promql import Series
from intops_operator import metrics as operator_metrics
from intops_runtime.metrics import METRICS


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric.

    Attributes:
        name: As it is called in PromQL; a histogram's parts have `_bucket`, `_sum` and `_count` behind it.
        kind: `counter`, `gauge` or `histogram`.
        labels: Names of its labels, without those that Prometheus adds.
        says: What it says.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    says: str


def of_worker() -> Iterator[Measure]:
    """What a worker shows."""
    for metric in METRICS:
        suffix = "_total" if metric.kind == "counter" else ""
        yield Measure(f"{metric.name}{suffix}", metric.kind, metric.labels, metric.says)


def of_operator() -> Iterator[Measure]:
    """What the operator shows."""
    for metric in vars(operator_metrics).values():
        if isinstance(metric, MetricWrapperBase):
            family = next(iter(metric.describe()))
            suffix = "_total" if family.type == "counter" else ""
            # The client library has no public name for the labels of a metric.
            labels = tuple(metric._labelnames)
            yield Measure(f"{family.name}{suffix}", family.type, labels, family.documentation)


def series() -> Series:
    """Every series that a scrape can bring, with its labels."""
    found: dict[str, frozenset[str]] = {}
    for measure in (*of_worker(), *of_operator()):
        labels = frozenset(measure.labels)
        if measure.kind == "histogram":
            found[f"{measure.name}_bucket"] = labels | {"le"}
            found[f"{measure.name}_sum"] = found[f"{measure.name}_count"] = labels
        else:
            found[measure.name] = labels
    return found
