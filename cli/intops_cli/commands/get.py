"""`intops get KIND`: the table of `kubectl get`, for a worker that `intops run` started or for a cluster."""

import argparse
from typing import Any

from intops_api.kinds import KINDS, Kind
from intops_cli.columns import object_table
from intops_cli.estate_sources import local_run
from intops_cli.exits import OK, REFUSED, UNAVAILABLE
from intops_cli.output import say, show
from intops_cli.whereabouts import cluster_of, in_cluster, where_arguments
from intops_cli.worker_client import Refused

HELP = "show Flows, Connectors or Mappings, of a local run or of a cluster"
EPILOG = """\
examples:
  intops get flows
  intops get flow alerts-to-helpdesk -o yaml
  intops get connectors -o wide
  intops get flows -A --context production
  intops get patterns                        class-like kinds are in a cluster only

exit codes: 0 found, 1 nothing of that name, 3 no worker runs here, or the cluster cannot be read"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    plurals = ", ".join(sorted(kind.plural for kind in KINDS))
    parser.add_argument("kind", choices=sorted(_names()), metavar="KIND", help=plurals)
    parser.add_argument("name", nargs="?", help="only this one")
    where_arguments(parser, everywhere=True)


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    kind = _names()[given.kind]
    if in_cluster(given):
        try:
            objects, where = cluster_objects(given, kind)
        except Refused as refused:
            say(
                f"The {kind.plural} of the cluster cannot be read: {refused} It takes the kinds of intops, and "
                f"the right `list` on {kind.plural}; `intops doctor` says what is missing."
            )
            return UNAVAILABLE
    elif kind.namespaced and kind.name != "FlowAction":
        objects, where = _local_objects(given, kind)
    else:
        say(f"The {kind.plural} are in a cluster only; name one with --context or --kubeconfig.")
        return UNAVAILABLE
    if given.name is not None:
        objects = [found for found in objects if found["metadata"]["name"] == given.name]
        if not objects:
            say(f'There is no {kind.name} "{given.name}" in {where}.')
            return REFUSED
    single = given.name is not None and len(objects) == 1
    data = objects[0] if single else {"kind": f"{kind.name}List", "items": objects}
    table = object_table(kind, objects, namespaces=given.everywhere and kind.namespaced)
    show(data, table, given.output)
    return OK


def cluster_objects(given: argparse.Namespace, kind: Kind) -> tuple[list[dict[str, Any]], str]:
    """Objects of a cluster, and the words for where they are.

    Raises:
        Refused: they may not be read, or the cluster does not know the kind.
    """
    cluster = cluster_of(given)
    everywhere = given.everywhere or not kind.namespaced
    where = "the cluster" if everywhere else f'namespace "{cluster.namespace}"'
    return cluster.here(kind, given.name), where


def _local_objects(given: argparse.Namespace, kind: Kind) -> tuple[list[dict[str, Any]], str]:
    state = local_run(given)
    return state.objects(kind), state.folder


def _names() -> dict[str, Kind]:
    """Every name by which a kind may be asked for."""
    return {
        name: kind for kind in KINDS for name in (kind.plural, kind.singular, *kind.short_names)
    }
