"""A certificate authority of one cluster and what it signs, made with the openssl command.

The control plane calls this before its first start; tests use `Authority.issue` for users of
their own. openssl is on every machine that has TLS at all; a Python package would be one more
dependency for three calls.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from support.cluster.polling import HarnessError

VALID_DAYS = "3650"
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, both PEM files."""

    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs everything in one directory."""

    directory: Path

    @property
    def ca(self) -> Pair:
        """The authority's own pair."""
        return self._pair("ca")

    def ensure(self) -> None:
        """Make the authority unless it exists."""
        if self.ca.cert.exists():
            return
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        _openssl(
            "req", "-x509", *CURVE, "-subj", "/CN=intops-test-authority", "-days", VALID_DAYS,
            "-keyout", str(self.ca.key), "-out", str(self.ca.cert),
        )  # fmt: skip

    def issue(
        self, name: str, user: str, *, groups: Sequence[str] = (), hosts: Sequence[str] = ()
    ) -> Pair:
        """A pair for one user or server; the same one when it was issued before.

        Args:
            name: File name without suffix.
            user: Common name: what Kubernetes takes as the user's name.
            groups: Organisations: what Kubernetes takes as groups.
            hosts: `DNS:name` and `IP:address` entries for a server.
        """
        pair = self._pair(name)
        if pair.cert.exists():
            return pair
        request, extensions = (self.directory / f"{name}{end}" for end in (".csr", ".ext"))
        subject = "".join(f"/O={group}" for group in groups) + f"/CN={user}"
        _openssl("req", "-new", *CURVE, "-subj", subject, "-keyout", str(pair.key), "-out",
                 str(request))  # fmt: skip
        lines = ["basicConstraints=CA:FALSE", "extendedKeyUsage=clientAuth,serverAuth"]
        if hosts:
            lines.append("subjectAltName=" + ",".join(hosts))
        extensions.write_text("\n".join(lines) + "\n")
        _openssl(
            "x509", "-req", "-in", str(request), "-CA", str(self.ca.cert), "-CAkey",
            str(self.ca.key), "-CAcreateserial", "-days", VALID_DAYS, "-extfile",
            str(extensions), "-out", str(pair.cert),
        )  # fmt: skip
        return pair

    def key(self, name: str) -> Path:
        """A private key without a certificate, for service-account tokens."""
        path = self.directory / f"{name}.key"
        if not path.exists():
            # `ecparam`, not `genpkey`: the API server reads an EC key in SEC 1 form only.
            _openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", str(path))
        return path

    def _pair(self, name: str) -> Pair:
        return Pair(self.directory / f"{name}.crt", self.directory / f"{name}.key")


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HarnessError(f"openssl {arguments[0]} failed: {done.stderr.strip()[-400:]}")
