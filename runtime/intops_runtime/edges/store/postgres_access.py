"""Where a PostgreSQL store is and how to get in: read from the keys of the Secret that a Flow names.

Called at every new connection, so that a changed Secret needs no restart. No value is ever shown.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from intops_runtime.edges.store.base import StoreAway

# The second names are those of Secrets that CloudNativePG and others write.
_NAMES: Final = {
    "dsn": ("dsn", "uri"),
    "host": ("host",),
    "port": ("port",),
    "database": ("database", "dbname"),
    "user": ("user", "username"),
    "password": ("password",),
    "sslmode": ("sslmode",),
    "sslrootcert": ("sslrootcert", "ca.crt"),
    "pooler": ("pooler",),
}
_NEEDED: Final = ("host", "database", "user", "password")
SSL_MODES: Final = ("disable", "prefer", "require", "verify-ca", "verify-full")
DEFAULT_PORT: Final = 5432
CONNECT_TIMEOUT_S: Final = 3.0
COMMAND_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Access:
    """How to connect. `place` names server and database for people, without user and password."""

    place: str
    arguments: dict[str, Any]
    """Arguments of `asyncpg.connect`; hold the password."""


def access_from(secret_name: str, secret: Mapping[str, str] | None) -> Access:
    """The way in that a Secret describes: `dsn`, or `host`, `port`, `database`, `user`, `password`.

    Raises:
        StoreAway: the Secret is missing or incomplete; says which key to write.
    """
    given = {
        name: next((secret[key] for key in keys if secret.get(key)), None) if secret else None
        for name, keys in _NAMES.items()
    }
    if not any(given.values()):
        raise StoreAway(
            f'Secret "{secret_name}" is missing or empty, so the store of this Flow cannot be reached; '
            "give it the key dsn, or host, port, database, user and password."
        )
    arguments: dict[str, Any] = {
        "timeout": CONNECT_TIMEOUT_S,
        "command_timeout": COMMAND_TIMEOUT_S,
        "server_settings": {"application_name": "intops-worker"},
        # A pooler that changes servers between transactions may not know a statement's name.
        "statement_cache_size": 0 if given["pooler"] == "transaction" else 200,
        "target_session_attrs": "read-write",
    }
    encryption = _encryption(secret_name, given["sslmode"], given["sslrootcert"])
    if encryption is not None:
        arguments["ssl"] = encryption
    if given["dsn"]:
        return Access(_place_of(given["dsn"]), {"dsn": given["dsn"], **arguments})
    lacking = [name for name in _NEEDED if not given[name]]
    if lacking:
        raise StoreAway(
            f'Secret "{secret_name}" has no key {", ".join(lacking)}, so the store of this Flow cannot '
            "be reached; add it, or write the whole address as dsn."
        )
    port = _port(secret_name, given["port"])
    return Access(
        f"PostgreSQL {given['host']}:{port}/{given['database']}",
        {
            "host": [part.strip() for part in (given["host"] or "").split(",")],
            "port": port,
            "database": given["database"],
            "user": given["user"],
            "password": given["password"],
            **arguments,
        },
    )


def _port(secret_name: str, text: str | None) -> int:
    if text is None:
        return DEFAULT_PORT
    if not text.isdigit():
        raise StoreAway(
            f'Key port of Secret "{secret_name}" is not a number; write one such as 5432.'
        )
    return int(text)


def _encryption(
    secret_name: str, mode: str | None, certificate: str | None
) -> str | ssl.SSLContext | None:
    """What asyncpg takes as `ssl`; None leaves the choice to the address."""
    if mode is not None and mode not in SSL_MODES:
        raise StoreAway(
            f'Key sslmode of Secret "{secret_name}" is none that is known; write one of '
            f"{', '.join(SSL_MODES)}."
        )
    if certificate is None or mode == "disable":
        return mode
    try:
        context = ssl.create_default_context(cadata=certificate)
    except (ssl.SSLError, ValueError) as error:
        raise StoreAway(
            f'Key sslrootcert of Secret "{secret_name}" is no certificate; write it as PEM text.'
        ) from error
    context.check_hostname = mode != "verify-ca"
    return context


def _place_of(dsn: str) -> str:
    """Server and database of an address, without user, password and options."""
    try:
        parts = urlsplit(dsn)
    except ValueError:
        return "PostgreSQL"
    hosts = parts.netloc.rpartition("@")[2] or "?"
    return f"PostgreSQL {hosts}{parts.path}"
