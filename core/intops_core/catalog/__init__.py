"""The shipped ConnectorClasses, CanonicalModels and Patterns, as the YAML files beside this module.

The operator's leader applies them; the command line and tests read them instead of a cluster.
"""

import copy
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

import yaml

# Models first: what a manifest names should be there before it, where order can be kept.
_FOLDERS: Final = ("models", "connectorclasses", "patterns")
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def shipped() -> list[dict[str, Any]]:
    """The raw manifests: models, classes, patterns, each by file name. The caller may change them."""
    return copy.deepcopy(list(_read()))


@lru_cache(maxsize=1)
def _read() -> tuple[dict[str, Any], ...]:
    found: list[dict[str, Any]] = []
    for folder in _FOLDERS:
        place = files("intops_core.catalog").joinpath(folder)
        for file in sorted(place.iterdir(), key=lambda entry: entry.name):
            if file.name.endswith(".yaml"):
                text = file.read_text(encoding="utf-8")
                found += [raw for raw in yaml.load_all(text, Loader=_LOADER) if raw]
    return tuple(found)
