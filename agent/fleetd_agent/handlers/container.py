"""Containers, by the command line of the local engine: docker or podman."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

from fleetd_agent.failures import StepFailed
from fleetd_agent.handlers.options import check_options, lines_of
from fleetd_agent.messages import Component, Hook
from fleetd_agent.ports import Record, Runner, Undone, Work

ENGINES = ("docker", "podman")
LOAD_SECONDS = 1800
COMMAND_SECONDS = 120
LABEL = "fleetd.deployment"
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,100}")
OPTIONS = ("engine", "image", "restart", "network", "ports", "volumes", "environment")
LOADED = re.compile(r"Loaded image(?:\(s\)| ID)?: *(\S+)")


class ContainerHandler:
    """Replaces one container by another. The old one is stopped and renamed, and waits.

    The component's file is an image archive (`docker save`, `podman save`), its target the name of
    the container.
    """

    is_resumable = True

    def __init__(self, runner: Runner, engine: str) -> None:
        self._runner = runner
        self._engine = engine

    def check(self, component: Component) -> None:
        """The target is the name of a container."""
        if not NAME.fullmatch(component.target):
            message = f"not the name of a container: {component.target!r}"
            raise StepFailed("target_refused", message)
        check_options(component, *OPTIONS)
        wanted = component.options.get("engine", "auto")
        if wanted not in ("auto", self._engine):
            raise StepFailed("engine_missing", f"this device has {self._engine}, not {wanted}")

    async def prepare(self, work: Work) -> Record:
        """Finds out whether the engine answers and what runs under this name."""
        reason = "engine_missing"
        await self._run(work, "version", "--format", "{{.Server.Version}}", reason=reason)
        suffix = work.deployment_id[-12:]
        name = work.component.target
        there = await self._look(work, name)
        is_ours = there is not None and _label(there) == _mark(work)
        return {
            "name": name,
            "previous": f"{name}-fleetd-{suffix}-{work.index}",
            "had_previous": there is not None and not is_ours,
            "was_running": there is not None and bool(there["State"]["Running"]),
        }

    async def stage(self, work: Work, record: Record) -> None:
        """Loads the image."""
        record["image"] = await self._load(work)

    async def apply(self, work: Work, record: Record) -> None:
        """Stops and renames the old container, then starts the new one."""
        name, previous = record["name"], record["previous"]
        there = await self._look(work, name)
        if there is not None and _label(there) == _mark(work):
            if there["State"]["Running"]:
                return
            await self._run(work, "rm", "--force", name)
        elif there is not None:
            await self._run(work, "stop", name)
            await self._run(work, "rename", name, previous)
        image = record.get("image") or await self._load(work)
        label = f"{LABEL}={_mark(work)}"
        run = ("run", "--detach", "--name", name, "--label", label)
        await self._run(work, *run, *_arguments(work.component), image)

    async def verify(self, work: Work, record: Record) -> None:
        """The new container runs."""
        there = await self._look(work, record["name"])
        if there is None or _label(there) != _mark(work) or not there["State"]["Running"]:
            tail = await self._logs(work, record["name"])
            raise StepFailed("verify_failed", f"container {record['name']} does not run", tail)

    async def roll_back(self, work: Work, record: Record) -> Undone:
        """Removes the new container and brings the old one back."""
        name, previous = record["name"], record["previous"]
        there = await self._look(work, name)
        is_ours = there is not None and _label(there) == _mark(work)
        if is_ours:
            await self._run(work, "rm", "--force", name)
        is_renamed = await self._look(work, previous) is not None
        if is_renamed:
            await self._run(work, "rename", previous, name)
        if record["had_previous"] and record["was_running"]:
            await self._run(work, "start", name)
        return Undone.RESTORED if is_ours or is_renamed else Undone.NOTHING

    def commit(self, record: Record) -> None:
        """Lets the old container go; where that fails, it only takes up room."""
        command = [self._engine, "rm", "--force", record["previous"]]
        if record["had_previous"]:
            subprocess.run(  # noqa: S603 - a fixed command of the engine
                command, capture_output=True, check=False, timeout=COMMAND_SECONDS
            )

    def environment(self, work: Work, record: Record | None) -> Mapping[str, str]:
        """FLEETD_CONTAINER: the name of the container."""
        return {"FLEETD_CONTAINER": work.component.target, "FLEETD_ENGINE": self._engine}

    async def _load(self, work: Work) -> str:
        text = await self._run(work, "load", "--input", str(work.file), seconds=LOAD_SECONDS)
        found: list[str] = LOADED.findall(text)
        wanted = work.component.options.get("image", "")
        if not found or (wanted and wanted not in found):
            message = f"the file has no image {wanted}".rstrip()
            raise StepFailed("container_failed", message, text)
        return wanted or found[-1]

    async def _look(self, work: Work, name: str) -> dict[str, Any] | None:
        """What the engine says of a container, None where there is none of this name."""
        listed = ("ps", "--all", "--filter", f"name=^{re.escape(name)}$", "--format", "{{.Names}}")
        if name not in (await self._run(work, *listed)).split():
            return None
        text = await self._run(work, "container", "inspect", name, "--format", "{{json .}}")
        try:
            found: dict[str, Any] = json.loads(text.strip().splitlines()[-1])
        except (ValueError, IndexError) as error:
            raise StepFailed("container_failed", f"{self._engine} inspect: {text[:200]}") from error
        return found

    async def _logs(self, work: Work, name: str) -> str:
        try:
            return await self._run(work, "logs", "--tail", "50", name)
        except StepFailed:
            return ""

    async def _run(
        self,
        work: Work,
        *arguments: str,
        seconds: int = COMMAND_SECONDS,
        reason: str = "container_failed",
    ) -> str:
        environment = {
            "FLEETD_HOOK": f"{self._engine} {arguments[0]}",
            "FLEETD_RUN_ID": f"{work.deployment_id}:{work.index}:apply",
        }
        hook = Hook((self._engine, *arguments), work.limited(seconds))
        return await self._runner.run(hook, reason, environment)


def find_engine() -> str:
    """The engine's command on this machine, empty where there is none."""
    return next((name for name in ENGINES if shutil.which(name)), "")


def _mark(work: Work) -> str:
    return f"{work.deployment_id}.{work.index}"


def _label(there: dict[str, Any]) -> str:
    return str((there["Config"].get("Labels") or {}).get(LABEL, ""))


def _arguments(component: Component) -> list[str]:
    """The options of `run`. Each value is glued to its option, so that it cannot be one itself."""
    options = component.options
    arguments = [f"--restart={options.get('restart', 'unless-stopped')}"]
    if "network" in options:
        arguments.append(f"--network={options['network']}")
    arguments += [f"--publish={port}" for port in lines_of(component, "ports")]
    arguments += [f"--volume={volume}" for volume in lines_of(component, "volumes")]
    return arguments + [f"--env={variable}" for variable in lines_of(component, "environment")]
