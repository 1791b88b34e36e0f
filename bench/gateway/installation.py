"""PostgreSQL and Valkey as the product runs them, with its schema, in a folder of their own."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def installation() -> Iterator[Path]:
    """Starts both servers, makes schema and authority, sets up Django on them; then stops all.

    The settings are the product's, so commits are durable.
    """
    from fleetd.settings.layout import DataLayout
    from fleetd.settings.registry import environment
    from fleetd.supervisor.processes import spawn, stop
    from fleetd.supervisor.servers import EmbeddedServers, generate_encryption_keys, generated

    root = Path(tempfile.mkdtemp(prefix="fleetd-bench-"))
    root.chmod(0o711)
    for name in ("DATABASE_URL", "REDIS_URL", "FLEETD_DATABASE_OWNER_URL"):
        os.environ.pop(name, None)
    os.environ["FLEETD_DATA_DIR"] = str(root)
    os.environ["DJANGO_SETTINGS_MODULE"] = "fleetd.settings.base"
    os.environ["FLEETD_LOG_LEVEL"] = "ERROR"
    layout = DataLayout(root)
    layout.logs.mkdir(parents=True)
    generated(layout, layout.secret_key.name)
    generate_encryption_keys(layout)
    servers = EmbeddedServers(environment(), layout)
    running = []
    try:
        for spec, is_ready in servers.specs():
            running.append((spawn(spec), spec))
            _wait_for(is_ready)
        servers.announce()
        _prepare()
        yield root
    finally:
        for process, spec in reversed(running):
            stop(process, spec)
        servers.close()
        shutil.rmtree(root, ignore_errors=True)


def _wait_for(is_ready: object) -> None:
    deadline = time.monotonic() + 60
    while not is_ready():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise RuntimeError("a server did not start")
        time.sleep(0.05)


def _prepare() -> None:
    owner = {**os.environ, "FLEETD_DB_ROLE": "owner"}
    command = [sys.executable, "manage.py", "migrate", "-v0"]
    subprocess.run(command, check=True, env=owner)
    import django

    django.setup()
    from apps.enrollment.services.authority import ensure_authority

    ensure_authority()
