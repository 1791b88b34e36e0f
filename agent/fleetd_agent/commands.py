"""Runs hooks and scripts: no shell, a clean environment, a time limit for the process group."""

import asyncio
import logging
import os
import signal
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from fleetd_agent.failures import StepFailed, TimedOut, TryLater
from fleetd_agent.messages import LOG_TAIL_CHARACTERS, Hook, clean_text

logger = logging.getLogger(__name__)

DEFAULT_TIMEOUT_SECONDS = 300
TERMINATE_GRACE_SECONDS = 2.0
KILL_SECONDS = 10.0
CHUNK_BYTES = 4096
KEPT_CHUNKS = 16
MOST_CHUNKS = 64
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME")
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class CommandRunner:
    """Runs one command at a time in a process group of its own."""

    async def run(self, hook: Hook, reason_code: str, environment: Mapping[str, str]) -> str:
        """Runs `hook` and returns the tail of its output.

        Raises StepFailed with that tail unless it exits with 0, TimedOut when it does not in time,
        TryLater for 75. What it has started besides goes where it failed, and stays otherwise.
        """
        timeout = hook.timeout_seconds or DEFAULT_TIMEOUT_SECONDS
        name = environment.get("FLEETD_HOOK", "hook")
        if not hook.command or any("\0" in part for part in hook.command):
            raise StepFailed(reason_code, f"{name}: not a command")
        with Output() as output:
            try:
                process = await _start(hook, environment, output)
            except OSError as error:
                message = f"{name}: {hook.command[0]}: {error.strerror}"
                raise StepFailed(reason_code, message) from error
            try:
                code = await asyncio.wait_for(process.wait(), timeout)
            except TimeoutError:
                await self._end(process, environment.get("FLEETD_RUN_ID", ""))
                message = f"{name}: not done within {timeout} s"
                raise TimedOut(reason_code, message, output.text()) from None
            except asyncio.CancelledError:
                await self._end(process, environment.get("FLEETD_RUN_ID", ""))
                raise
            text = output.text()
        if code == os.EX_TEMPFAIL:
            raise TryLater(reason_code, f"{name}: asked to be tried later", text)
        if code != 0:
            await self._end(process)
            raise StepFailed(reason_code, f"{name}: {_how_it_ended(code)}", text)
        return text

    async def _end(self, process: asyncio.subprocess.Process, run_id: str = "") -> None:
        """Ends the command's process group, and what else carries the run's id."""
        try:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
                await _wait(process, TERMINATE_GRACE_SECONDS)
        finally:  # also where we are cut off ourselves
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if run_id:
                self.kill_leftovers(run_id)
        await _wait(process, KILL_SECONDS)

    def kill_leftovers(self, run_id: str) -> None:
        """Kills what an interrupted run left: its processes carry the run's id."""
        for number in _processes_of(run_id):
            with suppress(OSError):
                logger.warning("killed a left over process", extra={"pid": number})
                os.kill(number, signal.SIGKILL)


def _processes_of(run_id: str) -> list[int]:
    marker = f"FLEETD_RUN_ID={run_id}".encode()
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            if marker in Path(f"/proc/{number}/environ").read_bytes().split(b"\0"):
                found.append(int(number))
    return found


class Output:
    """What a command prints, as far as it is kept.

    A pipe of our own: asyncio's would not call a command ended while a daemon that it has started
    holds the pipe open. All that the command itself has printed is in it when it has ended.
    """

    def __init__(self) -> None:
        self._tail: deque[bytes] = deque(maxlen=KEPT_CHUNKS)
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)

    def __enter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self._read_end, self._read)
        return self

    def __exit__(self, *exception: object) -> None:
        asyncio.get_running_loop().remove_reader(self._read_end)
        os.close(self._read_end)
        self.close_write_end()

    def close_write_end(self) -> None:
        """The command has its own."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def text(self) -> str:
        """The tail of what has been printed until now."""
        for _ in range(MOST_CHUNKS):  # who goes on printing does not keep us
            if not self._read():
                break
        return clean_text(b"".join(self._tail).decode(errors="replace"), LOG_TAIL_CHARACTERS)

    def _read(self) -> bool:
        """Whether there may be more."""
        try:
            chunk = os.read(self._read_end, CHUNK_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            asyncio.get_running_loop().remove_reader(self._read_end)
            return False
        self._tail.append(chunk)
        return True


async def _start(
    hook: Hook, environment: Mapping[str, str], output: Output
) -> asyncio.subprocess.Process:
    inherited = {key: os.environ[key] for key in INHERITED if key in os.environ}
    process = await asyncio.create_subprocess_exec(
        *hook.command,
        env={"PATH": DEFAULT_PATH, **inherited, **environment},
        cwd="/",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output.write_end,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    output.close_write_end()
    return process


async def _wait(process: asyncio.subprocess.Process, seconds: float) -> None:
    """Waits for the end of a process, but not for one that even the kernel cannot end."""
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), seconds)


def _how_it_ended(code: int) -> str:
    if code < 0:
        return f"killed by signal {-code}"
    return f"exit code {code}"
