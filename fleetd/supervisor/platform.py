"""The supervisor: everything that `fleetd up` starts, watches and stops, in this order.

Embedded servers, schema, content, then web, gateway and worker. Stopping goes the other way round.
"""

import asyncio
import json
import signal
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

from fleetd.settings.env import Environment
from fleetd.settings.layout import DataLayout, write_private
from fleetd.settings.registry import environment as process_environment
from fleetd.settings.secrets import weak_secrets
from fleetd.supervisor import commands
from fleetd.supervisor.claims import DataDirectoryLock, require_free_ports
from fleetd.supervisor.console import Console
from fleetd.supervisor.fingerprint import (
    code_fingerprint,
    forget_prepared,
    is_prepared,
    remember_prepared,
)
from fleetd.supervisor.logs import keep_logs_short
from fleetd.supervisor.processes import Spec, StartError, last_lines, signal_group, spawn
from fleetd.supervisor.servers import EmbeddedServers, generate_encryption_keys, generated
from fleetd.supervisor.service import Service

LISTENERS = ("FLEETD_WEB_LISTEN", "FLEETD_GRPC_LISTEN", "FLEETD_AGENT_LISTEN")
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOPPED_BY_SECOND_SIGNAL = 130


class Extension(Protocol):
    """What runs on top of a platform: the demonstration."""

    async def prepare(self, platform: "Platform") -> list[tuple[str, str]]:
        """Once everything serves, before it is announced; returns what to announce."""

    async def begin(self, platform: "Platform") -> None:
        """After the announcement."""


class Platform:
    """One running platform on one data directory."""

    def __init__(self, environment: Environment | None = None) -> None:
        self.environment = environment or process_environment()
        self.layout = DataLayout(self.environment.path("FLEETD_DATA_DIR"))
        self.console = Console()
        self._servers: EmbeddedServers | None = None
        self._services: list[Service] = []
        self._running: set[subprocess.Popen[bytes]] = set()
        self._child_changed = asyncio.Event()
        self._stop = asyncio.Event()

    @property
    def external_url(self) -> str:
        """Where people open the platform."""
        given = self.environment.find_text("FLEETD_EXTERNAL_URL")
        return (given or self.environment.address("FLEETD_WEB_LISTEN").url).rstrip("/")

    async def run(self, extension: "Extension | None" = None) -> int:
        """Runs until it is told to stop; the exit code says how it went."""
        self._check_settings()
        lock = DataDirectoryLock(self.layout.lock)
        try:
            require_free_ports({name: self.environment.address(name) for name in LISTENERS})
            self._listen_for_signals()
            return await self._run(extension)
        finally:
            lock.release()

    async def run_one(self, command: list[str], environment: dict[str, str]) -> int:
        """Runs one command of a person with the embedded servers up, then stops them."""
        self._check_settings()
        self.console.is_quiet = True
        lock = DataDirectoryLock(self.layout.lock)
        self._listen_for_signals()
        try:
            await self.start_servers()
            return subprocess.run(command, env=environment).returncode  # noqa: S603
        finally:
            await self.shut_down()
            lock.release()

    async def start_servers(self) -> EmbeddedServers:
        """Starts the embedded servers and says where they are."""
        self._make_folders()
        self._servers = servers = EmbeddedServers(self.environment, self.layout)
        for spec, is_ready in servers.specs():
            await self.start_service(spec, is_ready)
        servers.announce()
        return servers

    async def start_service(self, spec: Spec, is_ready: Callable[[], bool]) -> None:
        """Starts one child and waits until it serves."""
        service = Service(spec, is_ready, self.console)
        self._services.append(service)
        began = self.console.elapsed_seconds
        await service.start()
        self.console.event(spec.name, f"ready ({self.console.elapsed_seconds - began:.1f} s)")

    async def run_step(self, spec: Spec) -> str:
        """Runs a child to its end and returns what it printed. Raises when it fails."""
        output = self.layout.run / f"{spec.name}-output"
        write_private(output, "")
        process = spawn(spec, output=output)
        self._running.add(process)
        while process.poll() is None:
            self._child_changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._child_changed.wait(), 0.5)
        self._running.discard(process)
        text = output.read_text()
        output.unlink()
        if process.returncode:
            self.console.quote(last_lines(spec.log))
            raise StartError(f"{spec.name} failed; see {spec.log}")
        return text

    async def _run(self, extension: "Extension | None") -> int:
        self.console.line(f"fleetd on {self.layout.root}")
        start = asyncio.create_task(self._start(extension))
        stop = asyncio.create_task(self._stop.wait())
        keeper = asyncio.create_task(keep_logs_short(self.layout))
        try:
            await asyncio.wait({start, stop}, return_when=asyncio.FIRST_COMPLETED)
            if start.done():
                start.result()
                await stop
            return 0
        finally:
            for task in (start, stop, keeper):
                task.cancel()
            await asyncio.gather(start, stop, keeper, return_exceptions=True)
            await self.shut_down()

    async def _start(self, extension: "Extension | None") -> None:
        servers = await self.start_servers()
        fingerprint = code_fingerprint()
        if servers.postgres and is_prepared(self.layout, fingerprint):
            setup_code = await self._start_processes(self._prepare_content())
        else:
            forget_prepared(self.layout)
            await self._prepare_schema()
            setup_code = await self._prepare_content()
            remember_prepared(self.layout, fingerprint)
            await self._start_processes(_answer(None))
        rows = await extension.prepare(self) if extension else []
        self._announce(rows or self._first_visit(setup_code))
        if extension:
            await extension.begin(self)

    async def _start_processes(self, content: Awaitable[str | None]) -> str | None:
        """Starts our own processes together; the gateway needs what `content` makes."""

        async def content_and_gateway() -> str | None:
            setup_code = await content
            await self.start_service(*commands.gateway(self.environment, self.layout))
            return setup_code

        makers = (commands.web, commands.worker)
        others = [self.start_service(*make(self.environment, self.layout)) for make in makers]
        setup_code, *_ = await asyncio.gather(content_and_gateway(), *others)
        return setup_code

    async def _prepare_schema(self) -> None:
        """Migrates as the schema's owner; without the owner's URL only checks that it was done."""
        embedded = self._servers is not None and self._servers.postgres is not None
        is_owner = embedded or self.environment.is_set("FLEETD_DATABASE_OWNER_URL")
        step = commands.python(
            "prepare",
            self.layout,
            *("-m", "fleetd.prepare", "schema"),
            FLEETD_DB_ROLE="owner" if is_owner else "app",
        )
        began = self.console.elapsed_seconds
        await self.run_step(step)
        took = self.console.elapsed_seconds - began
        self.console.event("database", f"schema is current ({took:.1f} s)")

    async def _prepare_content(self) -> str | None:
        """Makes what every start needs; returns the code for `/setup` if nobody is there."""
        step = commands.python("prepare", self.layout, "-m", "fleetd.prepare", "content")
        setup_code: str | None = json.loads(await self.run_step(step))["setup_code"]
        return setup_code

    def _first_visit(self, setup_code: str | None) -> list[tuple[str, str]]:
        if setup_code:
            return [("First visit", f"{self.external_url}/setup?code={setup_code}")]
        return [("Open", self.external_url)]

    def _announce(self, rows: list[tuple[str, str]]) -> None:
        rows = [*rows, ("Logs", str(self.layout.logs)), ("Stop", "Ctrl-C")]
        self.console.block(f"fleetd is up after {self.console.elapsed_seconds:.1f} s", rows)

    def _check_settings(self) -> None:
        for warning in self.environment.warnings():
            self.console.problem(warning)
        problems = self.environment.validate() or weak_secrets(self.environment)
        if problems:
            raise StartError("; ".join(problems))

    def _make_folders(self) -> None:
        self.layout.root.chmod(0o700)
        for folder in (self.layout.run, self.layout.logs, self.layout.secrets):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.environment.is_set("FLEETD_SECRET_KEY"):
            generated(self.layout, "secret-key")
        if not self.environment.is_set("FLEETD_ENCRYPTION_KEYS"):
            generate_encryption_keys(self.layout)

    def _listen_for_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._on_child)
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._on_stop)

    def _on_child(self) -> None:
        self._child_changed.set()
        for service in self._services:
            service.child_changed()

    def _on_stop(self) -> None:
        if self._stop.is_set():
            self.console.line("  killing everything")
            for service in self._services:
                service.kill()
        else:
            self.console.line()
            self.console.line("  stopping; once more to kill")
        self._stop.set()

    async def shut_down(self) -> None:
        """Stops our own processes together, then the servers they need, the database last."""
        for process in self._running:
            signal_group(process, signal.SIGKILL)
            process.wait()
        servers = [s for s in self._services if s.spec.name in ("valkey", "postgres")]
        others = [s for s in self._services if s not in servers]
        await asyncio.gather(*(service.stop() for service in others))
        for service in reversed(servers):
            await service.stop()
        if self._servers:
            self._servers.close()
        self.console.line("  stopped")


async def _answer(value: str | None) -> str | None:
    return value
