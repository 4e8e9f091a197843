"""Plans as files: one `plan.json.gz` below each folder of the plans directory, as a ConfigMap volume lays them.

The worker asks for changes; kubelet swaps a whole volume by one rename of `..data`, so a read never sees half.
"""

import hashlib
import logging
from dataclasses import dataclass, field
from pathlib import Path

from intops_api.names import PLAN_KEY
from intops_api.plan import FlowPlan
from intops_core.planning import PlanError, decode_plan

log = logging.getLogger("intops.worker")

FlowKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class PlanChanges:
    """What differs from the last look."""

    changed: dict[FlowKey, FlowPlan] = field(default_factory=dict)
    gone: frozenset[FlowKey] = frozenset()
    unreadable: dict[str, str] = field(default_factory=dict)
    """Folder → why its plan cannot be read, in a sentence."""
    refused: dict[FlowKey, str] = field(default_factory=dict)
    """The same by Flow, where the Flow is known: it was read before, or the rest of the plan tells."""


class PlanFiles:
    """The plans directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._seen: dict[Path, str] = {}
        self._flows: dict[Path, FlowKey] = {}
        self._unread: set[Path] = set()
        self._unopened: set[Path] = set()

    @property
    def are_all_read(self) -> bool:
        """Whether no Flow can be there that is not known."""
        return not self._unread and not self._unopened

    def look(self) -> PlanChanges:
        """Read what has changed since the last look.

        Raises:
            OSError: the directory cannot be read now; nothing is known to be gone.
        """
        changed: dict[FlowKey, FlowPlan] = {}
        unreadable: dict[str, str] = {}
        refused: dict[FlowKey, str] = {}
        gone: set[FlowKey] = set()
        present = set()
        self._unopened = set()
        for path in files_named(PLAN_KEY, self._directory):
            try:
                data = path.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                # Such as too many open files: that it cannot be read does not say that it is gone.
                present.add(path)
                self._unopened.add(path)
                continue
            present.add(path)
            digest = hashlib.sha256(data).hexdigest()
            if self._seen.get(path) == digest:
                continue
            self._seen[path] = digest
            try:
                plan = decode_plan(data)
            except PlanError as error:
                unreadable[path.parent.name] = str(error)
                self._unread.add(path)
                flow = self._flows.get(path, error.flow)
                if flow is not None:
                    self._flows[path] = flow
                    refused[flow] = str(error)
                continue
            self._unread.discard(path)
            key = (plan.flow.namespace, plan.flow.name)
            if self._flows.get(path, key) != key:
                gone.add(self._flows[path])
            self._flows[path] = key
            changed[key] = plan
        gone |= {self._flows.pop(path) for path in set(self._flows) - present}
        for path in set(self._seen) - present:
            del self._seen[path]
        self._unread &= present
        gone -= set(self._flows.values())
        return PlanChanges(changed, frozenset(gone), unreadable, refused)


def files_named(name: str, directory: Path) -> list[Path]:
    """Where files of a name may be: in each folder of a directory.

    Not `glob`, which takes a directory that cannot be read for an empty one.

    Raises:
        OSError: the directory cannot be read now.
    """
    try:
        return sorted(folder / name for folder in directory.iterdir())
    except FileNotFoundError:
        return []
