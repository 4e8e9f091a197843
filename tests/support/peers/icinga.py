"""Runs a real Icinga 2 with the notification script and the configuration that intops ships for it.

Used by component tests. Checks are passive: a test says what they found.
"""

from __future__ import annotations

import getpass
import grp
import json
import os
import secrets
import ssl
import sys
from pathlib import Path
from typing import Any, ClassVar

import httpx

from support.certificates import new_authority
from support.peers.process import Peer, require_binary

REMEDY = (
    "Install it with: apt-get install --no-install-recommends icinga2-bin icinga2-common "
    "(make setup does this where it may)."
)
SHIPPED = Path(__file__).resolve().parents[3] / "docs" / "systems" / "icinga2"
HOST, SERVICE = "db01", "load"
OBJECTS = f"""\
const NodeName = "server"
const ZoneName = "server"
include <itl>
object Endpoint "server" {{ }}
object Zone "server" {{ endpoints = [ "server" ] }}
object CheckerComponent "checker" {{ }}
object NotificationComponent "notification" {{ }}
object Host "{HOST}" {{
  check_command = "dummy"; enable_active_checks = false; max_check_attempts = 2
  display_name = "Database 1"; address = "192.0.2.7"; vars.intops_environment = "production"
}}
object Service "{SERVICE}" {{
  host_name = "{HOST}"; check_command = "dummy"; enable_active_checks = false; max_check_attempts = 2
  display_name = "Load"; vars.intops_business_service = "payments"
}}
"""


class Icinga(Peer):
    """Icinga with one host, `db01`, and its service `load`; both go hard at the second bad check.

    Args:
        receiver_url: Where notifications go; may be changed until it is started.
        token: Sent with them.
        bind, port: See `Peer`.
    """

    name: ClassVar[str] = "icinga2"

    def __init__(
        self, receiver_url: str, *, token: str, bind: str = "127.0.0.1", port: int = 0
    ) -> None:
        self._binary = require_binary("icinga2", remedy=REMEDY)
        super().__init__(bind=bind, port=port)
        self.user = "intops"
        self.password = secrets.token_hex(16)
        self.receiver_url = receiver_url
        self._token_file = self.workdir / "token"
        self._token_file.write_text(token, encoding="utf-8")
        authority = new_authority()
        self.ca = authority.pem
        certificate, private = authority.pair(bind, with_rsa=True)
        folder = self.workdir / "data" / "certs"
        folder.mkdir(parents=True)
        for file, text in (
            ("ca.crt", self.ca),
            ("server.crt", certificate),
            ("server.key", private),
        ):
            (folder / file).write_text(text, encoding="utf-8")
        self._client = httpx.Client(
            auth=(self.user, self.password),
            headers={"Accept": "application/json"},
            verify=ssl.create_default_context(cadata=self.ca),
            timeout=10.0,
        )

    @property
    def url(self) -> str:
        """The base address; it speaks TLS only."""
        return f"https://{self.bind}:{self.port}"

    def prepare(self) -> None:
        """Write the configuration: a host with a service, and what intops ships, with other addresses."""
        shipped = (SHIPPED / "intops.conf").read_text(encoding="utf-8")
        for line, ours in (
            (
                '"/etc/icinga2/scripts/notify-intops.py"',
                f'"{sys.executable}", "{SHIPPED / "notify-intops.py"}"',
            ),
            ("https://intops.example.com/in/itsm/icinga-to-helpdesk/icinga", self.receiver_url),
            ("/etc/icinga2/intops.token", str(self._token_file)),
            ("/var/lib/icinga2/intops", str(self.workdir / "memory")),
            ("change-me-to-32-random-characters", self.password),
        ):
            assert line in shipped, line
            shipped = shipped.replace(line, ours)
        listener = (
            f'object ApiListener "api" {{ bind_host = "{self.bind}"; bind_port = {self.port} }}\n'
        )
        # What a test says of its checks needs a right that intops itself does not have.
        more = shipped.replace(
            '"actions/acknowledge-problem" ]',
            '"actions/acknowledge-problem", "actions/*", "status/query" ]',
        )
        (self.workdir / "icinga2.conf").write_text(OBJECTS + listener + more, encoding="utf-8")
        for folder in ("log", "cache", "run"):
            (self.workdir / folder).mkdir(exist_ok=True)

    def command(self) -> list[str]:
        """Return the command line; everything is kept below the folder of this peer."""
        places = {"DataDir": "data", "LogDir": "log", "CacheDir": "cache", "InitRunDir": "run"}
        return [
            self._binary,
            "daemon",
            *(f"-D{name}={self.workdir / folder}" for name, folder in places.items()),
            "-c",
            str(self.workdir / "icinga2.conf"),
        ]

    def environment(self) -> dict[str, str]:
        """It stays the user that it is started by."""
        group = grp.getgrgid(os.getgid()).gr_name
        return {"ICINGA2_USER": getpass.getuser(), "ICINGA2_GROUP": group}

    def is_ready(self) -> bool:
        """Say whether its API answers."""
        try:
            return self._client.get(f"{self.url}/v1/status/IcingaApplication").status_code == 200
        except httpx.HTTPError:
            return False

    def act(self, action: str, **body: Any) -> httpx.Response:
        """Ask for an action of its API."""
        return self._client.post(f"{self.url}/v1/actions/{action}", content=json.dumps(body))

    def check(self, exit_status: int, output: str, *, of_host: bool = False) -> None:
        """Say twice what a check found, so that the state is hard."""
        subject = (
            {"type": "Host", "host": HOST}
            if of_host
            else {"type": "Service", "service": f"{HOST}!{SERVICE}"}
        )
        for _ in range(2):
            self.act(
                "process-check-result", exit_status=exit_status, plugin_output=output, **subject
            ).raise_for_status()

    def request(self, method: str, path: str, **rest: Any) -> httpx.Response:
        """Send any request with the credential of intops."""
        return self._client.request(method, f"{self.url}{path}", **rest)

    def close(self) -> None:
        """Stop it and forget everything."""
        self._client.close()
        super().close()
