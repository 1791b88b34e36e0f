"""Scripts: run once."""

import asyncio
import os
from collections.abc import Mapping

from fleetd_agent.failures import StepFailed
from fleetd_agent.handlers.options import check_options
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
        check_options(component, "timeout_seconds", "interpreter")
        _seconds(component)

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
        interpreter = work.component.options.get("interpreter", "")
        if not interpreter and not is_executable:
            interpreter = "/bin/sh"
        command = (interpreter, str(work.file)) if interpreter else (str(work.file),)
        environment = {
            "FLEETD_DEPLOYMENT_ID": work.deployment_id,
            "FLEETD_COMPONENT": work.component.name,
            "FLEETD_VERSION": work.component.version,
            "FLEETD_FILE": str(work.file),
            "FLEETD_HOOK": "apply",
            "FLEETD_RUN_ID": f"{work.deployment_id}:{work.index}:apply",
        }
        hook = Hook(command, work.limited(_seconds(work.component)))
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


def _seconds(component: Component) -> int:
    text = component.options.get("timeout_seconds", str(SCRIPT_TIMEOUT_SECONDS))
    if not text.isdecimal() or not int(text):
        raise StepFailed("offer_refused", f"option timeout_seconds: {text!r} is no number")
    return int(text)
