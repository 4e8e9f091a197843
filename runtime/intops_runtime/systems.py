"""The systems that one plan calls: its targets and its enrichers, each with the way to it.

Kept by the plan runner over changes of the plan: a Connector that stays keeps its gate, its limits and its answers.
"""

import itertools
from collections.abc import Callable

from intops_runtime.core.compiled import CompiledPlan, CompiledSystem
from intops_runtime.core.masking import personal_in_native, personal_in_record
from intops_runtime.edges.outbound import Outbound
from intops_runtime.enriching import Enricher
from intops_runtime.target import Target

Secrets = Callable[[str | None], dict[str, str] | None]
MakeOutbound = Callable[[CompiledSystem], Outbound]


class Systems:
    """Targets and enrichers by the name of their binding.

    Args:
        compiled: The plan to begin with.
        make_outbound: Makes the client of a system.
        secrets: The values of a Secret by its name.
        on_gate: Called with a binding whose gate has changed, and whether it is open again.
    """

    def __init__(
        self,
        compiled: CompiledPlan,
        make_outbound: MakeOutbound,
        secrets: Secrets,
        on_gate: Callable[[str, bool], None],
    ) -> None:
        self.targets: dict[str, Target] = {}
        self.enrichers: dict[str, Enricher] = {}
        self._make_outbound = make_outbound
        self._secrets = secrets
        self._on_gate = on_gate
        self._retired: list[Outbound | Target] = []
        self.switch(compiled)

    def all(self) -> dict[str, Target]:
        """Every way to a system."""
        enrichers = {name: enricher.target for name, enricher in self.enrichers.items()}
        return {**self.targets, **enrichers}

    def switch(self, compiled: CompiledPlan) -> None:
        """Go over to the systems of a plan."""
        before, self.targets = self.targets, {}
        for name, target in compiled.targets.items():
            self.targets[name] = self._way_to(target, before.pop(name, None))
            self.targets[name].personal = personal_in_native(compiled, name)
        known, self.enrichers = self.enrichers, {}
        for name, compiled_enricher in compiled.enrichers.items():
            old = known.pop(name, None)
            way = self._way_to(compiled_enricher, old.target if old else None)
            if old is not None and old.target is way:
                old.switch(compiled_enricher)
                self.enrichers[name] = old
            else:
                self.enrichers[name] = Enricher(compiled_enricher, way)
            way.personal = personal_in_record(compiled)
        # Running attempts finish as they began, so nothing is closed before the end.
        self._retired += [*before.values(), *(gone.target for gone in known.values())]

    def secret_changed(self, secret_name: str) -> None:
        """A Secret has other values now: what was held for it is tried at once."""
        for target in self.all().values():
            binding = target.compiled.binding
            if binding.secret_name == secret_name:
                target.credential_changed()
            if binding.ca_dir == secret_name:
                fresh = self._make_outbound(target.compiled)
                self._retired.append(target.replace(target.compiled, fresh))

    async def close(self) -> None:
        """Give every connection back."""
        for enricher in self.enrichers.values():
            await enricher.close()
        for system in itertools.chain(self.targets.values(), self._retired):
            await system.close()

    def _way_to(self, system: CompiledSystem, old: Target | None) -> Target:
        outbound = self._make_outbound(system)
        if old is not None and old.compiled.binding.connector == system.binding.connector:
            self._retired.append(old.replace(system, outbound))
            return old
        if old is not None:
            self._retired.append(old)
        return Target(system, outbound, self._secrets, on_gate=self._on_gate)
