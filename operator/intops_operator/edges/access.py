"""How to reach the API server and who we are there: the pod's service account, or a kubeconfig.

`__main__` reads it once; the cluster client and kopf's login use the same.
"""

import base64
import os
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ACCOUNT_DIR = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class AccessError(Exception):
    """There is no usable way to the API server; the message says what to give."""


@dataclass(frozen=True, slots=True)
class Access:
    """Address and credentials. PEM texts, never paths, so that both clients take the same."""

    server: str
    ca: str | None = None
    certificate: str | None = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)
    fixed_token: str | None = field(default=None, repr=False)
    token_file: Path | None = None

    def token(self) -> str | None:
        """The bearer token of this moment; kubelet replaces the file about every hour."""
        if self.token_file is None:
            return self.fixed_token
        return self.token_file.read_text().strip()

    def ssl_context(self) -> ssl.SSLContext | None:
        """A verifying context with our client certificate; None for plain HTTP."""
        if not self.server.startswith("https:"):
            return None
        context = ssl.create_default_context(cadata=self.ca)
        if self.certificate and self.key:
            # The standard library loads key pairs from files only.
            with tempfile.TemporaryDirectory(prefix="intops-") as folder:
                pem = Path(folder) / "client.pem"
                pem.touch(mode=0o600)
                pem.write_text(self.certificate + "\n" + self.key)
                context.load_cert_chain(pem)
        return context


def find_access(kubeconfig: str | None) -> Access:
    """The kubeconfig if one is named, else the pod's service account.

    Raises:
        AccessError: Neither is there, or the kubeconfig cannot be used.
    """
    if kubeconfig:
        return _from_kubeconfig(Path(kubeconfig))
    host = os.environ.get("KUBERNETES_SERVICE_HOST")
    if host and (ACCOUNT_DIR / "token").exists():
        port = os.environ.get("KUBERNETES_SERVICE_PORT_HTTPS", "443")
        shown = f"[{host}]" if ":" in host else host
        return Access(
            server=f"https://{shown}:{port}",
            ca=(ACCOUNT_DIR / "ca.crt").read_text(),
            token_file=ACCOUNT_DIR / "token",
        )
    raise AccessError(
        "This is not a pod and no kubeconfig was named; "
        "give --kubeconfig FILE or set KUBECONFIG to reach a cluster."
    )


def _from_kubeconfig(path: Path) -> Access:
    try:
        config = yaml.safe_load(path.read_text())
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config["users"], context["user"])["user"]
        server = str(cluster["server"])
    except (OSError, yaml.YAMLError, KeyError, TypeError) as cause:
        raise AccessError(
            f"The kubeconfig {path} cannot be used ({type(cause).__name__}: {cause}); "
            "give one whose current-context names a cluster and a user."
        ) from cause
    if "exec" in user or "auth-provider" in user:
        raise AccessError(
            f"The kubeconfig {path} logs in through a plugin, which the operator does not run; "
            "give one with a token or a client certificate."
        )
    token_file = user.get("tokenFile")
    return Access(
        server=server.rstrip("/"),
        ca=_pem(path, cluster, "certificate-authority"),
        certificate=_pem(path, user, "client-certificate"),
        key=_pem(path, user, "client-key"),
        fixed_token=user.get("token"),
        token_file=(path.parent / token_file) if token_file else None,
    )


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    for entry in entries:
        if entry["name"] == name:
            return entry
    raise KeyError(name)


def _pem(path: Path, section: dict[str, Any], key: str) -> str | None:
    inline = section.get(f"{key}-data")
    if inline:
        return base64.b64decode(inline).decode()
    file = section.get(key)
    return (path.parent / file).read_text() if file else None
