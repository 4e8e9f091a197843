"""Runs a real Alertmanager that sends to one webhook receiver with short intervals.

Used by component, cluster and fault tests; alerts come from Prometheus or straight by its API.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import httpx

from support.peers.process import Peer, require_binary

REMEDY = (
    "Install it with: apt-get install --no-install-recommends prometheus-alertmanager "
    "(make setup does this where it may)."
)


class Alertmanager(Peer):
    """Alertmanager with one route to one receiver.

    Args:
        receiver_url: Where webhooks go.
        bearer_token: Sent as `Authorization: Bearer …`; excludes `basic_auth`.
        basic_auth: User and password; excludes `bearer_token`.
        group_by: Labels that make a group, and so a webhook.
        group_wait, group_interval, repeat_interval: Prometheus durations such as `1s`.
        bind, port: See `Peer`.
    """

    name: ClassVar[str] = "alertmanager"

    def __init__(
        self,
        receiver_url: str,
        *,
        bearer_token: str | None = None,
        basic_auth: tuple[str, str] | None = None,
        group_by: Sequence[str] = ("alertname", "cluster", "service"),
        group_wait: str = "1s",
        group_interval: str = "5s",
        repeat_interval: str = "4h",
        bind: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        if bearer_token is not None and basic_auth is not None:
            raise ValueError("Give bearer_token or basic_auth, not both.")
        self._binary = require_binary("prometheus-alertmanager", remedy=REMEDY)
        super().__init__(bind=bind, port=port)
        self.receiver_url = receiver_url
        self.bearer_token = bearer_token
        self.basic_auth = basic_auth
        self._started: dict[tuple[tuple[str, str], ...], str] = {}
        self._route = {
            "receiver": "intops",
            "group_by": list(group_by),
            "group_wait": group_wait,
            "group_interval": group_interval,
            "repeat_interval": repeat_interval,
        }

    def prepare(self) -> None:
        """Write the configuration; JSON is YAML."""
        hook: dict[str, Any] = {"url": self.receiver_url, "send_resolved": True}
        if self.bearer_token is not None:
            hook["http_config"] = {
                "authorization": {"type": "Bearer", "credentials": self.bearer_token}
            }
        if self.basic_auth is not None:
            user, password = self.basic_auth
            hook["http_config"] = {"basic_auth": {"username": user, "password": password}}
        config = {
            "route": self._route,
            "receivers": [{"name": "intops", "webhook_configs": [hook]}],
        }
        (self.workdir / "alertmanager.yml").write_text(json.dumps(config, indent=1))

    def command(self) -> list[str]:
        """Return the command line; the empty cluster address keeps it from gossiping."""
        return [
            self._binary,
            f"--config.file={self.workdir / 'alertmanager.yml'}",
            f"--storage.path={self.workdir / 'data'}",
            f"--web.listen-address={self.bind}:{self.port}",
            "--cluster.listen-address=",
        ]

    def is_ready(self) -> bool:
        """Say whether it is ready to take alerts."""
        return self.answers("/-/ready")

    def send_to(
        self,
        receiver_url: str,
        *,
        bearer_token: str | None = None,
        basic_auth: tuple[str, str] | None = None,
    ) -> None:
        """Change the receiver of the running server, without losing its alerts."""
        self.receiver_url = receiver_url
        self.bearer_token = bearer_token
        self.basic_auth = basic_auth
        self.prepare()
        httpx.post(f"{self.url}/-/reload", timeout=10.0).raise_for_status()

    def push(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        """Send alerts by API v2, as Prometheus would.

        Args:
            alerts: `{labels, annotations?, startsAt?, endsAt?, generatorURL?}`; an `endsAt` in the
                past resolves the alert, none lets it fire until `resolve_timeout` (5 minutes).
        """
        httpx.post(f"{self.url}/api/v2/alerts", json=list(alerts), timeout=10.0).raise_for_status()

    def fire(
        self, labels: Mapping[str, str], *, annotations: Mapping[str, str] | None = None
    ) -> None:
        """Let one alert fire for the next hour."""
        now = datetime.now(UTC)
        ends_at = now + timedelta(hours=1)
        # Without a start Alertmanager takes the end for it, and every push is another outbreak.
        started = self._started.setdefault(tuple(sorted(labels.items())), now.isoformat())
        self.push(
            [
                {
                    "labels": dict(labels),
                    "annotations": dict(annotations or {}),
                    "startsAt": started,
                    "endsAt": ends_at.isoformat(),
                }
            ]
        )

    def resolve(self, labels: Mapping[str, str]) -> None:
        """End the alert with these labels."""
        now = datetime.now(UTC).isoformat()
        started = self._started.pop(tuple(sorted(labels.items())), now)
        self.push([{"labels": dict(labels), "startsAt": started, "endsAt": now}])

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts it holds now, as `GET /api/v2/alerts` gives them."""
        answer = httpx.get(f"{self.url}/api/v2/alerts", timeout=10.0).raise_for_status()
        held: list[dict[str, Any]] = answer.json()
        return held
