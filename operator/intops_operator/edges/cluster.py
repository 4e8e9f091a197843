"""A thin client of the API server: dicts in, dicts out, server-side apply.

Every edge and the reconciler use it. Dicts, because typed clients drop fields that they do not
know, and cost three times the CPU.
"""

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp

from intops_api import names
from intops_operator import metrics
from intops_operator.edges.access import Access
from intops_operator.edges.apiserver import ENDPOINTS
from intops_operator.journal import Journal

journal = Journal("cluster")

Manifest = dict[str, Any]

PAGE = 500  # objects a page: bounds memory while listing 10,000
TRIES = 5
LONGEST_WAIT_S = 10.0
_UNDECLARED = re.compile(r"(\.[\w.\[\]]+): field not declared in schema")
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class ClusterError(Exception):
    """The API server refused or could not be reached.

    Attributes:
        status: HTTP status, 0 if there was no answer.
        reason: The API's one-word reason, such as `Conflict`.
        message: The API's own words.
        retry_after_s: Seconds after which the server wants to be asked again, if it said so.
    """

    def __init__(
        self, status: int, reason: str, message: str, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after_s = retry_after_s

    @property
    def undeclared(self) -> str:
        """The field that the API server does not know, as `.status.received`; empty if that was not it."""
        found = _UNDECLARED.search(self.message)
        return found[1] if found else ""


class NotFound(ClusterError):
    """The object does not exist (404)."""


class Conflict(ClusterError):
    """Somebody else changed or made the object first (409)."""


class NotLeading(Exception):
    """This replica does not lead (any more), so it must not write."""


class Cluster:
    """One connection pool to one API server."""

    def __init__(self, access: Access, *, may_write: Callable[[], bool] | None = None) -> None:
        """`may_write` is asked before every try of every write: the fence of the leader."""
        self._access = access
        self._may_write = may_write
        self._ssl = access.ssl_context()
        self._session: aiohttp.ClientSession | None = None
        self._told: set[tuple[str, str]] = set()

    async def __aenter__(self) -> "Cluster":
        connector = aiohttp.TCPConnector(limit=64, ssl=self._ssl or True)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=30, connect=10),
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def fenced(self, may_write: Callable[[], bool]) -> "Cluster":
        """The same connection, but writes only while `may_write` says so."""
        twin = Cluster.__new__(Cluster)
        twin._access, twin._ssl, twin._session = self._access, self._ssl, self._session
        twin._may_write, twin._told = may_write, self._told
        return twin

    async def get(self, kind: str, namespace: str | None, name: str) -> Manifest | None:
        """One object, or None."""
        try:
            return await self._ask("GET", ENDPOINTS[kind].path(namespace, name))
        except NotFound:
            return None

    async def serves(self, path: str) -> Manifest | None:
        """What a discovery path such as `/apis/intops.io/v1alpha1` answers, or None."""
        try:
            return await self._ask("GET", path)
        except NotFound:
            return None

    async def each(
        self,
        kind: str,
        namespace: str | None = None,
        *,
        selector: str = "",
        metadata_only: bool = False,
    ) -> AsyncIterator[Manifest]:
        """Every object of a kind, page by page. With `metadata_only` just names and labels."""
        query = {"limit": str(PAGE)}
        if selector:
            query["labelSelector"] = selector
        headers = {"Accept": METADATA_ONLY} if metadata_only else {}
        while True:
            page = await self._ask("GET", ENDPOINTS[kind].path(namespace), query, headers=headers)
            for item in page.get("items") or ():
                yield item
            following = page.get("metadata", {}).get("continue")
            if not following:
                return
            query["continue"] = following

    async def apply(self, manifest: Manifest, *, manager: str = names.FIELD_MANAGER) -> Manifest:
        """Server-side apply of the full intent, taking over what others set."""
        return await self._apply(manifest, "", manager)

    async def apply_status(
        self, manifest: Manifest, *, manager: str = names.FIELD_MANAGER
    ) -> Manifest:
        """Server-side apply of `status` alone; where the kinds lack a field of it, of the rest."""
        try:
            return await self._apply(manifest, "status", manager)
        except ClusterError as error:
            field = error.undeclared
            if not field:
                raise
        if (manifest["kind"], field) not in self._told:
            self._told.add((manifest["kind"], field))
            journal.warning(
                "kinds are older than this operator", kind=manifest["kind"], field=field
            )
        # A merge patch stores what the kinds know and drops the rest; an apply stores nothing.
        meta, change = manifest["metadata"], {"status": manifest["status"]}
        return await self.patch(
            manifest["kind"], meta.get("namespace"), meta["name"], change, subresource="status"
        )

    async def _apply(self, manifest: Manifest, subresource: str, manager: str) -> Manifest:
        meta = manifest["metadata"]
        endpoint = ENDPOINTS[manifest["kind"]]
        return await self._ask(
            "PATCH",
            endpoint.path(meta.get("namespace"), meta["name"], subresource),
            {"fieldManager": manager, "force": "true"},
            body=manifest,
            headers={"Content-Type": "application/apply-patch+yaml"},
        )

    async def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Make an object; Conflict if it exists. A dry run is judged like any other and stores nothing."""
        meta = manifest["metadata"]
        path = ENDPOINTS[manifest["kind"]].path(meta.get("namespace"))
        query = {"fieldManager": names.FIELD_MANAGER, **({"dryRun": "All"} if dry_run else {})}
        return await self._ask("POST", path, query, body=manifest)

    async def replace(self, manifest: Manifest) -> Manifest:
        """Put an object; Conflict if it changed since its resourceVersion."""
        meta = manifest["metadata"]
        path = ENDPOINTS[manifest["kind"]].path(meta.get("namespace"), meta["name"])
        return await self._ask("PUT", path, {"fieldManager": names.FIELD_MANAGER}, body=manifest)

    async def patch(
        self,
        kind: str,
        namespace: str | None,
        name: str,
        change: Manifest | list[Manifest],
        *,
        subresource: str = "",
    ) -> Manifest:
        """A merge patch (dict) or a JSON patch (list)."""
        form = "json-patch" if isinstance(change, list) else "merge-patch"
        return await self._ask(
            "PATCH",
            ENDPOINTS[kind].path(namespace, name, subresource),
            {"fieldManager": names.FIELD_MANAGER},
            body=change,
            headers={"Content-Type": f"application/{form}+json"},
        )

    async def delete(
        self, kind: str, namespace: str | None, name: str, *, uid: str, version: str = ""
    ) -> None:
        """Delete exactly the object with this uid; one that is gone is no error.

        Args:
            kind, namespace, name: Which one.
            uid: Conflict if another one has its name now.
            version: Its resourceVersion: Conflict if it has changed since; any version if empty.
        """
        preconditions = {"uid": uid, **({"resourceVersion": version} if version else {})}
        body = {"preconditions": preconditions, "propagationPolicy": "Background"}
        try:
            await self._ask("DELETE", ENDPOINTS[kind].path(namespace, name), body=body)
        except NotFound:
            return

    async def _ask(
        self,
        verb: str,
        path: str,
        query: dict[str, str] | None = None,
        *,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Manifest:
        """One request, repeated while the server is busy or away. Every write here is idempotent."""
        for attempt in range(1, TRIES + 1):
            if verb != "GET" and self._may_write is not None and not self._may_write():
                raise NotLeading(f"{verb} {path}")
            try:
                return await self._once(verb, path, query or {}, body, headers or {})
            except ClusterError as error:
                busy = error.status in {0, 429} or error.status >= 500
                retryable = busy and not error.undeclared
                if not retryable or attempt == TRIES:
                    raise
                wait_s = error.retry_after_s
                if wait_s is None:
                    # Full jitter: many keys fail together when the server is away.
                    wait_s = random.uniform(0, 0.25 * 2**attempt)
                await asyncio.sleep(min(wait_s, LONGEST_WAIT_S))
        raise AssertionError("the loop above returns or raises")

    async def _once(
        self, verb: str, path: str, query: dict[str, str], body: Any, headers: dict[str, str]
    ) -> Manifest:
        if self._session is None:
            raise RuntimeError("the cluster client is not open")
        sent = {"Accept": "application/json", "User-Agent": "intops-operator", **headers}
        token = self._access.token()
        if token:
            sent["Authorization"] = f"Bearer {token}"
        data = None
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
            data = json.dumps(body, separators=(",", ":")).encode()
        try:
            async with self._session.request(
                verb, self._access.server + path, params=query, data=data, headers=sent
            ) as answer:
                text = await answer.read()
                status, retry_after = answer.status, answer.headers.get("Retry-After", "")
        except (aiohttp.ClientError, TimeoutError) as cause:
            metrics.API_REQUESTS.labels(verb, "none").inc()
            raise ClusterError(
                0, "Unreachable", f"The API server did not answer: {cause}"
            ) from cause
        metrics.API_REQUESTS.labels(verb, str(status)).inc()
        if status < 400:
            parsed: Manifest = json.loads(text)
            return parsed
        raise _refusal(status, text, retry_after)


def _refusal(status: int, text: bytes, retry_after: str) -> ClusterError:
    reason, message = "", ""
    try:
        answer = json.loads(text)
        reason, message = str(answer.get("reason", "")), str(answer.get("message", ""))
    except (ValueError, AttributeError):
        message = text[:200].decode(errors="replace")
    kind = {404: NotFound, 409: Conflict}.get(status, ClusterError)
    wait_s = float(retry_after) if retry_after.isdigit() else None
    return kind(status, reason, message or f"HTTP {status}", wait_s)
