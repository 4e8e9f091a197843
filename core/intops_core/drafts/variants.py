"""Forms of a payload: what it calls its own version, as variants of a Mapping."""

import re
from collections.abc import Sequence
from typing import Any, Final

from intops_core.drafts.inference import name_of

_VERSION: Final = re.compile(r"v?\d{1,3}(\.\d{1,3})?")
_VERSION_NAMES: Final = frozenset(
    "version schemaversion payloadversion apiversion formatversion specversion".split()  # noqa: SIM905
)


def variants_of(payloads: Sequence[Any]) -> tuple[dict[str, str], ...]:
    """Forms that the payloads call by a version of their own, if all of them do."""
    if not payloads or not all(isinstance(payload, dict) for payload in payloads):
        return ()
    for name in payloads[0]:
        if name_of(name) not in _VERSION_NAMES or not name.isidentifier():
            continue
        values = [payload.get(name) for payload in payloads]
        if all(isinstance(v, str | int) and not isinstance(v, bool) for v in values) and all(
            _VERSION.fullmatch(str(v)) for v in values
        ):
            return tuple(_variant(name, v) for v in dict.fromkeys(values))
    return ()


def _variant(name: str, value: Any) -> dict[str, str]:
    told = f'"{value}"' if isinstance(value, str) else str(value)
    plain = str(value).removeprefix("v").replace(".", "-")
    return {"name": f"v{plain}", "when": f"payload.{name} == {told}"}
