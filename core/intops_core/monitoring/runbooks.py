"""The page of runbooks: one section for each alert, so that no alert leads nowhere."""

from collections.abc import Iterable, Iterator

from intops_core.monitoring.alert import Alert, AlertGroup


def runbooks_page(groups: Iterable[AlertGroup]) -> str:
    """The runbooks of all alerts as one page of Markdown, without its first line."""
    groups = tuple(groups)
    parts = [
        "# Runbooks",
        (
            "What to do when an alert of intops fires. How alerts get into your Prometheus stands in "
            "[monitoring.md](monitoring.md). In the commands, NAMESPACE and FLOW are the labels of the alert, and "
            "CONTEXT is the cluster's name in your kubeconfig. For pods and volumes of a Flow in a [pool](pools.md) "
            "write `intops.io/pool=POOL` instead of `intops.io/flow=FLOW`. Alerts about the operator name its own "
            "namespace. `intops explain alert NAME` shows one section in a terminal."
        ),
        _contents(groups),
    ]
    for group in groups:
        parts.append(f"## {group.title}")
        for alert in group.alerts:
            parts += _section(alert)
    return "\n\n".join(parts) + "\n"


def _contents(groups: Iterable[AlertGroup]) -> str:
    rows = [
        f"| [{alert.name}](#{alert.anchor}) | {alert.severity} | {_after(alert)} |"
        for group in groups
        for alert in group.alerts
    ]
    return "\n".join(["| Alert | Severity | Fires after |", "| --- | --- | --- |", *rows])


def _after(alert: Alert) -> str:
    return "at once" if alert.holds_for.startswith("0") else alert.holds_for


def _section(alert: Alert) -> Iterator[str]:
    yield f"### {alert.name}"
    yield f"**What it means.** {alert.means}"
    yield f"**What users notice.** {alert.noticed}"
    yield "**What to look at.**"
    yield "```sh\n" + "\n".join(alert.look) + "\n```"
    yield "**What to do.**"
    yield "\n".join(f"{number}. {step}" for number, step in enumerate(alert.act, start=1))
    yield f"The rule:\n\n```promql\n{alert.expression}\n```"
