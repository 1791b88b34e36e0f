"""Kinds that a device brings itself: executables in a folder, and Python entry points.

The contract is docs/reference/agent-handlers.md.
"""

import logging
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path

from fleetd_agent.failures import StepFailed
from fleetd_agent.files import make_folder
from fleetd_agent.messages import Component, Hook
from fleetd_agent.ports import Handler, Record, Runner, Undone, Work

logger = logging.getLogger(__name__)

GROUP = "fleetd_agent.handlers"
FOLDER = Path("/usr/lib/fleetd/handlers.d")
KIND = re.compile(r"[a-z][a-z0-9_-]{0,31}")
# A device may name 16 kinds in all.
MAXIMUM_KINDS = 10
ACTION_SECONDS = 900
FEATURES_SECONDS = 5
NOTHING_TO_UNDO = 3
REASON = "handler_failed"


def find_plugins(state_dir: Path, runner: Runner) -> dict[str, Handler]:
    """The handlers that this device has beside our own, by kind. A broken one is left out."""
    found: dict[str, Handler] = {}
    for point in entry_points(group=GROUP):
        if not KIND.fullmatch(point.name):
            logger.warning("not the name of a kind", extra={"kind": point.name})
            continue
        try:
            found[point.name] = point.load()(state_dir, runner)
        except Exception:  # somebody else's code must not keep the agent from starting
            logger.exception("handler cannot be loaded", extra={"kind": point.name})
    folder = Path(os.environ.get("FLEETD_AGENT_HANDLERS_DIR") or FOLDER)
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if KIND.fullmatch(path.name) and _is_trusted(path):
            found[path.name] = ExecutableHandler(path, state_dir / "handlers", runner)
    for kind in sorted(found)[MAXIMUM_KINDS:]:
        logger.warning("too many kinds, left out", extra={"kind": kind})
        del found[kind]
    return found


def _is_trusted(path: Path) -> bool:
    """Whether only root and the agent's own user can change an executable."""
    for item in (path, path.parent):
        about = item.stat()
        if about.st_uid not in (0, os.geteuid()) or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            logger.warning("handler can be changed by others, left out", extra={"path": item})
            return False
    return path.is_file() and os.access(path, os.X_OK)


class ExecutableHandler:
    """One kind of component, installed by an executable that is called with the name of a step."""

    def __init__(self, path: Path, folder: Path, runner: Runner) -> None:
        self._path = path
        self._folder = folder
        self._runner = runner
        # Whether `apply` may be called again after it was interrupted.
        self.is_resumable = "resumable" in _features(path)

    def check(self, component: Component) -> None:
        """The executable's own `prepare` decides."""

    async def prepare(self, work: Work) -> Record:
        """Calls `prepare`, which only looks."""
        folder = self._folder / self._path.name / f"{work.deployment_id}-{work.index}"
        make_folder(folder)
        record = {"folder": str(folder)}
        await self._call(work, record, "prepare")
        return record

    async def stage(self, work: Work, record: Record) -> None:
        """Calls `stage`."""
        await self._call(work, record, "stage")

    async def apply(self, work: Work, record: Record) -> None:
        """Calls `apply`."""
        await self._call(work, record, "apply")

    async def verify(self, work: Work, record: Record) -> None:
        """Calls `verify`."""
        await self._call(work, record, "verify", "verify_failed")

    async def roll_back(self, work: Work, record: Record) -> Undone:
        """Calls `roll_back`; exit code 3 says that nothing had been changed."""
        try:
            await self._call(work, record, "roll_back")
        except StepFailed as failure:
            if failure.message.endswith(f"exit code {NOTHING_TO_UNDO}"):
                return Undone.NOTHING
            raise
        return Undone.RESTORED

    def commit(self, record: Record) -> None:
        """Removes the folder that the executable had for this deployment."""
        shutil.rmtree(record["folder"], ignore_errors=True)

    def environment(self, work: Work, record: Record | None) -> Mapping[str, str]:
        """What the executable is told beyond the common variables."""
        options = {
            f"FLEETD_OPTION_{re.sub(r'[^A-Z0-9]', '_', name.upper())}": value
            for name, value in work.component.options.items()
        }
        folder = {"FLEETD_RECORD_DIR": record["folder"]} if record else {}
        return {**options, **folder, "FLEETD_TARGET": work.component.target}

    async def _call(
        self, work: Work, record: Record, action: str, reason_code: str = REASON
    ) -> None:
        environment = {
            **self.environment(work, record),
            "FLEETD_DEPLOYMENT_ID": work.deployment_id,
            "FLEETD_COMPONENT": work.component.name,
            "FLEETD_VERSION": work.component.version,
            "FLEETD_FILE": str(work.file),
            "FLEETD_HOOK": action,
            "FLEETD_RUN_ID": f"{work.deployment_id}:{work.index}:{action}",
        }
        hook = Hook((str(self._path), action), work.limited(ACTION_SECONDS))
        await self._runner.run(hook, reason_code, environment)


def _features(path: Path) -> frozenset[str]:
    try:
        done = subprocess.run(  # noqa: S603 - only root can put it there
            [str(path), "features"],
            capture_output=True,
            text=True,
            check=False,
            timeout=FEATURES_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        logger.warning("handler does not answer", extra={"path": path})
        return frozenset()
    return frozenset(done.stdout.split()) if done.returncode == 0 else frozenset()
