"""Where `intops run` keeps its plans, Secrets, store and socket, and how other commands find it.

A session is a folder (default `.intops` in the working directory); everything a run leaves is in it.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

DEFAULT_STATE = Path(".intops")
SESSION_VARIABLE = "INTOPS_SESSION"
# sun_path holds 104 bytes on macOS and 108 on Linux, with the zero at its end (unix(4), unix(7)).
MAX_SOCKET_PATH = 103


@dataclass(frozen=True, slots=True)
class Running:
    """A worker that runs, or ran, from this session."""

    pid: int
    folder: str
    capture_port: int
    operations_port: int
    endpoints: dict[str, str] = field(default_factory=dict)
    """Endpoints that were given instead of those of the Connectors."""


@dataclass(frozen=True, slots=True)
class Session:
    """One state folder."""

    root: Path

    @property
    def plans(self) -> Path:
        """Plans, one folder each."""
        return self.root / "plans"

    @property
    def secrets(self) -> Path:
        """Secrets, one folder each; readable by the owner only."""
        return self.root / "secrets"

    @property
    def data(self) -> Path:
        """Stores."""
        return self.root / "data"

    @property
    def socket(self) -> Path:
        """Socket on which the worker answers questions of the command line."""
        return self.root / "console.sock"

    @property
    def too_deep(self) -> bool:
        """Whether the socket's path is longer than the system allows."""
        return len(os.fsencode(self.socket)) > MAX_SOCKET_PATH

    @property
    def _marker(self) -> Path:
        return self.root / "worker.json"

    def prepare(self) -> None:
        """Make the folders; Secrets, and the messages in the stores, are for the owner's eyes only."""
        for folder in (self.plans, self.secrets, self.data):
            folder.mkdir(parents=True, exist_ok=True)
        for folder in (self.secrets, self.data):
            folder.chmod(0o700)

    def write_secret(self, name: str, values: dict[str, str]) -> None:
        """Lay one Secret out as a mounted volume has it."""
        folder = self.secrets / name
        folder.mkdir(mode=0o700, exist_ok=True)
        for key, value in values.items():
            path = folder / key
            if not path.exists() or path.read_text(encoding="utf-8") != value:
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(value)

    def note(self, running: Running) -> None:
        """Say that a worker runs."""
        self._marker.write_text(json.dumps(asdict(running)), encoding="utf-8")

    def running(self) -> Running | None:
        """The worker that runs from here, if it is alive."""
        try:
            found = Running(**json.loads(self._marker.read_text(encoding="utf-8")))
            os.kill(found.pid, 0)
        except (OSError, ValueError, TypeError):
            return None
        return found

    @property
    def left_marker(self) -> bool:
        """Whether a worker is noted here, alive or not."""
        return self._marker.exists()

    def forget(self) -> None:
        """Say that the worker has ended."""
        self._marker.unlink(missing_ok=True)
        self.socket.unlink(missing_ok=True)


def session_at(state: str | None) -> Session:
    """The session that a command means: its flag, else $INTOPS_SESSION, else `.intops` here."""
    return Session(Path(state or os.environ.get(SESSION_VARIABLE) or DEFAULT_STATE))
