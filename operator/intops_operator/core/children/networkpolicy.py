"""The NetworkPolicy: in only to the named ports, out only to DNS and where the plan says.

Called by `children.desired`. Host names are the worker's own guard: a policy knows addresses only.
"""

from intops_operator.core.children.worker import Crew, Manifest, metadata

LINK_LOCAL = "169.254.0.0/16"  # cloud metadata services hand out credentials here


def network_policy(crew: Crew) -> Manifest:
    """The manifest."""
    anywhere = [
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": [LINK_LOCAL]}},
        {"ipBlock": {"cidr": "::/0", "except": ["fe80::/10"]}},
    ]
    # By port alone: some networks match no pod by address, and NodeLocal DNSCache is link-local.
    egress: list[Manifest] = [
        {"ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]}
    ]
    if crew.ports:
        tcp = [{"protocol": "TCP", "port": port} for port in crew.ports]
        egress.append({"to": anywhere, "ports": tcp})
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(crew),
        "spec": {
            "podSelector": {"matchLabels": crew.selector},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"ports": [{"protocol": "TCP", "port": name} for name in ("capture", "operations")]}
            ],
            "egress": egress,
        },
    }
