"""Prove that admission works: a wrong object is refused, the same corrected is taken, and none is stored.

`helm test` runs it in a pod of its own, with a right to create Connectors in one namespace and no other:

    python -m intops_operator.proof --namespace NAMESPACE [--kubeconfig FILE]
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import Any, Final

from intops_api import names
from intops_operator.edges.access import AccessError, find_access
from intops_operator.edges.cluster import Cluster, ClusterError

# The address at which clouds hand out credentials, in octal: the schema lets it through, the operator must not.
WRONG: Final = "http://0251.0376.0251.0376/latest"
CORRECTED: Final = "https://rt.example.com"
DENIED: Final = 'admission webhook "validate.intops.io" denied the request'


async def prove(cluster: Cluster, namespace: str) -> list[str]:
    """What does not work, in sentences; empty where all does."""
    problems = []
    answer = await _answer(cluster, namespace, WRONG)
    if answer is None:
        problems.append(
            f"A Connector with the endpoint {WRONG} was taken, but that is a metadata address: nobody asks "
            "the operator. See the ValidatingWebhookConfiguration and its namespaceSelector."
        )
    elif DENIED not in answer:
        problems.append(f"A wrong Connector was refused, but not by the operator: {answer}")
    else:
        print(f"Refused, as it should be: {answer}")
    answer = await _answer(cluster, namespace, CORRECTED)
    if answer is not None:
        problems.append(f"The same Connector with a right endpoint was refused: {answer}")
    else:
        print("Corrected, it is taken. Nothing was stored.")
    return problems


async def _answer(cluster: Cluster, namespace: str, endpoint: str) -> str | None:
    """Why a Connector with this endpoint is refused; None where it is taken."""
    try:
        await cluster.create(wrong_connector(namespace, endpoint), dry_run=True)
    except ClusterError as error:
        return error.message
    return None


def wrong_connector(namespace: str, endpoint: str = WRONG) -> dict[str, Any]:
    """A Connector that the schema lets through and admission refuses, or with another endpoint lets through."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": "Connector",
        "metadata": {"name": "intops-proof", "namespace": namespace},
        "spec": {
            "class": "request-tracker",
            "endpoint": endpoint,
            "credentials": {"secretName": "intops-proof"},
            "config": {"queue": "General"},
            "owner": {"team": "platform", "contact": "platform@example.com"},
        },
    }


async def _run(namespace: str, kubeconfig: str | None) -> list[str]:
    async with Cluster(find_access(kubeconfig)) as cluster:
        return await prove(cluster, namespace)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns its exit code: 1 if admission does not work, with sentences that say what."""
    options = argparse.ArgumentParser(prog="python -m intops_operator.proof")
    options.add_argument("--namespace", required=True, help="where objects are tried")
    options.add_argument("--kubeconfig", help="access to the cluster (default: the pod's own)")
    given = options.parse_args(arguments)
    try:
        problems = asyncio.run(_run(given.namespace, given.kubeconfig))
    except AccessError as error:
        problems = [str(error)]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
