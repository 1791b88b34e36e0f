"""The commands of the platform's own processes, and the environment that they run in."""

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from fleetd.settings.env import Address, Environment
from fleetd.settings.layout import DataLayout
from fleetd.supervisor.processes import Spec

ROOT = Path(__file__).resolve().parent.parent.parent
_PROBE_SECONDS = 1.0


def child_environment(layout: DataLayout) -> dict[str, str]:
    """What children inherit. Secrets are not in it: they read them from the data directory."""
    paths = [str(ROOT), str(ROOT / "agent"), os.environ.get("PYTHONPATH", "")]
    return os.environ | {
        "FLEETD_DATA_DIR": str(layout.root),
        "DJANGO_SETTINGS_MODULE": "fleetd.settings.base",
        "PYTHONPATH": os.pathsep.join(p for p in paths if p),
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        # Many allocation arenas cost memory that a platform at rest does not need.
        "MALLOC_ARENA_MAX": os.environ.get("MALLOC_ARENA_MAX", "2"),
    }


def python(name: str, layout: DataLayout, *arguments: str, **changes: str) -> Spec:
    """A child that runs Python with our code on its path."""
    return Spec(
        name=name,
        command=[sys.executable, *arguments],
        log=layout.logs / f"{name}.log",
        environment=child_environment(layout) | changes,
        directory=Path.cwd(),
    )


def web(environment: Environment, layout: DataLayout) -> tuple[Spec, Callable[[], bool]]:
    """uvicorn, which never believes a proxy header itself: our own middleware counts proxies."""
    address = environment.address("FLEETD_WEB_LISTEN")
    spec = python(
        "web",
        layout,
        *("-m", "uvicorn", "fleetd.asgi:application", "--no-proxy-headers", "--no-server-header"),
        *("--http", "fleetd.web_protocol:BoundedHttpProtocol"),
        *("--host", address.host, "--port", str(address.port), "--no-access-log"),
        *("--log-level", "warning", "--timeout-graceful-shutdown", "3", "--ws-max-size", "65536"),
    )
    return spec, lambda: answers_http(address)


def gateway(environment: Environment, layout: DataLayout) -> tuple[Spec, Callable[[], bool]]:
    """Agent gRPC and public gRPC in one process."""
    addresses = [environment.address(f"FLEETD_{name}_LISTEN") for name in ("AGENT", "GRPC")]
    return python("gateway", layout, "-m", "fleetd.rpc"), lambda: all(map(accepts, addresses))


def worker(environment: Environment, layout: DataLayout) -> tuple[Spec, Callable[[], bool]]:
    """One Celery worker with the clock that wakes the sweeps."""
    ready = layout.run / "worker-ready"
    ready.unlink(missing_ok=True)
    spec = python(
        "worker",
        layout,
        *("-m", "celery", "-A", "fleetd", "worker", "-B", "--loglevel", "WARNING"),
        *("--scheduler", "celery.beat:Scheduler", "--without-gossip", "--without-mingle"),
    )
    return spec, ready.exists


def answers_http(address: Address) -> bool:
    """Whether a web server answers its health check."""
    try:
        with socket.create_connection((address.host, address.port), _PROBE_SECONDS) as client:
            client.settimeout(_PROBE_SECONDS * 5)
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return client.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def accepts(address: Address) -> bool:
    """Whether something listens."""
    try:
        socket.create_connection((address.host, address.port), _PROBE_SECONDS).close()
    except OSError:
        return False
    return True
