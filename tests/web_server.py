"""The web process as it runs in production, on the test database, for what only a wire can show."""

import os
import socket
import subprocess
import time
from pathlib import Path

import psutil

from fleetd.settings.env import Environment
from fleetd.settings.registry import SETTINGS
from fleetd.supervisor.commands import web
from tests.platform.runner import ROOT, free_ports, wait_for
from tests.platform_servers import test_platform

START_SECONDS = 60
STOP_SECONDS = 10


class WebServer:
    """One uvicorn with settings of its own; several may run side by side."""

    def __init__(self, log: Path, **changes: str) -> None:
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        self.temporary = log.with_suffix(".tmp")
        self.temporary.mkdir(exist_ok=True)
        self._environment = os.environ | {
            "FLEETD_WEB_LISTEN": f"127.0.0.1:{self.port}",
            "DJANGO_SETTINGS_MODULE": "fleetd.settings.test",
            "PYTHONPATH": f"{ROOT}:{ROOT / 'agent'}",
            "TMPDIR": str(self.temporary),
            **changes,
        }
        self.process: psutil.Popen | None = None

    def __enter__(self) -> "WebServer":
        listen = {"FLEETD_WEB_LISTEN": f"127.0.0.1:{self.port}"}
        command = web(Environment(SETTINGS, listen), test_platform.layout)[0].command
        with self.log.open("wb") as output:
            self.process = psutil.Popen(
                command,
                env=self._environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        wait_for(self._answers, START_SECONDS, f"web server; see {self.log}")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except psutil.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @property
    def memory(self) -> int:
        """Bytes that the process holds in memory."""
        return int(self.process.memory_info().rss)

    def send(
        self,
        head: str,
        *headers: str,
        body: bytes = b"",
        drip: bytes = b"",
        seconds: float = 20,
    ) -> tuple[int, bytes]:
        """Sends these bytes, then `drip` every tenth of a second; the status and all that came.

        The status is 0 where the server closed the connection without a word.
        """
        lines = [head, f"Host: 127.0.0.1:{self.port}", "Connection: close", *headers, "", ""]
        received = b""
        with socket.create_connection(("127.0.0.1", self.port)) as wire:
            wire.settimeout(0.1)
            left = memoryview("\r\n".join(lines).encode("latin-1") + body)
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                try:
                    if left:
                        left = left[wire.send(left[: 1 << 20]) :]
                        continue
                    if drip:
                        wire.sendall(drip)
                    part = wire.recv(1 << 16)
                except TimeoutError:
                    continue
                except OSError:
                    left = memoryview(b"")
                    part = _rest(wire)
                if not part:
                    break
                received += part
        status = received.partition(b" ")[2][:3]
        return int(status) if status.isdigit() else 0, received

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.send("GET /healthz HTTP/1.1", seconds=5)[0] == 200
        except OSError:
            return False


def _rest(wire: socket.socket) -> bytes:
    """What came before the server closed in the middle of our sending."""
    try:
        return wire.recv(1 << 16)
    except OSError:
        return b""
