"""One record on both sides as people see it: read now where the system answers, personal data masked.

Called by the console. JSON-ready.
"""

import time
from typing import Any

from intops_core.records import ABSENT, get_path, leaves
from intops_runtime.core.classifying import Failure
from intops_runtime.core.comparing import compare
from intops_runtime.core.enrichment import remembered
from intops_runtime.core.exchanges import Facts
from intops_runtime.core.hiding import MASK
from intops_runtime.core.masking import personal_in_native
from intops_runtime.core.reporting import rfc3339
from intops_runtime.core.shaping import Shaped, shape
from intops_runtime.runner import PlanRunner


async def record_views(runner: PlanRunner, text: str) -> list[dict[str, Any]]:
    """Every record that stands for the key which goes by this name; empty where there is none."""
    trace = await runner.store.trace(text)
    if trace is None:
        return []
    return [await _view(runner, link, trace["messages"]) for link in trace["links"]]


async def _view(
    runner: PlanRunner, link: dict[str, Any], messages: list[dict[str, Any]]
) -> dict[str, Any]:
    agreed = link["agreed"].get("record") or {}
    newest = next((m for m in reversed(messages) if m["key"] == link["key"]), None)
    here = _here(runner, link, newest)
    there, said = await _there(runner, link, agreed)
    personal = personal_in_native(runner.compiled, link["binding"])

    def shown(path: str, value: Any) -> Any:
        hidden = any(path == one or path.startswith(f"{one}.") for one in personal)
        return None if value is ABSENT else MASK if hidden and value is not None else value

    return {
        "flow": runner.flow[1],
        "key": link["key"],
        "connector": link["connector"],
        "record": link["displayId"] or link["nativeId"],
        "url": link["url"],
        "newestMessage": newest["id"] if newest is not None else None,
        "readAt": rfc3339(time.time()) if there is not None else None,
        "notRead": said,
        "fields": [
            {
                "field": c.field,
                "agreed": shown(c.field, c.agreed),
                "here": shown(c.field, c.here),
                "there": shown(c.field, c.there),
                "differs": c.differs,
            }
            for c in compare(agreed, here, there)
        ],
    }


def _here(
    runner: PlanRunner, link: dict[str, Any], newest: dict[str, Any] | None
) -> dict[str, Any] | None:
    """What the newest message makes of the record; None where it goes elsewhere or cannot be mapped."""
    if newest is None or not newest.get("record_values"):
        return None
    shaped = shape(
        runner.compiled,
        link["key"],
        newest["record_values"],
        rfc3339(time.time()) or "",
        remembered(link["agreed"], runner.compiled.enrichers),
        link["binding"],
    )
    if not isinstance(shaped, Shaped) or shaped.target.binding.name != link["binding"]:
        return None
    return shaped.record


async def _there(
    runner: PlanRunner, link: dict[str, Any], agreed: dict[str, Any]
) -> tuple[dict[str, Any] | None, str | None]:
    """Fields as the system shows them now, or why they were not read."""
    target = runner.targets.get(link["binding"])
    if target is None:
        return None, f'The Flow no longer binds "{link["binding"]}".'
    writes = [op for op in target.compiled.class_.operations.values() if op.spec.read_back]
    if not writes:
        return None, "The class has no operation that reads a record back."
    if not target.gate.admits(time.monotonic()):
        return None, f"The system is not asked now: {target.gate.detail or target.gate.state}."
    names = {name: link[name] or "" for name in ("nativeId", "displayId", "version", "url")}
    facts = Facts(target.compiled.binding.config, agreed, link["key"], names)
    widest = max(writes, key=lambda op: len(op.spec.read_back.compare if op.spec.read_back else ()))
    async with target.turn():
        read = await target.read_back(widest, facts)
    if isinstance(read, Failure):
        return None, f"The system did not show it: {read.detail}."
    differing = {difference.field: difference.reads for difference in read[1]}
    compared = widest.spec.read_back.compare if widest.spec.read_back else {}
    known = [path for path, _ in leaves(agreed) if path in compared]
    return {path: differing.get(path, get_path(agreed, path)) for path in known}, None
