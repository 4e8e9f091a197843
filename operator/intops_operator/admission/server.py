"""The admission endpoint: POST /validate over TLS, and nothing else.

`certified` starts it. It has no side effects, so a dry run is judged like anything else. When in
doubt about an object it refuses: only kinds of our own group are sent here. When in doubt about what
a change does to Flows it warns.
"""

import asyncio
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import replace

from aiohttp import web

from intops_core.findings import Finding
from intops_core.resources import parse_resource
from intops_operator import metrics
from intops_operator.admission.impacts import Impacts
from intops_operator.admission.review import (
    Answer,
    Asked,
    ReviewError,
    answer_to,
    parse_review,
    review_of,
)
from intops_operator.admission.telling import NOT_JUDGED
from intops_operator.cache import Cache
from intops_operator.core.observed import trimmed
from intops_operator.edges.silent_runner import SilentRunner
from intops_operator.journal import Journal
from intops_operator.planner import Planner, told_apart

journal = Journal("admission")

PATH = "/validate"
LARGEST_BODY = 8 * 1024 * 1024  # two objects of the 1.5 MiB that etcd takes, as JSON


class AdmissionServer:
    """Judges objects before they are stored."""

    def __init__(self, cache: Cache, is_complete: Callable[[], bool], *, deadline_s: float) -> None:
        """`is_complete` tells whether the cache holds what exists; before, nothing is judged."""
        self._cache = cache
        self._is_complete = is_complete
        self._deadline_s = deadline_s
        self._planner = Planner("admission")
        self._impacts = Impacts(cache)
        self._runner: web.AppRunner | None = None
        self.port = 0
        self.is_leaving = False
        """Whether each answer is the last on its connection: API servers keep theirs to a pod that ends."""

    async def start(self, host: str, port: int, context: ssl.SSLContext) -> None:
        """Bind; `port` is then the real one. Certificates may be loaded into `context` any time."""
        app = web.Application(client_max_size=LARGEST_BODY)
        app.router.add_post(PATH, self._validate)
        self._runner = SilentRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, ssl_context=context).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close."""
        if self._runner is not None:
            await self._runner.cleanup()
        self._planner.close()
        self._impacts.close()

    async def _validate(self, request: web.Request) -> web.Response:
        try:
            asked = parse_review(json.loads(await request.read()))
        except (ValueError, RecursionError):
            return web.Response(status=400, text="The body is no JSON.\n")
        except ReviewError as error:
            return web.Response(status=400, text=f"{error}\n")
        began = time.monotonic()
        answer = await self._answer(asked)
        metrics.REVIEW_SECONDS.labels(asked.kind).observe(time.monotonic() - began)
        verdict = "allowed" if answer.allowed else "refused" if answer.code == 403 else "failed"
        metrics.REVIEWS.labels(asked.kind, verdict).inc()
        if not answer.allowed:
            meta = (asked.object or asked.before).get("metadata", {})
            journal.info(
                verdict,
                kind=asked.kind,
                namespace=meta.get("namespace", ""),
                name=meta.get("name", ""),
            )
        response = web.json_response(review_of(asked, answer))
        if self.is_leaving:
            response.force_close()
        return response

    async def _answer(self, asked: Asked) -> Answer:
        if asked.is_deletion:
            if not self._is_complete():
                return Answer(allowed=True, warnings=(NOT_JUDGED,))
            return await self._impacts.answer(asked, time.monotonic() + self._deadline_s)
        if not asked.needs_judging:
            return Answer(allowed=True)
        if not self._is_complete():
            text = "intops is starting and cannot judge yet; try again in a few seconds."
            return Answer(allowed=False, message=text, code=503)
        deadline = time.monotonic() + self._deadline_s
        answer = await self._itself(asked)
        if not answer.allowed:
            return answer
        told = await self._impacts.answer(asked, deadline)
        return replace(told, warnings=(*told.warnings, *answer.warnings))

    async def _itself(self, asked: Asked) -> Answer:
        """What is wrong with the object, whoever uses it."""
        planner = self._planner
        try:
            async with asyncio.timeout(self._deadline_s):
                return answer_to(asked, await self._findings(asked, planner))
        except TimeoutError:
            # The thread cannot be stopped; the next object gets a fresh one.
            if planner is self._planner:
                planner.retire()
                self._planner = Planner("admission")
            text = (
                f"Judging this {asked.kind} took longer than {self._deadline_s:g} s, so it is "
                "refused; make its expressions or examples smaller, or try again later."
            )
            return Answer(allowed=False, message=text, code=504)
        except Exception as error:  # a defect must refuse with a sentence, not hang the API server
            journal.failure("judging failed", error, kind=asked.kind)
            text = "intops could not judge this object; the operator's log says why."
            return Answer(allowed=False, message=text, code=500)

    async def _findings(self, asked: Asked, planner: Planner) -> list[Finding]:
        parsed = parse_resource(trimmed({**asked.object, "kind": asked.kind}))
        if isinstance(parsed, list):
            return parsed
        resources = self._cache.snapshot(parsed.ref.namespace, overlay=parsed)
        new = asked.operation == "CREATE"
        findings = await planner.judge(parsed, resources, new=new)
        return [told_apart(finding, self._cache) for finding in findings]
