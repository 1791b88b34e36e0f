"""The agent itself: two slots like firmware, and a trial that the launcher watches."""

import asyncio
import json
import os
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from fleetd_agent.failures import StepFailed
from fleetd_agent.files import remove_file, write_atomic
from fleetd_agent.handlers.firmware import FirmwareHandler
from fleetd_agent.ports import Record, Undone, Work

# Set by the launcher: the slot that this process was started from, empty for the installed agent.
SLOT_VARIABLE = "FLEETD_AGENT_SLOT"
TRIAL = "trial.json"


class AgentHandler(FirmwareHandler):
    """Installs a new version of the agent (its wheel) into the slot that is not in use.

    Before the switch a marker says that the new version is on trial: the launcher switches back
    when it dies. The marker goes once the deployment is over.
    """

    async def stage(self, work: Work, record: Record) -> None:
        """Fills the idle slot, once the file is known to be an agent."""
        if not await asyncio.to_thread(_is_agent, work.file):
            raise StepFailed("package_refused", "the file is not a wheel of the agent")
        await super().stage(work, record)

    def _switch(self, record: Record) -> None:
        trial = {"previous": record["previous"], "next": record["next"]}
        write_atomic(Path(record["slot"]) / TRIAL, json.dumps(trial).encode())
        super()._switch(record)

    def settle(self, record: Record) -> None:
        """Raises StepFailed when the launcher had to go back to the old version."""
        path = Path(record["slot"]) / TRIAL
        trial = read_trial(path)
        if os.environ.get(SLOT_VARIABLE, "") != record["next"]:
            why = trial.get("failed") or "the launcher did not start it"
            message = f"the new agent did not work: {why}"
            raise StepFailed("agent_rolled_back", message, str(trial.get("log_tail", "")))
        write_atomic(path, json.dumps({**trial, "is_alive": True}).encode())

    async def roll_back(self, work: Work, record: Record) -> Undone:
        """Switches back; the launcher then starts the old version again."""
        undone = await super().roll_back(work, record)
        if (Path(record["slot"]) / TRIAL).exists():
            return Undone.RESTORED  # it did run, even if the launcher has switched back
        return undone

    def commit(self, record: Record) -> None:
        """The trial is over."""
        remove_file(Path(record["slot"]) / TRIAL)


def read_trial(path: Path) -> dict[str, Any]:
    """The marker of a trial, empty where there is none."""
    with suppress(OSError, ValueError):
        found = json.loads(path.read_bytes())
        return found if isinstance(found, dict) else {}
    return {}


def _is_agent(file: Path) -> bool:
    try:
        with zipfile.ZipFile(file) as archive:
            return "fleetd_agent/__main__.py" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False
