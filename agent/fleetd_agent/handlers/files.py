"""Binaries and configuration files: one file at an absolute path."""

import asyncio
import grp
import os
import pwd
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from fleetd_agent.failures import StepFailed
from fleetd_agent.files import (
    as_step_failure,
    copy_durably,
    make_folder,
    remove_file,
    sha256_of,
    sync_folder,
)
from fleetd_agent.handlers.options import check_options
from fleetd_agent.messages import Component, Hook
from fleetd_agent.ports import Record, Runner, Undone, Work
from fleetd_agent.threads import to_the_end

MODE_MASK = 0o7777
# What is staged may be a secret: others see it as the target's mode says, once it is there.
STAGED_MODE = 0o600
SERVICE_SECONDS = 120


class FileHandler:
    """Replaces one file at an absolute path; the previous one waits beside it until the end.

    The previous file is kept by a second hard link where the file system can do that, so that going
    back needs no room on a full disk and restores owner, mode and attributes.
    """

    is_resumable = True

    def __init__(self, state_dir: Path, default_mode: int, runner: Runner) -> None:
        self._state_dir = state_dir.resolve()
        self._default_mode = default_mode
        self._runner = runner

    def check(self, component: Component) -> None:
        """Refuses targets that are relative, climb, or lie in the agent's own state."""
        check_options(component, "service", "action", "owner")
        _owner(component)
        target = component.target
        is_plain = target.startswith("/") and not target.endswith("/") and "\0" not in target
        if not is_plain or ".." in Path(target).parts:
            raise StepFailed("target_refused", f"not an absolute plain path: {target!r}")
        resolved = Path(target).parent.resolve() / Path(target).name
        if resolved == self._state_dir or self._state_dir in resolved.parents:
            raise StepFailed("target_refused", "the agent's own files are not a target")
        if Path(target).is_symlink() or (Path(target).exists() and not Path(target).is_file()):
            raise StepFailed("target_refused", f"{target} is not a regular file")

    async def prepare(self, work: Work) -> Record:
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

    async def stage(self, work: Work, record: Record) -> None:
        """Puts the new file beside the target, where its folder is there already."""
        new = Path(record["new"])
        try:
            if new.parent.is_dir():
                await to_the_end(self._fill, work, new)
        except OSError as error:
            raise as_step_failure(error, f"staging {work.component.name}") from error

    def _fill(self, work: Work, new: Path) -> None:
        if sha256_of(new) != work.component.sha256:
            copy_durably(work.file, new, mode=STAGED_MODE)

    async def apply(self, work: Work, record: Record) -> None:
        """Puts the file in place, unless an interrupted earlier attempt did; tells its service."""
        try:
            await to_the_end(self._apply, work, record)
        except OSError as error:
            raise as_step_failure(error, f"installing {work.component.name}") from error
        await self._tell_service(work)

    async def _tell_service(self, work: Work) -> None:
        options = work.component.options
        action = options.get("action", "restart")
        if "service" not in options or action == "none":
            return
        environment = {
            "FLEETD_HOOK": f"systemctl {action} {options['service']}",
            "FLEETD_RUN_ID": f"{work.deployment_id}:{work.index}:apply",
        }
        command = ("systemctl", action, options["service"])
        hook = Hook(command, work.limited(SERVICE_SECONDS))
        await self._runner.run(hook, "service_failed", environment)

    def _apply(self, work: Work, record: Record) -> None:
        target, new, previous = (Path(record[key]) for key in ("target", "new", "previous"))
        is_kept = record["is_new_file"] or previous.exists()
        if is_kept and sha256_of(target) == work.component.sha256:
            return
        make_folder(target.parent)
        self._fill(work, new)
        os.chmod(new, self._mode(work.component, target))
        _keep_owner(target, new)
        _set_owner(work.component, new)
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
            await self._tell_service(work)
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


def _owner(component: Component) -> tuple[int, int]:
    """User and group that the file is to belong to; -1 leaves them as they are."""
    user, _, group = component.options.get("owner", "").partition(":")
    try:
        return (
            pwd.getpwnam(user).pw_uid if user else -1,
            grp.getgrnam(group).gr_gid if group else -1,
        )
    except KeyError as error:
        message = f"this device has no account {error.args[0]}"
        raise StepFailed("target_refused", message) from error


def _set_owner(component: Component, new: Path) -> None:
    user, group = _owner(component)
    if (user, group) != (-1, -1):
        mode = new.stat().st_mode & MODE_MASK
        os.chown(new, user, group)
        os.chmod(new, mode)  # chown clears set-user-id


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


def _remove_empty(folders: list[str]) -> None:
    for folder in folders:  # innermost first
        with suppress(OSError):
            os.rmdir(folder)
