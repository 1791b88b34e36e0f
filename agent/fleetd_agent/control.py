"""What people at the device decide: pausing updates and approving deployments.

`fleetd-agent update …` writes a small file, the running agent reads it: it needs no socket, works
while the agent is stopped, and survives restarts.
"""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from fleetd_agent.files import write_atomic

APPROVALS_KEPT = 32


@dataclass(frozen=True, slots=True)
class Decisions:
    """What was decided so far."""

    is_paused: bool = False
    paused_at: str = ""
    approved: tuple[str, ...] = ()


class FileControl:
    """The decisions in `control.json`; nobody else than the agent's user may write there."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "control.json"
        self._seen: tuple[int, int] = (0, 0)
        self._known = Decisions()

    def read(self) -> Decisions:
        """The decisions now; the file is only read again after it has changed."""
        try:
            about = self._path.stat()
        except OSError:
            return Decisions()
        seen = (about.st_mtime_ns, about.st_ino)
        if seen != self._seen:
            self._known = _parse(self._path)
            self._seen = seen
        return self._known

    @property
    def is_paused(self) -> bool:
        """Whether no update may begin."""
        return self.read().is_paused

    def is_approved(self, deployment_id: str) -> bool:
        """Whether somebody here agreed to a deployment."""
        return deployment_id in self.read().approved

    def pause(self) -> None:
        """Lets no update begin; one that changes the machine already is finished."""
        if not self.is_paused:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            self._write(replace(self.read(), is_paused=True, paused_at=now))

    def resume(self) -> None:
        """Lets updates begin again."""
        self._write(replace(self.read(), is_paused=False, paused_at=""))

    def approve(self, deployment_id: str) -> None:
        """Agrees to one deployment."""
        approved = [*(i for i in self.read().approved if i != deployment_id), deployment_id]
        self._write(replace(self.read(), approved=tuple(approved[-APPROVALS_KEPT:])))

    def _write(self, decisions: Decisions) -> None:
        write_atomic(self._path, json.dumps(asdict(decisions)).encode())


def _parse(path: Path) -> Decisions:
    with suppress(OSError, ValueError, KeyError, TypeError):
        data = json.loads(path.read_bytes())
        approved = tuple(str(item) for item in data["approved"])
        return Decisions(bool(data["is_paused"]), str(data["paused_at"]), approved)
    # Who cannot be understood is taken at the safe word: nothing begins by itself.
    return Decisions(is_paused=True)
