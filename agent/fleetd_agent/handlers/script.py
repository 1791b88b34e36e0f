"""Scripts: run once."""

import asyncio
import os
from collections.abc import Mapping

from fleetd_agent.messages import Component, Hook
from fleetd_agent.ports import Record, Runner, Undone, Work

SCRIPT_MODE = 0o700
SCRIPT_TIMEOUT_SECONDS = 900


class ScriptHandler:
    """Runs a script once. Only a roll_back hook can undo what a script did."""

    is_resumable = False

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def check(self, component: Component) -> None:
        """Any script may run."""

    async def prepare(self, work: Work) -> Record:
        """There is nothing to keep."""
        return {}

    async def stage(self, work: Work, record: Record) -> None:
        """Nothing can be done ahead."""

    async def apply(self, work: Work, record: Record) -> None:
        """Runs the script to its end."""
        await asyncio.to_thread(os.chmod, work.file, SCRIPT_MODE)
        with work.file.open("rb") as stream:
            is_executable = stream.read(4).startswith((b"#!", b"\x7fELF"))
        command = (str(work.file),) if is_executable else ("/bin/sh", str(work.file))
        environment = {
            "FLEETD_DEPLOYMENT_ID": work.deployment_id,
            "FLEETD_COMPONENT": work.component.name,
            "FLEETD_VERSION": work.component.version,
            "FLEETD_FILE": str(work.file),
            "FLEETD_HOOK": "apply",
            "FLEETD_RUN_ID": f"{work.deployment_id}:{work.index}:apply",
        }
        hook = Hook(command, work.limited(SCRIPT_TIMEOUT_SECONDS))
        await self._runner.run(hook, "script_failed", environment)

    async def verify(self, work: Work, record: Record) -> None:
        """Exit 0 was the proof."""

    async def roll_back(self, work: Work, record: Record) -> Undone:
        """Cannot undo what a script did."""
        return Undone.IMPOSSIBLE

    def commit(self, record: Record) -> None:
        """There is nothing to let go."""

    def environment(self, work: Work, record: Record | None) -> Mapping[str, str]:
        """Nothing beyond the common variables."""
        return {}
