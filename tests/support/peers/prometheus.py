"""Runs a real Prometheus whose one alerting rule a test switches on and off.

Used by component and cluster tests, with an `Alertmanager` behind it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import httpx

from support.peers.process import Peer, PeerError, require_binary

REMEDY = (
    "Install it with: apt-get install --no-install-recommends prometheus "
    "(make setup does this where it may)."
)

ALWAYS = "vector(1)"
NEVER = "vector(0) > 1"

DEFAULT_LABELS = {"severity": "critical", "service": "payments", "cluster": "ci"}
DEFAULT_ANNOTATIONS = {"summary": "Payments do not answer"}


class Prometheus(Peer):
    """Prometheus that evaluates every second and re-sends alerts every second.

    The short resend delay matters: an alert that fires before Alertmanager was discovered is
    otherwise lost for a minute.

    Args:
        alertmanager_url: Base address of the Alertmanager; None where no alert is to leave.
        scrape: Job → addresses `HOST:PORT` whose /metrics it reads, with their own labels kept.
        rule_files: Files of rules beside those of `write_rules`.
        bind, port: See `Peer`.
    """

    name: ClassVar[str] = "prometheus"

    def __init__(
        self,
        alertmanager_url: str | None,
        *,
        scrape: Mapping[str, Sequence[str]] | None = None,
        rule_files: Sequence[Path] = (),
        bind: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._binary = require_binary("prometheus", remedy=REMEDY)
        super().__init__(bind=bind, port=port)
        self._alertmanagers = (
            [alertmanager_url.removeprefix("http://").rstrip("/")] if alertmanager_url else []
        )
        self._scrape = dict(scrape or {})
        self._rule_files = [str(file) for file in rule_files]
        self._rules: list[dict[str, Any]] = []

    def prepare(self) -> None:
        """Write configuration and rules; JSON is YAML."""
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(self._rule_file), *self._rule_files],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": self._alertmanagers}]}]},
            "scrape_configs": [
                {
                    "job_name": job,
                    "honor_labels": True,
                    "static_configs": [{"targets": list(targets)}],
                }
                for job, targets in self._scrape.items()
            ],
        }
        (self.workdir / "prometheus.yml").write_text(json.dumps(config, indent=1))
        self._save_rules()

    def command(self) -> list[str]:
        """Return the command line."""
        return [
            self._binary,
            f"--config.file={self.workdir / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.workdir / 'data'}",
            f"--web.listen-address={self.bind}:{self.port}",
            "--web.enable-lifecycle",
            "--rules.alert.resend-delay=1s",
        ]

    def is_ready(self) -> bool:
        """Say whether it evaluates rules."""
        return self.answers("/-/ready")

    def write_rules(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """Replace all rules, `{alert, expr, labels?, annotations?, for?}`, and load them."""
        self._rules = [dict(rule) for rule in rules]
        self._save_rules()
        if self.is_running:
            httpx.post(f"{self.url}/-/reload", timeout=10.0).raise_for_status()

    def set_rule(
        self,
        firing: bool,
        *,
        alert: str = "PaymentsDown",
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """Let one alert fire, or recover, at the next evaluation; other rules stay.

        Args:
            firing: Whether its expression is true.
            alert: Name of the alert; a rule of that name is replaced.
            labels, annotations: Of the alert; must be the same at recovery.
        """
        rule = {
            "alert": alert,
            "expr": ALWAYS if firing else NEVER,
            "labels": dict(DEFAULT_LABELS if labels is None else labels),
            "annotations": dict(DEFAULT_ANNOTATIONS if annotations is None else annotations),
        }
        self.write_rules([*(r for r in self._rules if r["alert"] != alert), rule])

    def alerts(self) -> list[dict[str, Any]]:
        """Return the active alerts, as `GET /api/v1/alerts` gives them."""
        answer = httpx.get(f"{self.url}/api/v1/alerts", timeout=10.0).raise_for_status()
        active: list[dict[str, Any]] = answer.json()["data"]["alerts"]
        return active

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Evaluate PromQL now and return the series, `{metric, value}`.

        Raises:
            PeerError: It cannot be evaluated; carries what Prometheus says.
        """
        answer = httpx.get(
            f"{self.url}/api/v1/query", params={"query": expression}, timeout=10.0
        ).json()
        if answer["status"] != "success":
            raise PeerError(f"{expression}: {answer['error']}")
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    @property
    def _rule_file(self) -> str:
        return str(self.workdir / "rules.yml")

    def _save_rules(self) -> None:
        groups = [{"name": "intops", "rules": self._rules}] if self._rules else []
        with open(self._rule_file, "w", encoding="utf-8") as out:
            json.dump({"groups": groups}, out, indent=1)
