"""A database for one check: made, given the product's roles, and dropped whatever happens."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from fleetd.settings.env import Environment
from fleetd.settings.layout import DataLayout, read_private
from fleetd.supervisor.commands import ROOT
from fleetd.supervisor.identity import server_identity
from fleetd.supervisor.postgres import SUPERUSER
from fleetd.supervisor.processes import StartError, spawn, stop
from fleetd.supervisor.runtime import RuntimeDirectory
from fleetd.supervisor.servers import generate_encryption_keys
from fleetd.supervisor.valkey import ValkeyServer

PREFIX = "fleetd_check_"
BASE_SETTINGS = "fleetd.settings.base"
_LIMITS = tuple(
    f"FLEETD_LIMIT_{name}"
    for name in ("ADDRESS", "UNAUTHENTICATED", "USER", "API_KEY", "ORGANIZATION", "SOCKETS")
)
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH")


@dataclass(frozen=True)
class Server:
    """How a PostgreSQL server is reached: by who may create databases, and by the application."""

    admin_url: str
    app_url: str
    owner_url: str = ""


def find_server(environment: Environment, layout: DataLayout, given: str | None) -> Server:
    """The server to use: the one that is named, else the owner's, else the embedded one.

    The application's role is the one that the platform itself works as.
    """
    app_url = environment.raw("DATABASE_URL") or read_private(layout.database_url("app"))
    owner_url = environment.raw("FLEETD_DATABASE_OWNER_URL")
    admin_url = given or owner_url or _embedded(layout)
    if not admin_url:
        raise StartError("give --database-url: the URL of a role that may create databases")
    if not app_url:
        raise StartError("DATABASE_URL is needed as well: the application's role is what is tried")
    owner_url = owner_url or read_private(layout.database_url("owner"))
    return Server(admin_url, app_url, owner_url or admin_url)


def _embedded(layout: DataLayout) -> str | None:
    """The embedded server's superuser, where one runs on this data directory."""
    owner_url = read_private(layout.database_url("owner"))
    password = read_private(layout.secrets / "database-superuser-password")
    if not owner_url or not password:
        return None
    return _with(owner_url, user=SUPERUSER, password=password, database="postgres")


@contextmanager
def scratch_database(server: Server) -> Iterator[dict[str, str]]:
    """Makes a database; gives the environment that points at it; drops it at the end."""
    name = PREFIX + secrets.token_hex(6)
    try:
        yield {
            "FLEETD_DATABASE_OWNER_URL": _made(server, name),
            "DATABASE_URL": _with(server.app_url, like=server.admin_url, database=name),
        }
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # nothing comes between now and the end
        _drop(server, name)


def _made(server: Server, name: str) -> str:
    """The new database's URL for its owner. Raises `StartError` with what is to be done."""
    try:
        with psycopg.connect(server.admin_url, autocommit=True) as admin:
            return _create(admin, name, server)
    except psycopg.errors.InsufficientPrivilege as error:
        raise StartError(
            f"the role {_user(server.admin_url)} may not create databases: {_first_line(error)}."
            " Give --database-url with the URL of one that may"
        ) from None
    except psycopg.Error as error:
        raise StartError(f"PostgreSQL cannot be used: {_first_line(error)}") from None


def _create(admin: psycopg.Connection, name: str, server: Server) -> str:
    """Creates the database with the rights of the product's roles; answers its owner's URL."""
    app, owner = _user(server.app_url), _user(server.owner_url)
    found = admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [owner]).fetchone()
    url = server.owner_url if found else server.admin_url
    names = {k: sql.Identifier(v) for k, v in (("name", name), ("app", app), ("owner", _user(url)))}
    admin.execute(sql.SQL("CREATE DATABASE {name} OWNER {owner}").format(**names))
    with psycopg.connect(_with(server.admin_url, database=name), autocommit=True) as inside:
        for statement in (
            "REVOKE ALL ON DATABASE {name} FROM PUBLIC",
            "GRANT CONNECT ON DATABASE {name} TO {app}",
            "ALTER SCHEMA public OWNER TO {owner}",
            "REVOKE ALL ON SCHEMA public FROM PUBLIC",
            "GRANT USAGE ON SCHEMA public TO {app}",
        ):
            inside.execute(sql.SQL(statement).format(**names))
    return _with(url, like=server.admin_url, database=name)


def _user(url: str) -> str:
    return unquote(urlsplit(url).username or "")


def _drop(server: Server, name: str) -> None:
    with (
        suppress(psycopg.OperationalError),
        psycopg.connect(server.admin_url, autocommit=True) as admin,
    ):
        admin.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )


@contextmanager
def scratch_installation(server: Server) -> Iterator[dict[str, str]]:
    """A migrated database with files and a Valkey of its own; gives the environment for it."""
    folder = Path(tempfile.mkdtemp(prefix="fleetd-check-"))
    try:
        with scratch_database(server) as urls, _valkey(folder) as redis_url:
            kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
            values = {
                **kept,
                **urls,
                "REDIS_URL": redis_url,
                "FLEETD_DATA_DIR": str(folder / "var"),
                "FLEETD_SECRET_KEY": secrets.token_urlsafe(48),
                "FLEETD_DB_POOL_SIZE": "0",
                **dict.fromkeys(_LIMITS, "0"),
                "FLEETD_LOG_LEVEL": "ERROR",
                "FLEETD_GRPC_LISTEN": "127.0.0.1:0",
                "FLEETD_AGENT_LISTEN": "127.0.0.1:0",
                "DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", BASE_SETTINGS),
                "FLEETD_ORGANIZATIONS": "multi",
            }
            migrate(values)
            yield values
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def migrate(environment: dict[str, str]) -> None:
    """Brings the scratch database's schema up, as its owner."""
    done = subprocess.run(  # noqa: S603  our own program
        [sys.executable, str(ROOT / "manage.py"), "migrate", "--verbosity=0"],
        env=environment | {"FLEETD_DB_ROLE": "owner"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise StartError(f"the scratch database cannot be migrated: {done.stderr.strip()[-600:]}")


@contextmanager
def _valkey(folder: Path) -> Iterator[str]:
    """A Valkey that nobody else uses: the platform's own never hears of the check."""
    layout = DataLayout(folder / "var")
    for each in (layout.run, layout.logs, layout.secrets):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
    generate_encryption_keys(layout)
    identity = server_identity(folder / "valkey")
    runtime = RuntimeDirectory(layout, shared=identity is not None)
    valkey = ValkeyServer(runtime, layout.logs / "valkey.log", identity=identity)
    spec = valkey.spec()
    process = spawn(spec)
    try:
        valkey.wait_until_ready(process)
        yield valkey.url
    finally:
        with suppress(ProcessLookupError):
            stop(process, spec)
        runtime.remove()


def _with(url: str, *, database: str, like: str = "", user: str = "", password: str = "") -> str:
    """The URL with another database, and with another user or the server of another URL."""
    parts = urlsplit(url)
    place = urlsplit(like or url)
    user = user or unquote(parts.username or "")
    password = password or unquote(parts.password or "")
    host = place.netloc.rpartition("@")[2]
    who = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    return urlunsplit((parts.scheme, f"{who}@{host}", f"/{database}", place.query, ""))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
