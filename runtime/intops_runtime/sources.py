"""What capture needs of a plan: each source binding, how its senders prove who they are, where deliveries go.

Made by the worker when a plan is loaded, also for a plan whose store cannot be opened: its senders are
told to come again rather than that there is nothing here.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from intops_api.common import duration_s
from intops_api.plan import PlanBinding
from intops_runtime.core.compiled import CompiledPlan
from intops_runtime.core.messages import Accepted
from intops_runtime.edges.capture import Accept, CaptureTarget, Outcome
from intops_runtime.edges.store.base import StoreError
from intops_runtime.runner import PlanRunner

Secrets = Callable[[str | None], dict[str, str] | None]
OnPrevious = Callable[[str | None, list[str]], None]
"""Told a Secret's name and the keys of previous values in it that a sender still needs."""


def open_sources(
    runner: PlanRunner, secrets: Secrets, on_previous: OnPrevious
) -> dict[str, CaptureTarget]:
    """Sources whose deliveries the runner keeps."""
    return _sources(
        runner.compiled,
        secrets,
        on_previous,
        lambda source: _accepts(runner, source),
        lambda source: _outcomes(runner, source),
        lambda: runner.store.pause_s,
    )


def shut_sources(
    compiled: CompiledPlan, secrets: Secrets, on_previous: OnPrevious, words: str
) -> dict[str, CaptureTarget]:
    """The same sources while nothing can be kept, for the reason that `words` say."""

    async def refuse(*_: Any) -> Accepted:
        raise StoreError(words)

    async def unknown(*_: Any) -> dict[str, Any] | None:
        raise StoreError(words)

    return _sources(
        compiled, secrets, on_previous, lambda _: refuse, lambda _: unknown, lambda: 0.0
    )


def _sources(
    compiled: CompiledPlan,
    secrets: Secrets,
    on_previous: OnPrevious,
    accept: Callable[[str], Accept],
    outcome: Callable[[str], Outcome],
    pause_s: Callable[[], float],
) -> dict[str, CaptureTarget]:
    targets = {}
    for name, source in compiled.sources.items():
        spec = compiled.plan.blobs.classes[source.binding.class_].spec
        if spec.capture is None:
            continue
        within = source.binding.answer_within
        targets[name] = CaptureTarget(
            capture=spec.capture,
            secret=_bound(secrets, source.binding),
            on_previous=partial(on_previous, source.binding.secret_name),
            accept=accept(name),
            outcome=outcome(name),
            pause_s=pause_s,
            answer_within_s=duration_s(within) if within else None,
        )
    return targets


def _bound(read: Secrets, binding: PlanBinding) -> Callable[[], dict[str, str] | None]:
    return lambda: read(binding.secret_name)


def _accepts(runner: PlanRunner, source: str) -> Accept:
    async def accept(delivery_id: str | None, headers: dict[str, str], body: bytes) -> Accepted:
        return await runner.accept(source, delivery_id, headers, body)

    return accept


def _outcomes(runner: PlanRunner, source: str) -> Outcome:
    return lambda delivery, within_s: runner.outcomes.wait(source, delivery, within_s)
