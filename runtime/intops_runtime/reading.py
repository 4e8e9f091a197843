"""What is read of a record before it is written: whether it is ours, and in which edition it is there.

Called by the lane. Nothing is written here; what becomes of the message where a read fails is `failed`'s.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from intops_runtime.core import settling
from intops_runtime.core.classifying import Failure
from intops_runtime.core.exchanges import Facts, Found, HttpRequest, RequestError
from intops_runtime.core.messages import Message, Settlement
from intops_runtime.core.requests import CompiledOperation
from intops_runtime.target import Target


async def search(
    target: Target, operation: CompiledOperation, facts: Facts
) -> list[Found] | Failure:
    """What a search finds, page after page, up to as many records as the class allows."""
    paginate = operation.spec.paginate
    most = paginate.max if paginate is not None else None
    found: list[Found] = []
    page: HttpRequest | None = None
    for _ in range(most or 1):
        answer = await target.call(operation, facts, request=page)
        if isinstance(answer, Failure):
            return answer
        try:
            some = operation.found_items(facts, answer.request, answer.response)
            page = operation.next_page(facts, answer.request, answer.response, len(some))
        except RequestError as error:
            return Failure("schemaDrift", f"{error.path}: {error.message}", "search:items")
        found += some
        if page is None or (most is not None and len(found) >= most):
            break
    return found[:most]


@dataclass(frozen=True, slots=True)
class RecordReader:
    """Reads on behalf of one message in one system."""

    target: Target
    message: Message
    failed: Callable[[Failure], Settlement]

    async def ours(self, lookup: CompiledOperation, facts: Facts) -> Found | Settlement | None:
        """The record that a search finds and that carries our key."""
        hits = await search(self.target, lookup, facts)
        if isinstance(hits, Failure):
            return self.failed(hits)
        for hit in hits:
            link = {"nativeId": hit.native_id or "", "displayId": hit.display_id or ""}
            verified = await self._carries_our_key(replace(facts, link=link))
            if isinstance(verified, Settlement):
                return verified
            if verified is not None:
                return replace(hit, version=verified.version, url=hit.url or verified.url)
        return None

    async def _carries_our_key(self, facts: Facts) -> Found | Settlement | None:
        """The record, if it carries our key; a record that a search found may belong to others."""
        get = self.target.operation("get")
        if get is None or get.spec.result.key is None:
            return Found()
        answer = await self.target.call(get, facts)
        if isinstance(answer, Failure):
            return None if answer.error_class == "notFound" else self.failed(answer)
        return answer.found if answer.found.key == self.message.key else None

    async def is_needless(self, operation: CompiledOperation, facts: Facts) -> bool | Settlement:
        """Whether people have done already what a write would do; only asked where the class says how to see it."""
        unless = operation.spec.unless
        reader = self.target.operation(unless.operation) if unless is not None else None
        if reader is None:
            return False
        answer = await self.target.call(reader, facts)
        if isinstance(answer, Failure):
            return self.failed(answer)
        lost = self._no_longer_ours(reader, answer.found, facts)
        return lost or operation.is_needless(facts, answer.request, answer.response)

    async def edition(
        self, operation: CompiledOperation, facts: Facts
    ) -> dict[str, str] | Settlement:
        """The header that makes the system refuse a write on an old edition, where it has one."""
        concurrency = operation.spec.concurrency
        reader = self.target.operation(concurrency.from_) if concurrency is not None else None
        if concurrency is None or reader is None:
            return {}
        answer = await self.target.call(reader, facts)
        if isinstance(answer, Failure):
            return self.failed(answer)
        lost = self._no_longer_ours(reader, answer.found, facts)
        if lost is not None:
            return lost
        return {concurrency.header: answer.found.version} if answer.found.version else {}

    def _no_longer_ours(
        self, reader: CompiledOperation, found: Found, facts: Facts
    ) -> Settlement | None:
        if reader.spec.result.key is None or found.key == self.message.key:
            return None
        record = facts.link.get("displayId")
        words = f"Record {record} no longer carries our key; it is not touched."
        return settling.review(self.message, "conflict", words)
