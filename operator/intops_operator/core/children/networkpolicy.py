"""The NetworkPolicy: in only to the named ports, out only to DNS and where the plan says.

Called by `children.desired`. Host names are the worker's own guard: a policy knows addresses only.
"""

from urllib.parse import urlsplit

from intops_operator.core.children.worker import Manifest, Worker, metadata, selector

LINK_LOCAL = "169.254.0.0/16"  # cloud metadata services hand out credentials here
DEFAULT_PORTS = {"http": 80, "https": 443}
POSTGRES_PORT = 5432


def network_policy(worker: Worker) -> Manifest:
    """The manifest."""
    anywhere = [
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": [LINK_LOCAL]}},
        {"ipBlock": {"cidr": "::/0", "except": ["fe80::/10"]}},
    ]
    # By port alone: some networks match no pod by address, and NodeLocal DNSCache is link-local.
    egress: list[Manifest] = [
        {"ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]}
    ]
    ports = egress_ports(worker)
    if ports:
        tcp = [{"protocol": "TCP", "port": port} for port in ports]
        egress.append({"to": anywhere, "ports": tcp})
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(worker),
        "spec": {
            "podSelector": {"matchLabels": selector(worker.flow)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"ports": [{"protocol": "TCP", "port": name} for name in ("capture", "operations")]}
            ],
            "egress": egress,
        },
    }


def egress_ports(worker: Worker) -> list[int]:
    """Ports of all endpoints of the plan, and of the database where there is one."""
    found = set()
    for binding in worker.plan.bindings:
        if binding.endpoint:
            address = urlsplit(binding.endpoint)
            found.add(address.port or DEFAULT_PORTS.get(address.scheme, 443))
    if worker.plan.store.postgres is not None:
        found.add(POSTGRES_PORT)
    return sorted(found)
