"""Restarts the machine, by the command of its operating system."""

import asyncio
import shutil
import time
from contextlib import suppress

from fleetd_agent.failures import StepFailed

SYSTEMD = ("systemctl", "reboot")
PLAIN = ("reboot",)


class CommandRebooter:
    """Runs the configured command, `systemctl reboot`, or `reboot`."""

    def __init__(self, command: tuple[str, ...] = ()) -> None:
        self._command = command or (SYSTEMD if shutil.which("systemctl") else PLAIN)

    async def reboot(self, seconds: int) -> None:
        """Asks for a reboot; raises StepFailed when the machine still runs after `seconds`."""
        ends_at = time.monotonic() + seconds
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.DEVNULL
            )
        except OSError as error:
            message = f"{self._command[0]}: {error.strerror}"
            raise StepFailed("reboot_failed", message) from error
        try:
            code = await asyncio.wait_for(process.wait(), seconds)
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            message = f"{' '.join(self._command)}: not done within {seconds} s"
            raise StepFailed("reboot_failed", message) from None
        if code:
            raise StepFailed("reboot_failed", f"{' '.join(self._command)}: exit code {code}")
        await asyncio.sleep(max(0.0, ends_at - time.monotonic()))
        raise StepFailed("reboot_failed", f"the machine did not go down within {seconds} s")
