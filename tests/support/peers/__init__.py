"""Real systems that tests talk to, started on free ports with folders of their own.

Each is a context manager: started and ready inside, stopped and removed after. A missing program
raises `MissingBinary` with the command that installs it, before anything is started.
"""

from support.peers.alertmanager import Alertmanager
from support.peers.capture import Received, WebhookCapture
from support.peers.desk import TicketDesk
from support.peers.postgresql import PostgreSQL, PostgresStandby
from support.peers.process import MissingBinary, Peer, PeerError, wait_until
from support.peers.prometheus import Prometheus
from support.peers.request_tracker import RequestTracker
from support.peers.roundup import Roundup

__all__ = [
    "Alertmanager",
    "MissingBinary",
    "Peer",
    "PeerError",
    "PostgreSQL",
    "PostgresStandby",
    "Prometheus",
    "Received",
    "RequestTracker",
    "Roundup",
    "TicketDesk",
    "WebhookCapture",
    "wait_until",
]
