"""The certificate that the admission endpoint shows, and what is said when something is wrong with it.

`certified` hands it every pair that it finds. A pair that no API server would take does not replace one that works.
"""

import ssl
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from intops_operator import metrics
from intops_operator.core.certificate import (
    Facts,
    Problem,
    Trouble,
    may_replace,
    troubles,
    unreadable,
)
from intops_operator.edges.certificate_files import FilesError, Pair, facts_of
from intops_operator.journal import Journal

journal = Journal("certificates")


class Presented:
    """One certificate at a time, exchanged while connections are open."""

    def __init__(self, hosts: Sequence[str], *, made_here: bool) -> None:
        """`hosts` must all be covered; `made_here` tells who can replace the certificate."""
        self._hosts = hosts
        self._made_here = made_here
        self._inner: ssl.SSLContext | None = None
        self._served: tuple[Pair, Facts] | None = None
        self._told: tuple[str, ...] = ()
        self._was_sound = False
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.sni_callback = self._choose

    @property
    def is_there(self) -> bool:
        """Whether there is a certificate to show."""
        return self._served is not None

    def missing(self) -> list[str]:
        """What has kept the endpoint from answering since the process began, in words.

        A certificate that went bad later takes no replica out of service: an API server that is shown it says
        what is wrong, one that finds nobody does not. What the leader makes it also mends, and the leader may be
        a replica that waits for this one to be ready.
        """
        if self._was_sound or (self._made_here and self.is_there):
            return []
        return list(self._told) or ["The admission endpoint has no certificate yet."]

    def offer(self, pair: Pair) -> None:
        """Show this pair from now on, unless it is worse than what is shown; tell what is wrong."""
        now = datetime.now(UTC)
        try:
            facts = facts_of(pair)
        except FilesError as error:
            self.fail(str(error))
            return
        found = self._judged(facts, now)
        served = None if self._served is None else self._judged(self._served[1], now)
        replaces = self._served is None or self._served[0] != pair
        if replaces and may_replace(found, served):
            self._show(pair, facts)
        self._was_sound = self._was_sound or not any(one.refuses for one in found)
        self._tell(found)

    def fail(self, why: str) -> None:
        """Tell that there is no pair to be read; what is shown stays."""
        self._tell((unreadable(why),))

    def _judged(self, facts: Facts, now: datetime) -> tuple[Trouble, ...]:
        return troubles(facts, self._hosts, now, made_here=self._made_here)

    def _show(self, pair: Pair, facts: Facts) -> None:
        # A context of its own: one that is loaded again keeps the old certificate beside a new one of another
        # kind of key, and may go on showing it.
        inner = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        inner.minimum_version = self.context.minimum_version
        # The standard library loads key pairs from files only.
        with tempfile.TemporaryDirectory(prefix="intops-") as folder:
            pem = Path(folder) / "serving.pem"
            pem.touch(mode=0o600)
            pem.write_text(f"{pair.certificate}\n{pair.key}")
            inner.load_cert_chain(pem)
        self._inner, self._served = inner, (pair, facts)
        metrics.CERTIFICATE_EXPIRES.set(facts.ends.timestamp())
        journal.info("certificate loaded", until=facts.ends.isoformat())

    def _choose(self, connection: Any, _name: str | None, _context: ssl.SSLContext) -> int | None:
        """Called at each handshake, whether or not the other side names a host."""
        if self._inner is None:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        connection.context = self._inner
        return None

    def _tell(self, found: Sequence[Trouble]) -> None:
        problems = {one.problem for one in found}
        for problem in Problem:
            metrics.CERTIFICATE_PROBLEM.labels(problem.value).set(problem in problems)
        sentences = tuple(one.sentence for one in found)
        if sentences == self._told:
            return
        for one in found:
            say = journal.error if one.refuses else journal.warning
            say("certificate", reason=one.problem.value, message=one.sentence)
        if self._told and not found:
            journal.info("certificate is sound again")
        self._told = sentences
