"""Runs a real Roundup tracker, whose manners are the opposite of Request Tracker's.

Used by component and cluster tests as a second ITSM: `If-Match` is mandatory, errors are real 4xx,
writes need headers against forged requests, and there is a real rate limiter.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import sys
from pathlib import Path
from typing import Any, ClassVar

import httpx

from support.peers.process import Peer, PeerError, require_binary, run_tool

REMEDY = "It is part of the development lock; make it with: make setup."
HOME_NAME = "tr"
ACCOUNT = "nobody"

# 1,000 is the least Roundup accepts; its default costs 0.2 s of CPU in each request.
PASSWORD_ROUNDS = 1000

ISSUE_CLASS = 'issue = IssueClass(db, "issue",\n'
OUR_PROPERTIES = """\
                intops_key=String(indexme="no"),
                intops_note=String(indexme="no"),
                service=String(indexme="no"),
                node=String(indexme="no"),
"""


class Roundup(Peer):
    """The tracker template `classic` with properties `intops_key`, `service` and `node` on issue.

    The tracker's data lives as long as the object; `stop()` and `start()` play an outage.

    Args:
        calls: API calls one user may make in `interval_s`; 0 switches the limiter off.
        interval_s: Seconds of that interval.
        bind, port: See `Peer`.
    """

    name: ClassVar[str] = "roundup"
    user: ClassVar[str] = "intops"

    def __init__(
        self, *, calls: int = 0, interval_s: int = 3600, bind: str = "127.0.0.1", port: int = 0
    ) -> None:
        here = str(Path(sys.executable).parent)
        self._admin = require_binary("roundup-admin", remedy=REMEDY, search=[here])
        self._server = require_binary("roundup-server", remedy=REMEDY, search=[here])
        super().__init__(bind=bind, port=port)
        self._calls, self._interval_s = calls, interval_s
        self.password = secrets.token_hex(18)
        self.admin_password = secrets.token_hex(18)

    @property
    def tracker_url(self) -> str:
        """The address of the tracker without a slash at its end: what a Connector names."""
        return f"{self.url}/{HOME_NAME}"

    @property
    def write_headers(self) -> dict[str, str]:
        """Headers of every write; without the first two it is refused."""
        return {
            "X-Requested-With": "rest",
            "Origin": self.url,
            "Referer": f"{self.tracker_url}/",
        }

    def prepare(self) -> None:
        """Make the tracker before the first start; write its address before every one."""
        if not self._home.exists():
            self._install()
        self._write_settings()
        if os.geteuid() == 0:
            self._hand_over()

    def command(self) -> list[str]:
        """Return the command line; Roundup refuses to run as root."""
        serve = [self._server, "-n", self.bind, "-p", str(self.port), f"{HOME_NAME}={self._home}"]
        if os.geteuid() != 0:
            return serve
        remedy = "Install it with: apt-get install util-linux."
        setpriv = require_binary("setpriv", remedy=remedy)
        gid = pwd.getpwnam(ACCOUNT).pw_gid
        return [setpriv, f"--reuid={ACCOUNT}", f"--regid={gid}", "--clear-groups", "--", *serve]

    def is_ready(self) -> bool:
        """Say whether REST answers; without credentials it knows the anonymous user only."""
        try:
            return httpx.get(f"{self.tracker_url}/rest/", timeout=5.0).status_code in (200, 403)
        except httpx.HTTPError:
            return False

    def set_rate_limit(self, *, calls: int, interval_s: int) -> None:
        """Change the limiter and restart; issues stay."""
        self._calls, self._interval_s = calls, interval_s
        self.restart()

    def client(self) -> httpx.Client:
        """Return a client logged in as `intops`, with those headers; close it after use."""
        return httpx.Client(
            base_url=f"{self.tracker_url}/rest/data",
            auth=(self.user, self.password),
            headers=self.write_headers,
            timeout=30.0,
        )

    def issues(self, **criteria: str) -> list[dict[str, Any]]:
        """Return all issues, or those whose properties match exactly, by id.

        Each is `{id, title, status, priority, intops_key, service, node, activity}` with an int
        id and names instead of references.
        """
        fields = "title,status,priority,intops_key,service,node,activity"
        params = {f"{name}:": value for name, value in criteria.items()}
        with self.client() as client:
            answer = client.get(
                "/issue",
                params={**params, "@fields": fields, "@verbose": "2", "@sort": "id"},
            ).raise_for_status()
            statuses = self._names(client, "status")
            priorities = self._names(client, "priority")
        return [
            {
                **{name: item.get(name) for name in fields.split(",")},
                "id": int(item["id"]),
                "status": statuses.get((item["status"] or {}).get("id", "")),
                "priority": priorities.get((item["priority"] or {}).get("id", "")),
            }
            for item in answer.json()["data"]["collection"]
        ]

    @property
    def _home(self) -> Path:
        return self.workdir / HOME_NAME

    def _names(self, client: httpx.Client, kind: str) -> dict[str, str]:
        answer = client.get(f"/{kind}", params={"@verbose": "2"}).raise_for_status()
        return {item["id"]: item["name"] for item in answer.json()["data"]["collection"]}

    def _install(self) -> None:
        self._run_admin("install", "classic", "sqlite")
        schema = self._home / "schema.py"
        text = schema.read_text()
        if ISSUE_CLASS not in text:
            raise PeerError(
                "Roundup's classic template has changed: its schema.py defines issue differently. "
                "Adapt ISSUE_CLASS in tests/support/peers/roundup.py."
            )
        schema.write_text(text.replace(ISSUE_CLASS, ISSUE_CLASS + OUR_PROPERTIES))
        self._write_settings()
        self._run_admin("initialise", self.admin_password)
        self._run_admin(
            "create",
            "user",
            f"username={self.user}",
            f"password={self.password}",
            "address=intops@example.com",
            "roles=User",
        )

    def _run_admin(self, *words: str) -> None:
        run_tool([self._admin, "-i", str(self._home), *words], cwd=self.workdir)

    def _write_settings(self) -> None:
        wanted = {
            "web": f"{self.tracker_url}/",
            "domain": "example.com",
            # Mail goes to a file, so that nothing needs a mail server.
            "debug": str(self._home / "mail.txt"),
            "password_pbkdf2_default_rounds": str(PASSWORD_ROUNDS),
            "api_calls_per_interval": str(self._calls),
            "api_interval_in_sec": str(self._interval_s),
        }
        path, section = self._home / "config.ini", ""
        lines: list[str] = []
        for line in path.read_text().splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            name = line.lstrip("#").partition("=")[0].strip()
            is_setting = "=" in line and not line.startswith("# ")
            if is_setting and section == "mail" and name == "host":
                lines.append("host = 127.0.0.1")
            elif is_setting and name in wanted and (name != "debug" or section == "mail"):
                lines.append(f"{name} = {wanted[name]}")
            else:
                lines.append(line)
        path.write_text("\n".join(lines) + "\n")

    def _hand_over(self) -> None:
        account = pwd.getpwnam(ACCOUNT)
        for folder in (Path(sys.prefix), *Path(sys.prefix).parents):
            if not folder.stat().st_mode & 0o001:
                raise PeerError(
                    f"Roundup refuses to run as root, and the account {ACCOUNT} may not read "
                    f"{folder}, where Python's packages are. Put .venv where others may read it, "
                    "or run the tests as a normal user."
                )
        self.workdir.chmod(0o755)
        for path in (self._home, *self._home.rglob("*")):
            shutil.chown(path, account.pw_uid, account.pw_gid)
