"""One supervised child: started, watched, restarted with growing pauses, stopped."""

import asyncio
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

from fleetd.supervisor.console import Console
from fleetd.supervisor.processes import Spec, StartError, last_lines, signal_group, spawn

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
# Whoever ran this long has recovered: the next pause is short again.
HEALTHY_SECONDS = 60.0
READY_SECONDS = 90.0
POLL_SECONDS = 0.1


class Service:
    """A child that has to run as long as the platform does."""

    def __init__(self, spec: Spec, is_ready: Callable[[], bool], console: Console) -> None:
        self.spec, self.console = spec, console
        self._is_ready = is_ready
        self._process: subprocess.Popen[bytes] | None = None
        self._exited = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None
        self._started_at = 0.0
        self._pause = FIRST_PAUSE_SECONDS

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    async def start(self) -> None:
        """Starts the child and waits until it serves; raises when it does not."""
        self._spawn()
        if not await self._ready():
            self.console.quote(last_lines(self.spec.log))
            raise StartError(f"{self.spec.name} did not start; see {self.spec.log}")
        self._watcher = asyncio.create_task(self._watch())

    def child_changed(self) -> None:
        """Told after SIGCHLD, for any child."""
        if self._process and self._process.poll() is not None:
            self._exited.set()

    async def stop(self) -> None:
        """Asks the child to stop, then kills what is left of it and of its own children."""
        if self._watcher:
            self._watcher.cancel()
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(self.spec.stop_signal)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._exited.wait(), self.spec.stop_seconds)
        self._end_group(process)

    def kill(self) -> None:
        """Ends the child at once."""
        if self._process:
            self._end_group(self._process)

    def _spawn(self) -> None:
        self._exited.clear()
        self._started_at = time.monotonic()
        self._process = spawn(self.spec)

    async def _ready(self) -> bool:
        deadline = time.monotonic() + READY_SECONDS
        while not self._is_ready():
            if self._exited.is_set() or time.monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_SECONDS)
        return not self._exited.is_set()

    async def _watch(self) -> None:
        """Restarts the child whenever it ends, until the task is cancelled."""
        while True:
            await self._exited.wait()
            self._report_end()
            await asyncio.sleep(self._next_pause())
            try:
                self._spawn()
            except OSError as error:
                # No memory, no process left: the machine may recover, so the watch goes on.
                self.console.event(self.spec.name, f"cannot be started: {error.strerror}")
                self._exited.set()
                continue
            if await self._ready():
                self.console.event(self.spec.name, "is back")

    def _report_end(self) -> None:
        process = self._process
        if process is None:
            return
        # Forgotten at once: later its id may be somebody else's.
        self._process = None
        self._end_group(process)
        self.console.event(self.spec.name, f"stopped unexpectedly ({_cause(process.returncode)})")
        self.console.quote(last_lines(self.spec.log, 5))

    def _next_pause(self) -> float:
        if time.monotonic() - self._started_at > HEALTHY_SECONDS:
            self._pause = FIRST_PAUSE_SECONDS
        pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        self.console.event(self.spec.name, f"starting again in {pause:.0f} s")
        return pause

    def _end_group(self, process: subprocess.Popen[bytes]) -> None:
        signal_group(process, signal.SIGKILL)
        process.wait()


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
