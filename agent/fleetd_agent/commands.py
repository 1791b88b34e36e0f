"""Runs hooks and scripts: no shell, a clean environment, a time limit for the process group."""

import asyncio
import logging
import os
import signal
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from fleetd_agent.failures import StepFailed, TryLater
from fleetd_agent.messages import LOG_TAIL_CHARACTERS, Hook, clean_text

logger = logging.getLogger(__name__)

DEFAULT_TIMEOUT_SECONDS = 300
TERMINATE_GRACE_SECONDS = 2.0
OUTPUT_GRACE_SECONDS = 0.5
LEFTOVER_POLL_SECONDS = 0.1
CHUNK_BYTES = 4096
KEPT_CHUNKS = 16
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME")
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class CommandRunner:
    """Runs one command at a time in a process group of its own."""

    async def run(self, hook: Hook, reason_code: str, environment: Mapping[str, str]) -> str:
        """Runs `hook` and returns the tail of its output.

        Raises StepFailed with that tail unless it exits with 0 in time, TryLater for 75.
        """
        timeout = hook.timeout_seconds or DEFAULT_TIMEOUT_SECONDS
        name = environment.get("FLEETD_HOOK", "hook")
        if not hook.command or any("\0" in part for part in hook.command):
            raise StepFailed(reason_code, f"{name}: not a command")
        try:
            process = await self._start(hook, environment)
        except OSError as error:
            raise StepFailed(reason_code, f"{name}: {hook.command[0]}: {error.strerror}") from error
        tail: deque[bytes] = deque(maxlen=KEPT_CHUNKS)
        reader = asyncio.create_task(_collect(process, tail))
        try:
            code = await asyncio.wait_for(process.wait(), timeout)
        except TimeoutError:
            await _end_group(process)
            message = f"{name}: not done within {timeout} s"
            raise StepFailed(reason_code, message, await _text(reader, tail)) from None
        except asyncio.CancelledError:
            await _end_group(process)
            reader.cancel()
            raise
        output = await _text(reader, tail)
        if code == os.EX_TEMPFAIL:
            raise TryLater(reason_code, f"{name}: asked to be tried later", output)
        if code != 0:
            raise StepFailed(reason_code, f"{name}: {_how_it_ended(code)}", output)
        return output

    async def _start(
        self, hook: Hook, environment: Mapping[str, str]
    ) -> asyncio.subprocess.Process:
        inherited = {key: os.environ[key] for key in INHERITED if key in os.environ}
        return await asyncio.create_subprocess_exec(
            *hook.command,
            env={"PATH": DEFAULT_PATH, **inherited, **environment},
            cwd="/",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )

    def kill_leftovers(self, run_id: str) -> None:
        """Kills what an interrupted run left: its processes carry the run's id."""
        for number in _processes_of(run_id):
            with suppress(OSError):
                logger.warning("killed a left over process", extra={"pid": number})
                os.kill(number, signal.SIGKILL)

    async def wait_for_leftovers(self, run_id: str, seconds: float) -> None:
        """Lets what an interrupted run left come to its end; then kills what is still there."""
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at and _processes_of(run_id):
            await asyncio.sleep(LEFTOVER_POLL_SECONDS)
        self.kill_leftovers(run_id)


def _processes_of(run_id: str) -> list[int]:
    marker = f"FLEETD_RUN_ID={run_id}".encode()
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            if marker in Path(f"/proc/{number}/environ").read_bytes().split(b"\0"):
                found.append(int(number))
    return found


async def _collect(process: asyncio.subprocess.Process, tail: deque[bytes]) -> None:
    if process.stdout is not None:
        while chunk := await process.stdout.read(CHUNK_BYTES):
            tail.append(chunk)


async def _text(reader: asyncio.Task[None], tail: deque[bytes]) -> str:
    # A daemon that the command started may hold the pipe open for ever.
    await asyncio.wait({reader}, timeout=OUTPUT_GRACE_SECONDS)
    reader.cancel()
    return clean_text(b"".join(tail).decode(errors="replace"), LOG_TAIL_CHARACTERS)


async def _end_group(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), TERMINATE_GRACE_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _how_it_ended(code: int) -> str:
    if code < 0:
        return f"killed by signal {-code}"
    return f"exit code {code}"
