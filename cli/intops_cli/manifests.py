"""Manifests in a folder, each with its file and the line of every field, so that findings can point at them.

Used by every command that reads a folder. Secrets are kept apart and never printed.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from intops_api.kinds import BY_NAME
from intops_api.names import GROUP
from intops_core.drafts.marks import marks

DEFAULT_NAMESPACE = "default"
# Folders beside the manifests that hold none: cases (messages in, requests out) and captured payloads.
CASES = "cases"
SAMPLES = "samples"
# Of one document. An object of 1.5 MiB, the most that a cluster stores, has fewer.
MAX_NODES = 500_000


class ManifestError(Exception):
    """A file cannot be read as manifests; the text names file and line."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One document. `lines` has the line (from 1) of every field by its path, such as `spec.routes[0].when`."""

    raw: dict[str, Any]
    file: Path
    lines: dict[str, int]

    def line_of(self, path: str) -> int:
        """Line of a field, or of the nearest thing around it that is there."""
        while path and path not in self.lines:
            cut = max(path.rfind("."), path.rfind("["))
            path = path[:cut] if cut > 0 else ""
        return self.lines.get(path, 1)


@dataclass(frozen=True, slots=True)
class Folder:
    """What a folder holds."""

    manifests: list[Manifest] = field(default_factory=list)
    secrets: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    """Namespace and name of each Secret → its keys and values."""
    unfilled: list[tuple[Manifest, str, str]] = field(default_factory=list)
    """Keys of Secrets that a draft left to a person: the Secret, the path of the key, and a sentence."""


def read_folder(path: Path, *, namespace: str = DEFAULT_NAMESPACE) -> Folder:
    """Every manifest of a folder (or of one file), in the order of file names.

    Raises:
        ManifestError: the folder does not exist, or a file is not YAML.
    """
    if not path.exists():
        raise ManifestError(f"{path} does not exist; name a folder with manifests or a YAML file.")
    files = [path] if path.is_file() else sorted((*path.rglob("*.yaml"), *path.rglob("*.yml")))
    folder = Folder()
    for file in files:
        if {CASES, SAMPLES} & set(file.relative_to(path).parts[:-1]):
            continue
        for manifest in _read_file(file):
            _place(folder, manifest, namespace)
    if not folder.manifests:
        raise ManifestError(
            f"{path} holds no manifest of {GROUP}; name the folder that holds a Flow."
        )
    return folder


def _place(folder: Folder, manifest: Manifest, namespace: str) -> None:
    raw = manifest.raw
    meta = raw.setdefault("metadata", {})
    if raw.get("kind") == "Secret":
        if not isinstance(meta, dict) or not meta.get("name"):
            raise _wrong(manifest, "metadata", "a Secret needs metadata.name")
        key = (str(meta.get("namespace") or namespace), str(meta["name"]))
        folder.secrets[key] = _secret_values(manifest)
        given = raw.get("stringData")
        folder.unfilled.extend((manifest, *mark) for mark in marks(given, "stringData"))
    elif str(raw.get("apiVersion", "")).startswith(f"{GROUP}/"):
        if isinstance(meta, dict) and _is_namespaced(raw.get("kind")):
            meta.setdefault("namespace", namespace)
        folder.manifests.append(manifest)


def _is_namespaced(kind: object) -> bool:
    known = BY_NAME.get(str(kind))
    return known is None or known.namespaced


def _secret_values(manifest: Manifest) -> dict[str, str]:
    """Keys and values; what is wrong with one is told without it."""
    given = {name: manifest.raw.get(name) or {} for name in ("stringData", "data")}
    for name, table in given.items():
        if not isinstance(table, dict):
            raise _wrong(manifest, name, f"{name} of a Secret is a map of keys and values")
    values = {str(key): str(text) for key, text in given["stringData"].items()}
    for key, text in given["data"].items():
        try:
            data = base64.b64decode("".join(str(text).split()), validate=True)
        except ValueError:
            words = f'"{key}" is not base64; write the plain value under stringData instead'
            raise _wrong(manifest, f"data.{key}", words) from None
        values.setdefault(str(key), data.decode("utf-8", "replace"))
    return values


def _wrong(manifest: Manifest, path: str, words: str) -> ManifestError:
    return ManifestError(f"{manifest.file}:{manifest.line_of(path)}: {words}.")


def _read_file(file: Path) -> Iterator[Manifest]:
    text = ""
    try:
        text = file.read_text(encoding="utf-8")
        for node in yaml.compose_all(text, Loader=yaml.SafeLoader):
            if node is None:
                continue
            if _is_endless(node):
                raise ManifestError(
                    f"{file}:{node.start_mark.line + 1}: its aliases unfold to more than {MAX_NODES:,} values, which "
                    "no cluster takes; write out what is meant, without * and &."
                )
            raw = yaml.SafeLoader("").construct_document(node)
            if not isinstance(raw, dict):
                raise ManifestError(
                    f"{file}:{node.start_mark.line + 1}: a manifest is a map with apiVersion and kind."
                )
            lines: dict[str, int] = {}
            _note_lines(node, "", lines)
            yield Manifest(raw, file, lines)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ManifestError(f"{file}:{line}: this is not YAML: {error.problem}.") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ManifestError(
            f"{file}:{line}: this is not YAML: {error.reason}; save it as plain text."
        ) from error
    except RecursionError as error:
        raise ManifestError(
            f"{file}:1: it nests deeper than any manifest; write it flat."
        ) from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{file}:1: this is not UTF-8 text; save it as UTF-8.") from error


def _is_endless(node: yaml.Node) -> bool:
    """Whether a document holds too many values once each alias stands for what it names, or names itself."""
    todo, count = [node], 0
    while todo and count <= MAX_NODES:
        count += 1
        here = todo.pop()
        if isinstance(here, yaml.MappingNode):
            todo += [part for pair in here.value for part in pair]
        elif isinstance(here, yaml.SequenceNode):
            todo += here.value
    return count > MAX_NODES


def _note_lines(node: yaml.Node, path: str, lines: dict[str, int]) -> None:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = str(getattr(key, "value", ""))
            below = f"{path}.{name}" if path else name
            lines[below] = key.start_mark.line + 1
            _note_lines(value, below, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _note_lines(value, f"{path}[{index}]", lines)
