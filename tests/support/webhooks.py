"""The chart's webhooks for tests that have an API server but no node.

Used by tests/cluster: there no pod of the chart can run, so the operator is a process beside it and the API
server is told its address.
"""

from __future__ import annotations

from support.chart import Manifest, of_kind, render


def webhook(name: str, port: int, space: str) -> Manifest:
    """The chart's ValidatingWebhookConfiguration, with an address instead of a Service.

    Args:
        name: Of the configuration, which the operator is told by a flag.
        port: Where the operator's admission endpoint listens on loopback.
        space: The one namespace whose objects are judged; cluster-scoped ones are judged always.
    """
    (made,) = of_kind(render(watchNamespaces=[space]), "ValidatingWebhookConfiguration")
    made["metadata"]["name"] = name
    for hook in made["webhooks"]:
        path = hook["clientConfig"].pop("service")["path"]
        hook["clientConfig"]["url"] = f"https://127.0.0.1:{port}{path}"
    return made
