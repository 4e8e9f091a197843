"""`intops top`: which Flows move most, where messages pile up, and what their workers take."""

import argparse
from datetime import UTC, datetime

from intops_api.kinds import FLOW
from intops_cli.estate import flow_line
from intops_cli.estate_sources import cluster_objects, local_run
from intops_cli.exits import OK
from intops_cli.installation import Crew
from intops_cli.output import say, show
from intops_cli.usage import ORDERS, Usage, top_lines, top_table, top_wire, usages
from intops_cli.whereabouts import cluster_of, in_cluster, where_arguments

HELP = "show which Flows move most, where messages pile up, and what their workers take"
EPILOG = """\
examples:
  intops top
  intops top -A --sort backlog
  intops top -A --sort memory --context production
  intops top -o json | jq '[.[].deliveredPerHour] | add'

Processor and memory are those of the pods, where the cluster has the metrics API (metrics-server).
Flows of one pool share a worker: each shows what the whole pool takes, and the name of the pool.
exit codes: 0 answered, 3 no worker runs here, or the cluster cannot be read"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument(
        "--sort", choices=tuple(ORDERS), default="delivered", help="what comes first"
    )
    where_arguments(parser, everywhere=True)


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    used: dict[Crew, Usage] = {}
    if in_cluster(given):
        from intops_cli.cluster_installation import read_usage  # noqa: PLC0415  takes a second

        cluster = cluster_of(given)
        flows = cluster_objects(cluster, FLOW)
        pods, why_not = read_usage(cluster)
        used = usages(pods)
        say(why_not)
    else:
        flows = local_run(given).objects(FLOW)
    lines = top_lines(map(flow_line, flows), used, given.sort)
    table = top_table(lines, datetime.now(UTC), namespaces=given.everywhere)
    show(top_wire(lines), table, given.output)
    return OK
