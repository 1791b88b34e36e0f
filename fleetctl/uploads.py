"""Uploads in parts, which go on where they stopped: after a cut, and in another run of the command.

Where an upload stands is the server's word; kept here is only which upload a file belongs to, in
fleetctl/uploads.json below XDG_STATE_HOME (~/.local/state).
"""

import hashlib
import json
import mimetypes
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from fleetctl.client import Client, quoted
from fleetctl.errors import CONFLICT, NOT_FOUND, Refused, Unreachable, UsageError

PART_BYTES = 8 * 1024 * 1024
PAUSES = (1, 2, 4, 8, 15, 30, 30, 30)
BUSY = frozenset({429, 502, 503, 504})

Say = Callable[[str], None]


def upload_file(
    client: Client, path: Path, name: str, *, say: Say, pauses: tuple[float, ...] = PAUSES
) -> Any:
    """Uploads a file and answers with its artifact; content that is there already is not sent."""
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            size = stream.tell()
            if not size:
                raise UsageError(f"{path} is empty")
            return _Upload(client, stream, name, digest, size, say, pauses).run()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error


class _Upload:
    """One file on its way."""

    def __init__(
        self,
        client: Client,
        stream: BinaryIO,
        name: str,
        digest: str,
        size: int,
        say: Say,
        pauses: tuple[float, ...],
    ) -> None:
        self._client, self._stream, self._say, self._pauses = client, stream, say, pauses
        self._name, self._digest, self._size = name, digest, size
        self._key = f"{client.server} {digest} {name}"

    def run(self) -> Any:
        """Sends what is missing, then completes."""
        address = self._begun() or self._begin()
        sent = self._patiently(lambda: self._client.upload_offset(address))
        while sent < self._size:
            sent = self._patiently(lambda at=sent: self._send(address, at))  # type: ignore[misc]
            self._say(f"{sent * 100 // self._size} % of {self._size} bytes")
        artifact = self._patiently(lambda: self._client.post(f"{address}:complete"))
        _remember(self._key, None)
        return artifact

    def _begun(self) -> str:
        """The address of an earlier run's upload, while the server knows it."""
        address = _known().get(self._key, "")
        if not address:
            return ""
        try:
            self._client.upload_offset(address)
        except Refused as error:
            if error.exit_code == NOT_FOUND:
                return ""
            raise
        self._say("going on where it stopped")
        return address

    def _begin(self) -> str:
        kind = mimetypes.guess_type(self._name)[0] or "application/octet-stream"
        made = self._client.post(
            "artifact-uploads",
            {
                "name": self._name,
                "size_bytes": self._size,
                "content_type": kind,
                "sha256": self._digest,
            },
        )
        address = f"artifact-uploads/{quoted(made['id'])}"
        _remember(self._key, address)
        return address

    def _send(self, address: str, offset: int) -> int:
        """Sends the next part; a part that is not the next one tells where to go on."""
        self._stream.seek(offset)
        try:
            return self._client.send_part(address, offset, self._stream.read(PART_BYTES))
        except Refused as error:
            if error.exit_code != CONFLICT:
                raise
            return self._client.upload_offset(address)

    def _patiently(self, call: Callable[[], Any]) -> Any:
        """Tries again after a cut, with growing pauses."""
        for pause in self._pauses:
            try:
                return call()
            except Unreachable as error:
                self._say(f"{error}; trying again")
            except Refused as error:
                if error.status not in BUSY:
                    raise
                self._say(f"{error}; trying again")
            time.sleep(pause)
        return call()


def say_to_stderr(text: str) -> None:
    """Progress goes beside the output."""
    sys.stderr.write(f"{text}\n")


def _place() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "fleetctl" / "uploads.json"


def _known() -> dict[str, str]:
    try:
        found = json.loads(_place().read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _remember(key: str, address: str | None) -> None:
    """Best effort: without it an upload only begins anew."""
    known = _known()
    known.pop(key, None)
    if address is not None:
        known[key] = address
    with suppress(OSError):
        place = _place()
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh = place.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(known))
        fresh.replace(place)
