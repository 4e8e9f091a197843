"""The health script of helm/argocd in a real Lua, of the version that Argo CD's own interpreter speaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lupa import lua51

SCRIPT = Path(__file__).resolve().parents[2] / "helm" / "argocd" / "health.lua"


def health(manifest: dict[str, Any], script: str | None = None) -> tuple[str, str]:
    """Status and message of an object, as Argo CD would show them.

    Args:
        manifest: The object, as the API gives it.
        script: Lua; that of the tree if None.
    """
    lua = lua51.LuaRuntime(unpack_returned_tuples=True)
    # Argo CD opens only these; a script that needs more would fail there.
    for name in ("os", "io", "package", "require", "dofile", "loadfile", "debug", "python"):
        lua.globals()[name] = None
    lua.globals()["obj"] = _table(lua, manifest)
    answer = lua.execute(SCRIPT.read_text(encoding="utf-8") if script is None else script)
    return str(answer["status"]), str(answer["message"])


def _table(lua: Any, value: Any) -> Any:
    if isinstance(value, dict):
        return lua.table_from({key: _table(lua, below) for key, below in value.items()})
    if isinstance(value, list):
        return lua.table_from([_table(lua, below) for below in value])
    return value
