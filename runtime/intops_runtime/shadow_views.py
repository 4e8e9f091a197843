"""What Mappings on trial would have made of live messages, as people see it: masked, each with an example.

Called by the console for `intops shadow`. JSON-ready.
"""

from typing import Any

from intops_runtime.core.shadowing import Trial
from intops_runtime.replay_views import message_number
from intops_runtime.runner import PlanRunner


async def shadow_view(runner: PlanRunner) -> dict[str, Any]:
    """The trials of one Flow; counts as in its report, and of each field the first example seen."""
    return {
        "flow": runner.flow[1],
        "plan": runner.compiled.plan.hash,
        "shadows": [await _trial(runner, trial) for trial in runner.trials],
    }


async def _trial(runner: PlanRunner, trial: Trial) -> dict[str, Any]:
    report, seen = trial.report(), trial.disagreements()
    fields = [
        {
            **told.to_wire(), "now": one.before, "candidate": one.after, "detail": one.detail,
            "example": await message_number(runner, one.example),
        }
        for told, one in zip(report.fields, seen, strict=True)
    ]  # fmt: skip
    return {**report.to_wire(), "fields": fields}
