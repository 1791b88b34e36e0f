"""What the agent's tests share: a file server with Range that can misbehave, and the engine."""

import asyncio
import hashlib
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

from fleetd_agent.checks import Probes
from fleetd_agent.commands import CommandRunner
from fleetd_agent.control import FileControl
from fleetd_agent.downloads import HttpDownloader, build_opener
from fleetd_agent.engine import Engine
from fleetd_agent.handlers import handlers_for
from fleetd_agent.journal import FileJournal, State
from fleetd_agent.messages import Component, Hook, Offer, Report
from fleetd_agent.ports import Clock, Handler, Ports
from fleetd_agent.reboot import CommandRebooter

OPENER = build_opener()
NAMES = {"release_name": "app", "release_version": "2"}


@dataclass
class Behaviour:
    """How the file server treats the coming requests."""

    cut_after: int | None = None  # cuts the connection after so many bytes, once
    status: int = 200
    extra: bytes = b""
    replace: dict[str, bytes] = field(default_factory=dict)
    stall: threading.Event | None = None
    drip: threading.Event | None = None  # one byte every tenth of a second, until it is set
    requests: list[tuple[str, str]] = field(default_factory=list)  # (path, Range)


class FileServer:
    """Serves content by its SHA-256, as the platform does."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.behaviour = Behaviour()
        self.post: Callable[[BaseHTTPRequestHandler, bytes], None]
        self.posts: list[tuple[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.posts.append((self.path, self.headers.get("Content-Type", "")))
                outer.post(self, body)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def add(self, content: bytes) -> str:
        """Serves `content`; returns its digest."""
        digest = hashlib.sha256(content).hexdigest()
        self.files[digest] = content
        return digest

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """One GET."""
        how = self.behaviour
        name = request.path.rsplit("/", 1)[-1].split("?")[0]
        asked = request.headers.get("Range", "")
        how.requests.append((request.path, asked))
        if how.status != 200 or name not in self.files:
            request.send_error(how.status if how.status != 200 else 404)
            return
        content = how.replace.get(name, self.files[name]) + how.extra
        start = 0
        if asked and request.headers.get("If-Range") == f'"{name}"':
            start = int(asked.removeprefix("bytes=").split("-")[0])
        request.send_response(206 if start else 200)
        request.send_header("ETag", f'"{name}"')
        request.send_header("Content-Length", str(len(content) - start))
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        request.end_headers()
        cut, how.cut_after = how.cut_after, None
        if how.drip is not None:
            self._drip(request, content[start:], how.drip)
            return
        request.wfile.write(content[start : start + cut] if cut else content[start:])
        if how.stall is not None:
            how.stall.wait(20)
        if cut:
            request.close_connection = True

    def _drip(self, request: BaseHTTPRequestHandler, content: bytes, end: threading.Event) -> None:
        request.close_connection = True
        with suppress(OSError):  # nobody listens any more
            for number in range(len(content)):
                request.wfile.write(content[number : number + 1])
                if end.wait(0.1):
                    return

    def close(self) -> None:
        """Stops serving."""
        self._server.shutdown()
        self._server.server_close()


class Credulous:
    """Believes every offer: tests of installing are not about signatures."""

    async def check(self, offer: Offer, state: State) -> None:
        """Nothing is checked."""


def engine_on(
    state: Path,
    *,
    boot_id: str = "boot",
    clock: Clock | None = None,
    handlers: dict[str, Handler] | None = None,
    rebooter: Any = None,
) -> Engine:
    """The real engine on this machine, without a connection."""
    state.mkdir(exist_ok=True)
    runner = CommandRunner()
    ports = Ports(
        journal=FileJournal(state),
        downloader=HttpDownloader(state / "downloads", OPENER),
        handlers={**handlers_for(state, runner), **(handlers or {})},
        runner=runner,
        clock=clock or Clock(),
        control=FileControl(state),
        probes=Probes(),
        rebooter=rebooter or CommandRebooter(("/bin/false",)),
        trust=Credulous(),
    )
    return Engine(ports, boot_id=lambda: boot_id)


async def deploy(engine: Engine, offer: Offer) -> Report:
    """Runs the engine until the deployment is over."""
    engine.offer(offer)
    work = asyncio.create_task(engine.run())
    async with asyncio.timeout(30):
        while offer.deployment_id not in engine.state.finished:
            await asyncio.sleep(0.003)
    engine.stop()
    await work
    return engine.state.finished[offer.deployment_id]


class FastClock(Clock):
    """Long pauses are short, and remembered."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        """Waits a moment; the lease is not part of what tests look at."""
        self.slept.append(seconds)
        await asyncio.sleep(0.005)


def component(files: FileServer, content: bytes, **more: Any) -> Component:
    """A component whose file is served."""
    digest = files.add(content)
    about = {"name": "app", "version": "2", "kind": "config", "url": f"{files.url}/{digest}"}
    return Component(**{**about, "sha256": digest, "size_bytes": len(content), **more})


def offer_of(*components: Component, **more: Any) -> Offer:
    """An offer of a deployment of its own."""
    return Offer(**{"deployment_id": str(uuid.uuid4()), **NAMES, "components": components, **more})


def shell(script: str, seconds: int = 10) -> Hook:
    """A hook that runs a shell script."""
    return Hook(("/bin/sh", "-c", script), seconds)


def steps(engine: Engine) -> list[tuple[str, str]]:
    """What was reported, each step once in a row, with its reason."""
    told = [(report.step.value, report.reason_code) for report in engine.state.outbox]
    return [pair for before, pair in pairwise([("", ""), *told]) if pair != before]
