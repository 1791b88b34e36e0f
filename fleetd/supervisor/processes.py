"""Child processes that never outlive the supervisor."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_STOP_POLL_SECONDS = 0.02


class StartError(Exception):
    """The platform cannot start; the message is for the person at the console."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Identity:
    """The operating system user that a child runs as."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Spec:
    """How to start and stop one child."""

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    identity: Identity | None = None
    directory: Path = Path("/")
    keep_open: Sequence[int] = ()
    stop_signal: signal.Signals = signal.SIGTERM
    # Sent by the kernel when the supervisor is gone, whatever killed it.
    orphan_signal: signal.Signals = signal.SIGKILL
    stop_seconds: float = 8.0


def spawn(spec: Spec, output: Path | None = None) -> subprocess.Popen[bytes]:
    """Starts a child in a session of its own, so that Ctrl-C reaches the supervisor alone."""
    identity = spec.identity
    with spec.log.open("ab") as log, (output or spec.log).open("ab") as standard_output:
        return subprocess.Popen(  # noqa: S603  commands are ours
            list(spec.command),
            stdin=subprocess.DEVNULL,
            stdout=standard_output,
            stderr=log,
            env=dict(spec.environment),
            cwd=spec.directory,
            pass_fds=spec.keep_open,
            start_new_session=True,
            user=identity.uid if identity else None,
            group=identity.gid if identity else None,
            extra_groups=[] if identity else None,
            preexec_fn=_tie_to_parent(spec.orphan_signal),
        )


def _tie_to_parent(orphan_signal: signal.Signals) -> Callable[[], None] | None:
    """Runs in the child after it has changed its user, which would clear the tie."""
    if not sys.platform.startswith("linux"):
        return None
    parent, libc = os.getpid(), ctypes.CDLL(None)

    def tie() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(orphan_signal))
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return tie


def signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signals a child with everything that it started."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def stop(process: subprocess.Popen[bytes], spec: Spec) -> None:
    """Asks a child to stop, waits, kills what is left. Blocks; the supervisor does it in steps."""
    if process.poll() is None:
        process.send_signal(spec.stop_signal)
    deadline = time.monotonic() + spec.stop_seconds
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(_STOP_POLL_SECONDS)
    signal_group(process, signal.SIGKILL)
    process.wait()


def last_lines(path: Path, count: int = 12) -> list[str]:
    """The end of a log file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16384))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return []
