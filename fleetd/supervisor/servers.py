"""The embedded servers of one installation: PostgreSQL and Valkey, where none are given."""

import secrets
from collections.abc import Callable

from fleetd.settings.env import Environment
from fleetd.settings.layout import DataLayout, read_private, write_private
from fleetd.settings.sealing_keys import new_key, write_keys
from fleetd.supervisor import roles
from fleetd.supervisor.identity import server_identity
from fleetd.supervisor.postgres import PostgresServer, create_database
from fleetd.supervisor.processes import Spec
from fleetd.supervisor.runtime import RuntimeDirectory
from fleetd.supervisor.valkey import ValkeyServer

PASSWORD_BYTES = 48
_ROLE_NAMES = {"owner": roles.OWNER, "app": roles.APP, "auditor": roles.AUDITOR}


def generated(layout: DataLayout, name: str) -> str:
    """A secret of this installation, made on first use."""
    path = layout.secrets / name
    if (known := read_private(path)) is None:
        known = secrets.token_urlsafe(PASSWORD_BYTES)
        write_private(path, known)
    return known


def generate_encryption_keys(layout: DataLayout) -> None:
    """The key that seals secrets of this installation, made on first use."""
    if read_private(layout.encryption_keys) is None:
        write_private(layout.encryption_keys, write_keys((new_key(),)))


class EmbeddedServers:
    """What this installation runs itself; empty where both URLs are given."""

    def __init__(self, environment: Environment, layout: DataLayout) -> None:
        self._layout = layout
        self.postgres: PostgresServer | None = None
        self.valkey: ValkeyServer | None = None
        self._runtime: RuntimeDirectory | None = None
        wants_postgres = not environment.is_set("DATABASE_URL")
        wants_valkey = not environment.is_set("REDIS_URL")
        if not (wants_postgres or wants_valkey):
            return
        identity = server_identity(layout.postgres)
        self._runtime = RuntimeDirectory(layout, shared=identity is not None)
        if wants_postgres:
            self._password = generated(layout, "database-superuser-password")
            log = layout.logs / "postgres.log"
            self.postgres = PostgresServer(layout.postgres, self._runtime, log, identity=identity)
        if wants_valkey:
            log = layout.logs / "valkey.log"
            self.valkey = ValkeyServer(self._runtime, log, identity=identity)

    def specs(self) -> list[tuple[Spec, Callable[[], bool]]]:
        """What to start, and how to tell that it serves. Creates the cluster on first start."""
        wanted: list[tuple[Spec, Callable[[], bool]]] = []
        if self.postgres:
            if not self.postgres.is_initialized:
                self.postgres.initialize(self._password)
            self.postgres.wait_for_previous()
            wanted.append((self.postgres.spec(), self._is_postgres_ready))
        if self.valkey:
            wanted.append((self.valkey.spec(), self.valkey.is_ready))
        return wanted

    def announce(self) -> None:
        """Once both serve: makes roles and database, and writes where they are reached."""
        if self.postgres:
            passwords = {
                role: generated(self._layout, f"database-{name}-password")
                for name, role in _ROLE_NAMES.items()
            }
            create_database(self.postgres, self._password, passwords)
            for name, role in _ROLE_NAMES.items():
                url = self.postgres.url(role, passwords[role])
                write_private(self._layout.database_url(name), url)
        if self.valkey:
            write_private(self._layout.redis_url, self.valkey.url)

    def close(self) -> None:
        """After both have stopped: removes their sockets and what points at them."""
        for name in _ROLE_NAMES:
            self._layout.database_url(name).unlink(missing_ok=True)
        self._layout.redis_url.unlink(missing_ok=True)
        if self.postgres:
            self.postgres.close()
        if self._runtime:
            self._runtime.remove()

    def _is_postgres_ready(self) -> bool:
        return self.postgres is not None and self.postgres.is_ready(self._password)
