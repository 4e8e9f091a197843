"""What a CanonicalModel is judged by in itself. Used by conformance."""

from collections.abc import Iterator

from intops_api.canonical_model import CanonicalModelSpec, ModelVersion
from intops_core.findings import Breach, suggestion
from intops_core.rules.classes import field_breaches


def model_breaches(spec: CanonicalModelSpec) -> Iterator[Breach]:
    """Paths are consistent and transitions are between states that there are."""
    for index, version in enumerate(spec.versions):
        at = f"spec.versions[{index}]"
        yield from field_breaches(version.fields, f"{at}.fields")
        yield from _transitions(version, f"{at}.transitions")


def _transitions(version: ModelVersion, at: str) -> Iterator[Breach]:
    if not version.transitions:
        return
    state = version.fields.get("state")
    if state is None or not state.enum:
        yield Breach(
            at,
            "There are transitions but no field state with a list of values, so they are about nothing. "
            "Add the field with enum, or remove transitions.",
        )
        return
    for before, following in version.transitions.items():
        if before not in state.enum:
            words = f'A transition leaves "{before}", which is no value of state.'
            yield Breach(f"{at}.{before}", words + suggestion(before, state.enum))
        for position, after in enumerate(following):
            if after not in state.enum:
                words = (
                    f'A transition leads from "{before}" to "{after}", which is no value of state.'
                )
                yield Breach(f"{at}.{before}[{position}]", words + suggestion(after, state.enum))
