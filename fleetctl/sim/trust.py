"""The metadata that simulated devices check releases against: one copy for the whole fleet.

Each device checks its own instructions and files, as a real one does. Only the downloads of the
repository are shared, because a thousand devices in one process are no thousand machines.
"""

import threading
import time
from pathlib import Path
from urllib.request import OpenerDirector

from fleetd_agent.trust import Repository
from tuf.api.metadata import Root, TargetFile

SHARED_SECONDS = 30.0


class SharedRepository(Repository):
    """Asks the platform again after half a minute, or for a file that it has not heard of."""

    def __init__(self, folder: Path, opener: OpenerDirector) -> None:
        super().__init__(folder, opener)
        self._lock = threading.Lock()
        self._asked: tuple[str, str] = ("", "")
        self._at = 0.0
        self._root: Root | None = None
        self._known: dict[str, TargetFile | None] = {}

    def look_up(
        self, url: str, root: str, paths: list[str]
    ) -> tuple[Root, dict[str, TargetFile | None]]:
        """As every device asks, one at a time."""
        with self._lock:
            is_old = time.monotonic() - self._at > SHARED_SECONDS or self._asked != (url, root)
            if is_old:
                self._known = {}
            if self._root is None or any(self._known.get(path) is None for path in paths):
                self._root, found = super().look_up(url, root, paths)
                self._known |= found
                self._asked, self._at = (url, root), time.monotonic()
            return self._root, {path: self._known[path] for path in paths}
