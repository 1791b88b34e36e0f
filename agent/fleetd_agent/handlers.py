"""How each kind of component is installed on a real machine, and undone."""

import asyncio
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from fleetd_agent.files import (
    as_step_failure,
    copy_durably,
    remove_file,
    sha256_of,
    switch_link,
    sync_folder,
)
from fleetd_agent.messages import Component, Hook, StepFailed
from fleetd_agent.ports import Handler, Record, Runner, Undone, Work

MODE_MASK = 0o7777
BINARY_MODE, CONFIG_MODE, SCRIPT_MODE = 0o755, 0o644, 0o700
SCRIPT_TIMEOUT_SECONDS = 900
SLOT_PATTERN = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
SLOTS = ("a", "b")


def handlers_for(state_dir: Path, runner: Runner) -> dict[str, Handler]:
    """The kinds that this agent installs, by name."""
    return {
        "binary": FileHandler(state_dir, BINARY_MODE),
        "config": FileHandler(state_dir, CONFIG_MODE),
        "script": ScriptHandler(runner),
        "firmware": FirmwareHandler(state_dir / "slots"),
    }


class FileHandler:
    """Replaces one file at an absolute path; the previous one waits beside it until the end.

    The previous file is kept by a second hard link where the file system can do that, so that going
    back needs no room on a full disk and restores owner, mode and attributes.
    """

    is_resumable = True

    def __init__(self, state_dir: Path, default_mode: int) -> None:
        self._state_dir = state_dir.resolve()
        self._default_mode = default_mode

    def check(self, component: Component) -> None:
        """Refuses targets that are relative, climb, or lie in the agent's own state."""
        target = component.target
        is_plain = target.startswith("/") and not target.endswith("/") and "\0" not in target
        if not is_plain or ".." in Path(target).parts:
            raise StepFailed("target_refused", f"not an absolute plain path: {target!r}")
        resolved = Path(target).parent.resolve() / Path(target).name
        if resolved == self._state_dir or self._state_dir in resolved.parents:
            raise StepFailed("target_refused", "the agent's own files are not a target")
        if Path(target).is_symlink() or (Path(target).exists() and not Path(target).is_file()):
            raise StepFailed("target_refused", f"{target} is not a regular file")

    def prepare(self, work: Work) -> Record:
        """Notes what stands at the target now."""
        self.check(work.component)
        target = Path(work.component.target)
        suffix = f"{work.deployment_id}-{work.index}"
        missing = [str(p) for p in target.parents if not p.exists()]
        return {
            "target": str(target),
            "new": str(target.with_name(f".fleetd-new-{suffix}")),
            "previous": str(target.with_name(f".fleetd-previous-{suffix}")),
            "is_new_file": not target.exists(),
            "folders": missing,
        }

    async def apply(self, work: Work, record: Record) -> None:
        """Puts the file in place, unless an interrupted earlier attempt did."""
        try:
            await asyncio.to_thread(self._apply, work, record)
        except OSError as error:
            raise as_step_failure(error, f"installing {work.component.name}") from error

    def _apply(self, work: Work, record: Record) -> None:
        target, new, previous = (Path(record[key]) for key in ("target", "new", "previous"))
        is_kept = record["is_new_file"] or previous.exists()
        if is_kept and sha256_of(target) == work.component.sha256:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        copy_durably(work.file, new, mode=self._mode(work.component, target))
        _keep_owner(target, new)
        if not record["is_new_file"] and not previous.exists():
            _keep_previous(target, previous)
        os.replace(new, target)
        sync_folder(target.parent)

    def _mode(self, component: Component, target: Path) -> int:
        if component.file_mode & MODE_MASK:
            return component.file_mode & MODE_MASK
        if target.exists():
            return target.stat().st_mode & MODE_MASK
        return self._default_mode

    async def verify(self, work: Work, record: Record) -> None:
        """The file at the target is the one of the release."""
        actual = await asyncio.to_thread(sha256_of, Path(record["target"]))
        if actual != work.component.sha256:
            raise StepFailed("verify_failed", f"{record['target']} is not what was installed")

    async def roll_back(self, work: Work, record: Record) -> Undone:
        """Brings the previous file back, or removes the new one."""
        target, new, previous = (Path(record[key]) for key in ("target", "new", "previous"))
        remove_file(new)
        if previous.exists():
            os.replace(previous, target)
            sync_folder(target.parent)
            return Undone.RESTORED
        if not record["is_new_file"] or not target.exists():
            _remove_empty(record["folders"])
            return Undone.NOTHING
        remove_file(target)
        _remove_empty(record["folders"])
        return Undone.RESTORED

    def commit(self, record: Record) -> None:
        """Lets the previous file go."""
        remove_file(Path(record["new"]))
        remove_file(Path(record["previous"]))

    def environment(self, work: Work, record: Record | None) -> Mapping[str, str]:
        """FLEETD_TARGET: where the file goes."""
        return {"FLEETD_TARGET": work.component.target}


class ScriptHandler:
    """Runs a script once. Only a roll_back hook can undo what a script did."""

    is_resumable = False

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def check(self, component: Component) -> None:
        """Any script may run."""

    def prepare(self, work: Work) -> Record:
        """There is nothing to keep."""
        return {}

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
        await self._runner.run(Hook(command, SCRIPT_TIMEOUT_SECONDS), "script_failed", environment)

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


class FirmwareHandler:
    """Writes an image to the slot that is not in use and switches to it by a symbolic link.

    A slot named `main` is the folder `slots/main` with `a/image`, `b/image` and `active`, a link to
    one of them. The slot in use is never written to.
    """

    is_resumable = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def check(self, component: Component) -> None:
        """The target is the name of a slot, not a path."""
        if not SLOT_PATTERN.fullmatch(component.target):
            raise StepFailed("target_refused", f"not the name of a slot: {component.target!r}")

    def prepare(self, work: Work) -> Record:
        """Chooses the slot that is not in use."""
        slot = self._folder / work.component.target
        active = _read_link(slot / "active")
        return {
            "slot": str(slot),
            "previous": active,
            "next": SLOTS[1] if active == SLOTS[0] else SLOTS[0],
        }

    async def apply(self, work: Work, record: Record) -> None:
        """Fills the idle slot, then switches."""
        try:
            await asyncio.to_thread(self._apply, work, record)
        except OSError as error:
            raise as_step_failure(error, f"installing {work.component.name}") from error

    def _apply(self, work: Work, record: Record) -> None:
        slot = Path(record["slot"])
        side = slot / record["next"]
        side.mkdir(parents=True, exist_ok=True)
        image = side / "image"
        if sha256_of(image) != work.component.sha256:
            new = side / ".image.new"
            copy_durably(work.file, new, mode=work.component.file_mode & MODE_MASK or 0o644)
            os.replace(new, image)
            sync_folder(side)
        if _read_link(slot / "active") != record["next"]:
            switch_link(slot / "active", record["next"])

    async def verify(self, work: Work, record: Record) -> None:
        """The active slot holds the image of the release."""
        image = Path(record["slot"]) / "active" / "image"
        if await asyncio.to_thread(sha256_of, image) != work.component.sha256:
            raise StepFailed("verify_failed", "the active slot is not what was installed")

    async def roll_back(self, work: Work, record: Record) -> Undone:
        """Switches back to the slot that was in use before."""
        link = Path(record["slot"]) / "active"
        if _read_link(link) == record["previous"]:
            return Undone.NOTHING
        if record["previous"]:
            switch_link(link, record["previous"])
        else:
            remove_file(link)
        return Undone.RESTORED

    def commit(self, record: Record) -> None:
        """The other slot keeps the previous image."""

    def environment(self, work: Work, record: Record | None) -> Mapping[str, str]:
        """FLEETD_SLOT: the folder of the slot that is filled."""
        side = record["next"] if record else self.prepare(work)["next"]
        return {"FLEETD_SLOT": str(self._folder / work.component.target / side)}


def _keep_previous(target: Path, previous: Path) -> None:
    try:
        os.link(target, previous)
    except OSError:  # file systems without hard links, such as FAT
        partial = previous.with_name(f"{previous.name}.part")
        copy_durably(target, partial, mode=target.stat().st_mode & MODE_MASK)
        _keep_owner(target, partial)
        os.replace(partial, previous)
    sync_folder(target.parent)


def _keep_owner(old: Path, new: Path) -> None:
    if old.exists() and os.geteuid() == 0:
        about = old.stat()
        mode = new.stat().st_mode & MODE_MASK
        os.chown(new, about.st_uid, about.st_gid)
        os.chmod(new, mode)  # chown clears set-user-id


def _read_link(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def _remove_empty(folders: list[str]) -> None:
    for folder in folders:  # innermost first
        with suppress(OSError):
            os.rmdir(folder)
