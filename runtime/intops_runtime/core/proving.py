"""Proving: the headers that show a system who we are, made from a Secret as its class says.

Pure; the counterpart of `verifying`. Called when a request is sent; no expression, log or store sees the result.
"""

import base64
from collections.abc import Mapping

from intops_api.connector_class import Auth


class CredentialMissing(Exception):
    """The Secret lacks a key that the class's authentication needs."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def credential_headers(auth: Auth | None, secret: Mapping[str, str]) -> dict[str, str]:
    """Headers that prove who we are.

    Raises:
        CredentialMissing: a key is not in the Secret.
    """

    def value(key: str | None) -> str:
        found = secret.get(key or "")
        if not found:
            raise CredentialMissing(key or "")
        return found

    if auth is None or auth.scheme == "none":
        return {}
    if auth.optional and not any(
        secret.get(key) for key in (auth.key, auth.username_key, auth.password_key) if key
    ):
        return {}
    if auth.scheme == "basic":
        pair = f"{value(auth.username_key)}:{value(auth.password_key)}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    if auth.scheme == "bearer":
        return {"Authorization": "Bearer " + value(auth.key)}
    return {auth.header or "Authorization": auth.prefix + value(auth.key)}
