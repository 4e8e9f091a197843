"""Mounted Secrets: one folder a Secret, one file a key, read again when they change.

Used by capture and by targets. Values never leave this module except to those two.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from intops_api.connector_class import Verify
from intops_api.report import PreviousReport, SecretReport
from intops_runtime.core.reporting import rfc3339
from intops_runtime.core.verifying import previous_keys, weak_keys

# A Secret is at most 1 MiB; a bundle of all public authorities is a quarter of it.
MAX_VALUE_BYTES = 1024 * 1024

Stamp = tuple[tuple[str, int, int], ...]
_UNREAD: Stamp = (("", 0, 0),)
_Need = tuple[str, tuple[tuple[str, ...], ...]]
"""A Secret, and the groups of keys of which somebody needs one."""


class Credentials:
    """The secrets directory. Values are cached until a file changes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._values: dict[str, dict[str, str]] = {}
        self._stamps: dict[str, Stamp] = {}
        self._since: dict[_Need, tuple[list[str], float]] = {}
        self._used: dict[tuple[str, str], float] = {}

    def read(self, name: str) -> dict[str, str] | None:
        """Keys and values of a Secret; None where it is not mounted or empty."""
        if name not in self._stamps:
            self._load(name)
        return self._values.get(name) or None

    def changed(self) -> list[str]:
        """Names of Secrets that were read before and have other files now; they are read again."""
        found = []
        for name, stamp in list(self._stamps.items()):
            if self._stamp(name) != stamp:
                before = self._values.get(name)
                self._load(name)
                if self._values.get(name) != before:
                    found.append(name)
        return found

    def note_previous(self, name: str, keys: list[str]) -> None:
        """A sender has proved itself with the values of these keys, which are on their way out."""
        now = time.time()
        for key in keys:
            self._used[(name, key)] = now

    def report(
        self, name: str, groups: list[list[str]], senders: Sequence[Verify] = ()
    ) -> SecretReport:
        """Whether a Secret has one whole group of keys, and how good it is for senders, without any value."""
        values = self.read(name) or {}
        lacking = [[key for key in group if not values.get(key)] for group in groups if group]
        missing = [] if any(not keys for keys in lacking) or not lacking else min(lacking, key=len)
        need = (name, tuple(map(tuple, groups)))
        if self._since.get(need, (None,))[0] != missing:
            self._since[need] = (missing, time.time())
        return SecretReport(
            secret=name,
            present=bool(values),
            missing_keys=missing,
            since=rfc3339(self._since[need][1]),
            weak_keys=weak_keys(senders, values),
            previous=[
                PreviousReport(key=key, last_used=rfc3339(self._used.get((name, key))))
                for key in previous_keys(senders, values)
            ],
        )

    def _load(self, name: str) -> None:
        self._stamps[name] = self._stamp(name)
        values: dict[str, str] = {}
        for file in self._files(name):
            try:
                data = file.read_bytes()[:MAX_VALUE_BYTES]
                values[file.name] = data.decode("utf-8").strip("\r\n")
            except UnicodeDecodeError:
                continue
            except OSError:
                # Such as too many open files: not a property of the Secret, so it is read again.
                self._stamps[name] = _UNREAD
        before = self._values.get(name, {})
        self._values[name] = values
        for used in list(self._used):
            if used[0] == name and values.get(used[1]) != before.get(used[1]):
                del self._used[used]  # that was another value

    def _stamp(self, name: str) -> Stamp:
        stamps = []
        for file in self._files(name):
            try:
                found = file.stat()
            except OSError:
                continue
            stamps.append((file.name, found.st_mtime_ns, found.st_ino))
        return tuple(stamps)

    def _files(self, name: str) -> list[Path]:
        """Key files; a volume keeps its own names with a leading dot."""
        try:
            found = list((self._directory / name).iterdir())
        except OSError:
            return []
        return sorted(file for file in found if not file.name.startswith("."))
