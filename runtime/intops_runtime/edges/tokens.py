"""Access tokens of one system: fetched once for all who need one, renewed before they run out.

Used by the target where the class's authentication is OAuth 2 (RFC 6749). A token lives in memory only;
after a restart a new one is fetched. It is shown to the system and to nobody else.
"""

import asyncio
import base64
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

from intops_api.connector_class import OAuth2
from intops_runtime.core.classifying import Failure, of_transport, pause_s
from intops_runtime.core.exchanges import HttpRequest, HttpResponse
from intops_runtime.core.hiding import quotable, without
from intops_runtime.core.proving import CredentialMissing
from intops_runtime.edges.clock import utc_now
from intops_runtime.edges.outbound import Outbound, TransportError

# Domain reference 3.1, class 4: renewed at 80 % of its life, so that no request meets its end.
RENEW_AT: Final = 0.8
# Where the server does not say how long a token lives.
UNTOLD_LIFE_S: Final = 300.0
TIMEOUT_S: Final = 10.0
# After a failed renewal the token in hand is used on, and the server is asked again after this time.
ASK_AGAIN_S: Final = 10.0

Secret = Callable[[], Mapping[str, str] | None]


@dataclass(frozen=True, slots=True)
class Token:
    """One access token. Times are monotonic seconds."""

    value: str
    renew_at: float
    ends_at: float

    def headers(self) -> dict[str, str]:
        """What proves us with it."""
        return {"Authorization": f"Bearer {self.value}"}


class TokenSource:
    """Fetches the tokens of one target."""

    def __init__(self, how: OAuth2, outbound: Callable[[], Outbound], secret: Secret) -> None:
        self._how = how
        self._outbound = outbound
        self._secret = secret
        self._token: Token | None = None
        self._rotated: tuple[str, str] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def token(self, url: str) -> Token | Failure:
        """A token that may be shown now; fetched from `url` where there is none or it is due.

        Raises:
            CredentialMissing: a key is not in the Secret.
        """
        known = self._token
        if known is not None and time.monotonic() < known.renew_at:
            return known
        async with self._one_at_a_time:
            if self._token is not known and self._token is not None:
                return self._token  # somebody has fetched it meanwhile
            fetched = await self._fetch(url)
            now = time.monotonic()
            if isinstance(fetched, Token):
                self._token = fetched
            elif known is not None and now < known.ends_at and fetched.error_class != "authDenied":
                self._token = Token(known.value, now + ASK_AGAIN_S, known.ends_at)
                return self._token
            return fetched

    def refused(self, token: Token) -> None:
        """The system did not take this token: the next who asks fetches another."""
        if self._token is not None and self._token.value == token.value:
            self._token = None

    def forget(self) -> None:
        """The Secret has changed."""
        self._token = self._rotated = None

    async def _fetch(self, url: str) -> Token | Failure:
        request, credential = self._request(url)
        try:
            response = await self._outbound().send(request, credential)
        except TransportError as error:
            failure = of_transport(error.kind, f"token endpoint: {error.message}")
            # Whatever became of this one, the request that needs the token was never sent.
            return replace(failure, effect_unknown=False)
        secrets = quotable(self._how, self._secret() or {}, credential)
        if self._rotated is not None:
            secrets.append(self._rotated[1])
        return self._judged(response, secrets)

    def _request(self, url: str) -> tuple[HttpRequest, dict[str, str]]:
        secret, how = self._secret() or {}, self._how

        def value(key: str | None) -> str:
            found = secret.get(key or "")
            if not found:
                raise CredentialMissing(key or "")
            return found

        form: dict[str, str] = {}
        match how.grant:
            case "clientCredentials":
                form["grant_type"] = "client_credentials"
            case "refreshToken":
                given = value(how.refresh_token_key)
                rotated = self._rotated
                known = rotated[1] if rotated is not None and rotated[0] == given else given
                form |= {"grant_type": "refresh_token", "refresh_token": known}
            case "password":
                form |= {
                    "grant_type": "password",
                    "username": value(how.username_key),
                    "password": value(how.password_key),
                }
        if how.scope:
            form["scope"] = how.scope
        client, proof = value(how.client_id_key), value(how.client_secret_key)
        credential: dict[str, str] = {}
        if how.client_auth == "basic":
            pair = f"{quote_plus(client)}:{quote_plus(proof)}"  # RFC 6749, 2.3.1
            credential["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        else:
            form |= {"client_id": client, "client_secret": proof}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return HttpRequest("POST", url, headers, urlencode(form).encode(), TIMEOUT_S), credential

    def _judged(self, response: HttpResponse, secrets: list[str]) -> Token | Failure:
        body: Mapping[str, Any] = response.body if isinstance(response.body, dict) else {}
        value = body.get("access_token")
        if response.status == 200 and isinstance(value, str) and value:
            self._remember_rotated(body.get("refresh_token"))
            life_s = UNTOLD_LIFE_S
            with contextlib.suppress(TypeError, ValueError):
                life_s = max(float(body.get("expires_in") or UNTOLD_LIFE_S), 1.0)
            now = time.monotonic()
            return Token(value, now + RENEW_AT * life_s, now + life_s)
        said = body.get("error")
        # The error code is one of a closed list (RFC 6749, 5.2); anything longer is not shown.
        words = f"token endpoint: HTTP {response.status}" + (
            f" {without(said, secrets)}" if isinstance(said, str) and len(said) <= 40 else ""
        )
        if response.status == 429 or (
            response.status == 503 and pause_s(response.headers, now=utc_now()) is not None
        ):
            wait = pause_s(response.headers, now=utc_now())
            return Failure(
                "rateLimited", words, "oauth2", retry_after_s=wait, status=response.status
            )
        if response.status >= 500:
            return Failure("transientNetwork", words, "oauth2", status=response.status)
        return Failure("authDenied", words, "oauth2", status=response.status)

    def _remember_rotated(self, refresh_token: object) -> None:
        given = (self._secret() or {}).get(self._how.refresh_token_key or "")
        if self._how.grant == "refreshToken" and given and isinstance(refresh_token, str):
            self._rotated = (given, refresh_token)
