"""Decisions as files: one `actions.json` beside each plan, as the ConfigMap volume lays it.

The worker looks once a second. A file that cannot be read is told once and waits for a better one.
"""

import hashlib
import logging
from pathlib import Path

from pydantic import ValidationError

from intops_api.actions import ACTIONS_SCHEMA, PlanActions
from intops_api.names import ACTIONS_KEY
from intops_runtime.edges.plan_files import files_named

log = logging.getLogger("intops.worker")

FlowKey = tuple[str, str]


class ActionFiles:
    """Decisions in the plans directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._seen: dict[Path, tuple[str, PlanActions | None]] = {}

    def look(self) -> dict[FlowKey, PlanActions]:
        """What stands there now, by Flow.

        Raises:
            OSError: the directory cannot be read now.
        """
        found: dict[FlowKey, PlanActions] = {}
        present = files_named(ACTIONS_KEY, self._directory)
        for path in present:
            actions = self._read(path)
            if actions is not None:
                found[actions.namespace, actions.flow] = actions
        for path in set(self._seen) - set(present):
            del self._seen[path]
        return found

    def _read(self, path: Path) -> PlanActions | None:
        known = self._seen.get(path)
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            self._seen.pop(path, None)
            return None
        except OSError:
            return known[1] if known is not None else None
        digest = hashlib.sha256(data).hexdigest()
        if known is not None and known[0] == digest:
            return known[1]
        actions: PlanActions | None = None
        try:
            actions = PlanActions.model_validate_json(data)
        except ValidationError as error:
            why = str(error.errors(include_input=False, include_url=False)[0]["msg"])
            log.error("decisions cannot be read", extra={"data": {"file": str(path), "why": why}})
        if actions is not None and actions.schema_ > ACTIONS_SCHEMA:
            why = f"schema {actions.schema_}, and this worker knows {ACTIONS_SCHEMA}"
            log.error("decisions cannot be read", extra={"data": {"file": str(path), "why": why}})
            actions = None
        self._seen[path] = (digest, actions)
        return actions
