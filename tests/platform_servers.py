"""The suite's own PostgreSQL and Valkey, and the whole platform where a test asks for it.

Loaded as a plugin before Django reads its settings: the environment of this process points at a
data directory of this run, so the product's own settings find the test servers and so do child
processes of tests. One PostgreSQL serves all xdist workers; each has a database of its own, copied
from one that was migrated once. Tests connect as the application role, so row level security is in
force.
"""

import atexit
import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg
import pytest

from fleetd.settings.layout import DataLayout, read_private, write_private
from fleetd.supervisor import roles
from fleetd.supervisor.identity import server_identity
from fleetd.supervisor.postgres import (
    SUPERUSER,
    UNSAFE_BUT_FAST,
    PostgresServer,
    create_database,
)
from fleetd.supervisor.processes import spawn, stop
from fleetd.supervisor.runtime import RuntimeDirectory
from fleetd.supervisor.servers import generate_encryption_keys
from fleetd.supervisor.valkey import ValkeyServer

SHARED_VARIABLE = "TEST_PLATFORM_DIR"
WHOLE_PLATFORM = ("tests/platform/",)
KEPT_TABLES = frozenset({"django_migrations"})
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")
DATABASE = f"fleetd_{WORKER}"
MAIN_DATABASE = "fleetd_main"


class TestPlatform:
    """Where the servers of this run are reached; the first process of the run owns PostgreSQL."""

    __test__ = False

    def __init__(self) -> None:
        self.owns_postgres = SHARED_VARIABLE not in os.environ
        self.shared = Path(
            os.environ.get(SHARED_VARIABLE) or tempfile.mkdtemp(prefix="fleetd-test-")
        )
        self.shared.chmod(0o711)
        os.environ[SHARED_VARIABLE] = str(self.shared)
        self.layout = DataLayout(self.shared / WORKER)
        self.layout.logs.mkdir(parents=True, exist_ok=True)
        self.runtime = RuntimeDirectory(self.layout, shared=True)
        self.identity = server_identity(self.shared / "postgres")
        self.valkey = ValkeyServer(
            self.runtime, self.layout.logs / "valkey.log", identity=self.identity
        )
        self._postgres: PostgresServer | None = None
        self._processes: list[tuple[subprocess.Popen[bytes], object]] = []
        self.password = self._shared_text("password", secrets.token_urlsafe(32))
        if self.owns_postgres:
            self._create_postgres()
        self.postgres_folder = Path(self._shared_text("socket-directory", ""))
        self._announce()

    def url(self, role: str, database: str = DATABASE) -> str:
        """How a role reaches a database of this run."""
        return f"postgresql://{role}:{self.password}@/{database}?host={self.postgres_folder}"

    def start_postgres(self) -> None:
        """Starts PostgreSQL in the process that owns it; elsewhere it runs already."""
        if self._postgres is None or any(s.name == "postgres" for _, s in self._processes):
            return
        self._postgres.initialize(self.password, sync=False)
        process = self._spawn(self._postgres.spec())
        self._postgres.wait_until_ready(process, self.password)
        passwords = dict.fromkeys((roles.OWNER, roles.APP, roles.AUDITOR), self.password)
        create_database(self._postgres, self.password, passwords)

    def start_valkey(self) -> None:
        """Starts this process's own Valkey."""
        if not any(s.name == "valkey" for _, s in self._processes):
            self.valkey.wait_until_ready(self._spawn(self.valkey.spec()))

    def create_main_database(self) -> None:
        """An empty database with the rights of the product's roles."""
        self.execute("postgres", f"CREATE DATABASE {MAIN_DATABASE} OWNER {roles.OWNER}")
        self.execute(MAIN_DATABASE, *roles.database_statements(MAIN_DATABASE))

    def create_worker_database(self) -> None:
        """A copy of the migrated database for this xdist worker."""
        statement = f"CREATE DATABASE {DATABASE} TEMPLATE {MAIN_DATABASE} OWNER {roles.OWNER}"
        self.execute("postgres", statement)
        self.execute(DATABASE, *roles.database_statements(DATABASE))

    def execute(self, database: str, *statements: str) -> None:
        """Runs statements as superuser."""
        with psycopg.connect(self.url(SUPERUSER, database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def close(self) -> None:
        """Stops what this process started and deletes its files."""
        for process, spec in reversed(self._processes):
            stop(process, spec)
        self._processes.clear()
        if self._postgres:
            self._postgres.close()
        self.runtime.remove()
        if self.owns_postgres:
            shutil.rmtree(self.shared, ignore_errors=True)

    def _spawn(self, spec: object) -> subprocess.Popen[bytes]:
        process = spawn(spec)
        self._processes.append((process, spec))
        return process

    def _create_postgres(self) -> None:
        self._postgres = PostgresServer(
            self.shared / "postgres",
            self.runtime,
            self.shared / "postgres.log",
            identity=self.identity,
            extra_settings=UNSAFE_BUT_FAST,
        )
        write_private(self.shared / "socket-directory", str(self._postgres.socket_directory))

    def _shared_text(self, name: str, default: str) -> str:
        path = self.shared / name
        if read_private(path) is None:
            write_private(path, default)
        return read_private(path) or default

    def _announce(self) -> None:
        """Lets the product's settings find the servers, here and in child processes."""
        os.environ["FLEETD_DATA_DIR"] = str(self.layout.root)
        write_private(self.layout.secret_key, secrets.token_urlsafe(48))
        generate_encryption_keys(self.layout)
        write_private(self.layout.redis_url, self.valkey.url)
        for short, role in (("app", roles.APP), ("owner", roles.OWNER), ("auditor", roles.AUDITOR)):
            write_private(self.layout.database_url(short), self.url(role))


test_platform = TestPlatform()
atexit.register(test_platform.close)


def pytest_configure(config: pytest.Config) -> None:
    """With xdist the controller serves the database, because workers may end one by one."""
    if WORKER == "main" and getattr(config.option, "numprocesses", None):
        from pytest_django.plugin import blocking_manager_key

        with config.stash[blocking_manager_key].unblock():
            migrate_main_database()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Keeps tests of the whole platform in one process, which starts it once; spreads the others.

    xdist's own `loadgroup` has no effect with this version of pytest.
    """
    from xdist.scheduler.loadscope import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((f for f in WHOLE_PLATFORM if nodeid.startswith(f)), nodeid)

    return Scheduling(config, log)


def migrate_main_database() -> None:
    """Creates and migrates the database as its owner, in this process."""
    from django.core.management import call_command
    from django.db import connections

    test_platform.start_postgres()
    test_platform.create_main_database()
    with connected_as_owner():
        call_command("migrate", verbosity=0, interactive=False)
    connections.close_all()
    remember_rows(MAIN_DATABASE)


class connected_as_owner:  # noqa: N801  reads as a statement
    """Django's default connection as the schema's owner, without a pool."""

    def __enter__(self) -> None:
        from django.db import connections

        connections.close_all()
        self._settings = connections.settings["default"]
        self._before = dict(self._settings)
        options = {k: v for k, v in self._settings["OPTIONS"].items() if k != "pool"}
        self._settings.update(USER=roles.OWNER, NAME=MAIN_DATABASE, OPTIONS=options)

    def __exit__(self, *_: object) -> None:
        from django.db import connections

        connections.close_all()
        self._settings.update(self._before)


def table_names(connection: psycopg.Connection) -> list[str]:
    """All tables of the public schema that tests may fill."""
    rows = connection.execute(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
    ).fetchall()
    return [name for (name,) in rows if name not in KEPT_TABLES]


def filled_tables(connection: psycopg.Connection, names: list[str]) -> list[str]:
    """Those of the tables that hold rows."""
    if not names:
        return []
    query = " UNION ALL ".join(
        f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM public.\"{name}\")" for name in names
    )
    return [name for (name,) in connection.execute(query.encode()).fetchall()]


def remember_rows(database: str) -> None:
    """Keeps what migrations put into tables, so that a flush can put it back."""
    with psycopg.connect(test_platform.url(SUPERUSER, database), autocommit=True) as connection:
        connection.execute("CREATE SCHEMA pristine")
        for name in filled_tables(connection, table_names(connection)):
            connection.execute(f'CREATE TABLE pristine."{name}" AS TABLE public."{name}"'.encode())


def flush_database() -> None:
    """Empties all tables and restores the rows of migrations.

    Done as superuser: the application role may not truncate, and must not be able to.
    """
    url = test_platform.url(SUPERUSER)
    with psycopg.connect(url, options="-c lock_timeout=20s") as connection:
        connection.execute("SET session_replication_role = replica")
        names = filled_tables(connection, table_names(connection))
        if not names:
            return
        tables = ", ".join(f'public."{name}"' for name in names)
        connection.execute(f"TRUNCATE {tables} CASCADE".encode())
        kept = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'pristine'"
        ).fetchall()
        for (name,) in kept:
            connection.execute(
                f'INSERT INTO public."{name}" SELECT * FROM pristine."{name}"'
                f" ON CONFLICT DO NOTHING".encode()
            )
