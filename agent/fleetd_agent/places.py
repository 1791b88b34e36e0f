"""Where the agent keeps things, and its configuration."""

import fcntl
import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SYSTEM_STATE = Path("/var/lib/fleetd")
SYSTEM_CONFIGURATION = Path("/etc/fleetd/agent.toml")
MAXIMUM_LABELS = 200


class Problem(Exception):
    """Something the person at the keyboard has to know; printed without a traceback."""


class AlreadyRunning(Problem):
    """Another agent works in this state directory."""


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of one agent."""

    state: Path

    @property
    def downloads(self) -> Path:
        """Files of the deployment under way."""
        return self.state / "downloads"

    @property
    def status(self) -> Path:
        """What the running agent says of its connection."""
        return self.state / "status.json"

    @property
    def lock(self) -> Path:
        """Held by the running agent."""
        return self.state / "agent.lock"

    def create(self) -> None:
        """Makes the state directory, closed to others."""
        try:
            self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            message = f"cannot create {self.state}: {error.strerror}; set FLEETD_AGENT_STATE_DIR"
            raise Problem(message) from error

    def is_running(self) -> bool:
        """True when an agent holds the lock."""
        if not self.lock.exists():
            return False
        try:
            with self.hold():
                return False
        except AlreadyRunning:
            return True

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Makes sure that one agent works in this directory; the kernel lets go when it dies."""
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise AlreadyRunning(f"another agent works in {self.state}") from error
        try:
            yield
        finally:
            os.close(descriptor)


def default_places(environment: Mapping[str, str] = os.environ) -> Places:
    """FLEETD_AGENT_STATE_DIR, else /var/lib/fleetd for root, else the user's own state folder."""
    if chosen := environment.get("FLEETD_AGENT_STATE_DIR"):
        return Places(Path(chosen).absolute())
    if os.geteuid() == 0:
        return Places(SYSTEM_STATE)
    base = environment.get("XDG_STATE_HOME") or str(Path.home() / ".local/state")
    return Places(Path(base) / "fleetd")


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a person wrote for this device."""

    labels: Mapping[str, str]
    ca_file: str
    reboot_command: tuple[str, ...] = ()


def read_configuration(environment: Mapping[str, str] = os.environ) -> Configuration:
    """FLEETD_AGENT_CONFIG or /etc/fleetd/agent.toml: `ca_file`, `reboot_command`, `[labels]`."""
    path = Path(environment.get("FLEETD_AGENT_CONFIG") or SYSTEM_CONFIGURATION)
    data: dict[str, object] = {}
    if path.exists():
        try:
            data = tomllib.loads(path.read_text())
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise Problem(f"{path}: {error}") from error
    labels = data.get("labels", {})
    if not isinstance(labels, dict) or len(labels) > MAXIMUM_LABELS:
        raise Problem(f"{path}: [labels] must be a table with up to {MAXIMUM_LABELS} entries")
    ca_file = environment.get("FLEETD_CA_FILE") or str(data.get("ca_file", ""))
    command = data.get("reboot_command", [])
    if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
        raise Problem(f"{path}: reboot_command must be a list of words")
    facts = {str(k)[:128]: str(v)[:1024] for k, v in labels.items() if k}
    return Configuration(facts, ca_file, tuple(command))
