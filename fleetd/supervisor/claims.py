"""What a start claims for itself alone: the data directory and the ports."""

import fcntl
import os
import socket
from pathlib import Path

from fleetd.settings.env import Address
from fleetd.supervisor.processes import StartError

ALREADY_RUNNING = 2
PORT_BUSY = 3


class DataDirectoryLock:
    """Held as long as the process lives; the kernel lets go of it whatever ends the process."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 32).decode().strip() or "unknown"
            os.close(self._descriptor)
            raise StartError(
                f"{path.parent} is already in use by a running fleetd (process {holder});"
                " stop that one first, or set FLEETD_DATA_DIR",
                ALREADY_RUNNING,
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Lets another start have the directory."""
        os.close(self._descriptor)


def is_running(path: Path) -> bool:
    """Whether a supervisor holds the lock of a data directory."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def require_free_ports(listeners: dict[str, Address]) -> None:
    """Refuses to start when a listener's port is taken, before anything else has begun."""
    taken = [
        f"{address} is in use by another program; set {name} to a free one"
        for name, address in listeners.items()
        if not _is_free(address)
    ]
    if taken:
        raise StartError("; ".join(taken), PORT_BUSY)


def _is_free(address: Address) -> bool:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address.host, address.port))
        except OSError:
            return False
    return True
