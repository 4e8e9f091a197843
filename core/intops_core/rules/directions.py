"""COM-11: what moves in both directions has a way back, and is recognised when it comes back.

Used by the registry. Who owns which field is not judged yet: no field of a Flow says it.
"""

from collections.abc import Iterator

from intops_core.facts import BoundSystem, FlowFacts, misfit
from intops_core.findings import Breach


def both_directions_are_sound(facts: FlowFacts) -> Iterator[Breach]:
    """COM-11: every target tells of its records, what it tells can be translated, and echoes are known."""
    if facts.spec.sync.mode != "bidirectional":
        return
    for system in facts.of_role("out"):
        yield from _way_back(system, facts)
    yield Breach(
        "spec.sync.mode",
        "sync.mode is bidirectional, but this version moves status from sources to targets only, so what people "
        "change in a target is not told to the source. Write toTarget until it does, or a Flow of its own for the "
        "way back.",
        at_most="warn",
    )


def _way_back(system: BoundSystem, facts: FlowFacts) -> Iterator[Breach]:
    spec, class_ = system.class_spec, system.class_
    if spec is None or class_ is None:
        return
    name, class_name = system.binding.name, class_.ref.name
    if spec.capture is None:
        yield Breach(
            f"{system.path}.connector",
            f'sync.mode is bidirectional, but class {class_name} of "{name}" has no capture, so nobody would learn '
            "what people change there. Add capture to the class, or write spec.sync.mode: toTarget.",
        )
        return
    if spec.capture.origin is None:
        yield Breach(
            f"{system.path}.connector",
            f'sync.mode is bidirectional, but class {class_name} of "{name}" does not say where our key stands in '
            "what it tells, so every update written to it would come back as a new one. Add capture.origin to the "
            "class, or write spec.sync.mode: toTarget.",
        )
    if system.binding.reverse_mapping is None:
        yield Breach(
            system.path,
            f'sync.mode is bidirectional, but "{name}" names no Mapping for the way back, so what people change '
            "there could not be translated. Write reverseMapping, or spec.sync.mode: toTarget.",
        )
    elif system.reverse is not None and facts.model_out is not None:
        trouble = misfit(system.reverse.body, "in", class_name, spec, facts.model_out.label)
        if trouble:
            yield Breach(
                f"{system.path}.reverseMapping",
                f'Mapping "{system.reverse.name}" cannot be the way back of "{name}": it {trouble}. Name a '
                "Mapping between these ends.",
            )
