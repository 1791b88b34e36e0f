"""A TUF repository on a line that an attacker holds: it serves what was published, or worse."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from apps.core.actors import Actor
from apps.updates.models import SigningMetadata

ENDLESS_BLOCKS = 100_000
DRIP_SECONDS = 0.05


class Line(ThreadingHTTPServer):
    """Serves `files` by path. `endless` and `dripping` paths are answered so."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.endless: set[str] = set()
        self.dripping: set[str] = set()
        self.sent = 0

    @property
    def url(self) -> str:
        """Where the repository is."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def publish(self, actor: Actor) -> dict[str, bytes]:
        """Serves what the organization has published; answers it, to be served again later."""
        newest: dict[str, SigningMetadata] = {}
        files: dict[str, bytes] = {}
        rows = SigningMetadata.objects.for_org(actor.organization_id).order_by("version")
        for row in rows:
            files[f"/metadata/{row.version}.{row.role}.json"] = row.content.encode()
            newest[row.role] = row
        files["/metadata/timestamp.json"] = newest["timestamp"].content.encode()
        self.files.update(files)
        return files


class _Handler(BaseHTTPRequestHandler):
    server: Line

    def do_GET(self) -> None:
        """Answers as the attacker likes."""
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        try:
            self._send(content)
        except OSError:  # the client has had enough
            self.close_connection = True

    def _send(self, content: bytes) -> None:
        if self.path in self.server.endless:
            for _ in range(ENDLESS_BLOCKS):
                self.wfile.write(b" " * 10_000)
                self.server.sent += 10_000
        elif self.path in self.server.dripping:
            for byte in content:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(DRIP_SECONDS)
        else:
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


@contextmanager
def serve() -> Iterator[Line]:
    """A line for one test."""
    line = Line()
    threading.Thread(target=line.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield line
    finally:
        line.shutdown()
        line.server_close()
