"""A short directory for sockets: their paths must fit into 107 bytes, wherever the data lies."""

import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path

from fleetd.settings.layout import DataLayout, read_private, write_private

PREFIX = "fleetd-"


class RuntimeDirectory:
    """One fresh directory per start; what a killed run left behind is removed on the next start."""

    def __init__(self, layout: DataLayout, *, shared: bool) -> None:
        self._note = layout.run / "runtime-directory"
        self._remove_previous()
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_base()))
        # Another user's server has to reach its own folder below; names inside stay unlisted.
        self.path.chmod(0o711 if shared else 0o700)
        write_private(self._note, str(self.path))
        # systemd-tmpfiles leaves a directory alone while somebody holds a lock on it.
        self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._lock, fcntl.LOCK_SH)

    def folder(self, name: str, *, uid: int | None = None, gid: int | None = None) -> Path:
        """A private folder inside, for one server and its user."""
        path = self.path / name
        path.mkdir(mode=0o700, exist_ok=True)
        if uid is not None and gid is not None:
            os.chown(path, uid, gid)
        return path

    def remove(self) -> None:
        """Deletes the directory and forgets it."""
        os.close(self._lock)
        shutil.rmtree(self.path, ignore_errors=True)
        self._note.unlink(missing_ok=True)

    def _remove_previous(self) -> None:
        noted = read_private(self._note)
        if noted and _is_ours(Path(noted)):
            shutil.rmtree(noted, ignore_errors=True)


def _base() -> str:
    base = tempfile.gettempdir()
    return base if len(base) <= 40 else "/tmp"  # noqa: S108  mkdtemp makes the name unguessable


def _is_ours(path: Path) -> bool:
    try:
        info = path.lstat()
    except OSError:
        return False
    return (
        path.name.startswith(PREFIX)
        and stat.S_ISDIR(info.st_mode)
        and info.st_uid == os.geteuid()
        and len(path.parts) > 2
    )
