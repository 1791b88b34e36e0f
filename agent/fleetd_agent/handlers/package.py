"""Debian packages, by dpkg: installed, and replaced by the version before when it goes wrong."""

import asyncio
import fcntl
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from fleetd_agent.failures import StepFailed
from fleetd_agent.files import copy_durably, make_folder, remove_file, sync_folder
from fleetd_agent.handlers.options import check_options
from fleetd_agent.messages import Component, Hook
from fleetd_agent.ports import Record, Runner, Undone, Work
from fleetd_agent.threads import to_the_end

INSTALL_SECONDS = 1800
QUERY_SECONDS = 60
# Unattended upgrades take their time.
LOCK_SECONDS = 1800
LOCK_POLL_SECONDS = 0.2
FLOCK = "hhqqi"  # struct flock: type, whence, start, length, process
APT_CACHE = Path("/var/cache/apt/archives")
KEEP_CONFIGURATION = ("--force-confdef", "--force-confold", "--force-downgrade")
APT_INSTALL = (
    *("install", "--yes", "--no-install-recommends"),
    *("--allow-downgrades", "--allow-change-held-packages"),
)
APT_LOCK_SECONDS = 120
# What dpkg and apt-get say when somebody else was faster; nothing has been changed then.
LOCKED_OUT = ("locked by another process", "Could not get lock")
NEVER_HEARD_OF = "exit code 1"
WITHOUT_WAY_BACK = "without_way_back"
# States of dpkg in which nothing is half done.
SETTLED = frozenset({"installed", "config-files", "not-installed"})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Root:
    """The system that packages go to: the machine's own, or one below a folder."""

    folder: Path = Path("/")

    @property
    def options(self) -> tuple[str, ...]:
        """What dpkg is told when it changes something."""
        if self.folder == Path("/"):
            return ()
        return (f"--instdir={self.folder}", *self.database, "--force-script-chrootless")

    @property
    def apt(self) -> tuple[str, ...]:
        """Where apt-get keeps its own things."""
        if self.folder == Path("/"):
            return ()
        places = {
            "Dir::State::status": "var/lib/dpkg/status",
            "Dir::State": "var/lib/apt",
            "Dir::Cache": "var/cache/apt",
            "Dir::Log": "var/log/apt",
        }
        return tuple(f"{name}={self.folder / place}" for name, place in places.items())

    @property
    def database(self) -> tuple[str, ...]:
        """Where dpkg remembers what is installed."""
        is_own = self.folder == Path("/")
        return () if is_own else (f"--admindir={self.folder / 'var/lib/dpkg'}",)

    @property
    def locks(self) -> tuple[Path, ...]:
        """What is locked by whoever changes something: apt and its like, and dpkg itself."""
        folder = self.folder / "var/lib/dpkg"
        return folder / "lock-frontend", folder / "lock"


class PackageHandler:
    """Installs a .deb file. The files of the installed versions are kept for going back.

    While another program works on dpkg's database, or what an interrupted run of our own has left,
    this waits: killing a dpkg is what breaks a package database.
    """

    is_resumable = True

    def __init__(
        self,
        folder: Path,
        runner: Runner,
        root: Root | None = None,
        lock_seconds: int = LOCK_SECONDS,
    ) -> None:
        self._folder = folder
        self._runner = runner
        self._root = root or Root()
        self._lock_seconds = lock_seconds

    def check(self, component: Component) -> None:
        """Options are known, and apt-get is here where it is asked for."""
        check_options(component, "manager", "package_name", "hold", WITHOUT_WAY_BACK)
        if _wants_apt(component) and not shutil.which("apt-get"):
            raise StepFailed("engine_missing", "this device has no apt-get")

    async def prepare(self, work: Work) -> Record:
        """Reads what the file is, and what is installed now."""
        package, version, architecture = await self._about(work.file)
        expected = work.component.options.get("package_name", work.component.target)
        if expected not in ("", package):
            message = f"the file is the package {package}, not {expected}"
            raise StepFailed("package_refused", message)
        await self._check_architecture(architecture)
        look = partial(self._state, package)
        state, previous = await self._alone(work, look)
        if state not in SETTLED:
            message = f"{package} is {state}: repair it first (dpkg --configure -a)"
            raise StepFailed("package_refused", message)
        is_there = state == "installed"
        return {
            "package": package,
            "version": version,
            "state": state,
            "previous": previous if is_there else "",
            "was_held": await self._is_held(package),
            "file": str(self._folder / f"{package}-{work.component.sha256}.deb"),
        }

    async def stage(self, work: Work, record: Record) -> None:
        """Keeps the new file, and makes sure that the one for going back is here."""
        make_folder(self._folder)
        kept = Path(record["file"])
        if not kept.exists():
            await to_the_end(partial(copy_durably, work.file, kept, mode=0o600))
            sync_folder(self._folder)
        previous = record["previous"]
        is_replaced = previous and previous != record["version"]
        if is_replaced and not await self._find_previous(record):
            if work.component.options.get(WITHOUT_WAY_BACK) == "true":
                return
            message = (
                f"the file of {record['package']} {previous} is not to be had, so there would be "
                f"no way back; install option {WITHOUT_WAY_BACK}=true does without"
            )
            raise StepFailed("no_way_back", message)

    async def apply(self, work: Work, record: Record) -> None:
        """Runs dpkg, unless an interrupted earlier run is through."""
        await self._alone(work, partial(self._install, work, record))

    async def _install(self, work: Work, record: Record) -> None:
        state, version = await self._state(record["package"])
        if state == "installed" and version == record["version"]:
            await self._hold(work, record)
            return
        if state not in SETTLED:
            message = f"dpkg was interrupted and left {record['package']} {state}"
            raise StepFailed("interrupted", message)
        if _wants_apt(work.component):
            await self._apt(work, record["file"])
        else:
            await self._dpkg(work, *KEEP_CONFIGURATION, "--install", record["file"])
        await self._hold(work, record)

    async def verify(self, work: Work, record: Record) -> None:
        """dpkg says that this version is installed."""
        state, version = await self._state(record["package"])
        if (state, version) != ("installed", record["version"]):
            message = f"{record['package']} is {state} {version}, not {record['version']}"
            raise StepFailed("verify_failed", message)

    async def roll_back(self, work: Work, record: Record) -> Undone:
        """Installs the version before, or removes what was not there."""
        return await self._alone(work, partial(self._go_back, work, record))

    async def _go_back(self, work: Work, record: Record) -> Undone:
        state, version = await self._state(record["package"])
        if state == record["state"] and version in (record["previous"], ""):
            return Undone.NOTHING
        if not record["previous"]:
            # What had left its configuration behind gets to keep it.
            action = "--purge" if record["state"] == "not-installed" else "--remove"
            await self._dpkg(work, "--force-remove-reinstreq", action, record["package"])
            return Undone.RESTORED
        previous = await self._find_previous(record)
        if previous is None:
            return Undone.IMPOSSIBLE
        await self._dpkg(work, *KEEP_CONFIGURATION, "--install", str(previous))
        if not record.get("was_held"):
            with suppress(StepFailed):
                await to_the_end(self._select, record["package"], "install")
        return Undone.RESTORED

    def commit(self, record: Record) -> None:
        """Keeps the file of the version that is installed now, and no other of this package."""
        for file in self._folder.glob(f"{record['package']}-*.deb"):
            if self._version_now(record["package"]) != self._version_of(file):
                remove_file(file)

    def environment(self, work: Work, record: Record | None) -> Mapping[str, str]:
        """FLEETD_PACKAGE: the name of the package."""
        return {"FLEETD_PACKAGE": record["package"]} if record else {}

    # Nobody else at work

    async def _alone(self, work: Work, action: Callable[[], Awaitable[T]]) -> T:
        """Does something once nobody else works on the database; once more if one was faster."""
        ends_at = time.monotonic() + work.limited(self._lock_seconds)
        while True:
            await self._wait_until_free(work, ends_at)
            try:
                return await action()
            except StepFailed as failure:
                if not any(words in failure.log_tail for words in LOCKED_OUT):
                    raise
                if time.monotonic() >= ends_at:
                    raise _busy(self._holder(), failure.log_tail) from failure
            await asyncio.sleep(LOCK_POLL_SECONDS)

    async def _wait_until_free(self, work: Work, ends_at: float) -> None:
        while (holder := self._holder()) is not None and time.monotonic() < ends_at:
            await asyncio.sleep(LOCK_POLL_SECONDS)
        if holder is None:
            return
        self._runner.kill_leftovers(_run_id(work))  # a dpkg of our own that never ends
        await asyncio.sleep(LOCK_POLL_SECONDS)
        if (holder := self._holder()) is not None:
            raise _busy(holder)

    def _holder(self) -> int | None:
        """The process that has locked the database; 0 for one that we cannot see."""
        for path in self._root.locks:
            with suppress(OSError), path.open("rb") as stream:
                asked = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
                answer = struct.unpack(FLOCK, fcntl.fcntl(stream, fcntl.F_GETLK, asked))
                if answer[0] != fcntl.F_UNLCK:
                    return max(0, answer[4])
        return None

    # dpkg

    async def _is_held(self, package: str) -> bool:
        form = "--showformat=${db:Status-Want}"
        command = ("dpkg-query", *self._root.database, "--show", form, package)
        try:
            return await self._query(command) == "hold"
        except StepFailed:
            return False

    async def _hold(self, work: Work, record: Record) -> None:
        """Lets the device's own upgrades leave the package alone, or not."""
        wish = work.component.options.get("hold")
        if wish:
            selection = "hold" if wish == "true" else "install"
            await to_the_end(self._select, record["package"], selection)

    def _select(self, package: str, selection: str) -> None:
        command = ("dpkg", *self._root.database, "--set-selections")
        done = subprocess.run(  # noqa: S603 - a fixed command of dpkg
            command,
            input=f"{package} {selection}\n",
            text=True,
            capture_output=True,
            check=False,
            timeout=QUERY_SECONDS,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
        if done.returncode != os.EX_OK:
            message = f"dpkg --set-selections: exit code {done.returncode}"
            raise StepFailed("package_failed", message, done.stderr)

    async def _find_previous(self, record: Record) -> Path | None:
        """The file of the version that was installed: our own, or that of apt's cache."""
        package, version = record["package"], record["previous"]
        for folder in (self._folder, APT_CACHE):
            for file in folder.glob(f"{package}[-_]*.deb"):
                with suppress(StepFailed):
                    if (await self._about(file))[:2] == (package, version):
                        return file
        return None

    async def _about(self, file: Path) -> tuple[str, str, str]:
        form = "${Package} ${Version} ${Architecture}"
        command = ("dpkg-deb", "--show", f"--showformat={form}", str(file))
        text = await self._query(command)
        parts = text.split()
        if len(parts) != 3:
            raise StepFailed("package_refused", "the file is not a Debian package", text)
        return parts[0], parts[1], parts[2]

    async def _check_architecture(self, architecture: str) -> None:
        command = ("dpkg", "--print-architecture")
        own = (await self._query(command)).strip()
        if architecture not in ("all", own):
            message = f"the package is for {architecture}, this device is {own}"
            raise StepFailed("package_refused", message)

    async def _state(self, package: str) -> tuple[str, str]:
        """dpkg's word for the state of a package, and its version."""
        form = "${db:Status-Status} ${Version}"
        command = ("dpkg-query", *self._root.database, "--show", f"--showformat={form}", package)
        try:
            text = await self._query(command)
        except StepFailed as failure:
            if not failure.message.endswith(NEVER_HEARD_OF):
                raise
            return "not-installed", ""
        state, _, version = text.strip().partition(" ")
        return state, version

    async def _apt(self, work: Work, file: str) -> None:
        """Lets apt-get fetch what the package depends on."""
        options = [f"Dpkg::Options::={word}" for word in (*KEEP_CONFIGURATION, *self._root.options)]
        options += [f"DPkg::Lock::Timeout={APT_LOCK_SECONDS}", *self._root.apt]
        settings = [word for option in options for word in ("-o", option)]
        command = ("apt-get", *APT_INSTALL, *settings, file)
        await self._change(work, command)

    async def _dpkg(self, work: Work, *arguments: str) -> None:
        command = ("dpkg", *self._root.options, *arguments)
        await self._change(work, command)

    async def _query(self, command: tuple[str, ...]) -> str:
        hook = Hook(command, QUERY_SECONDS)
        return await self._runner.run(hook, "package_refused", _environment(command))

    async def _change(self, work: Work, command: tuple[str, ...]) -> None:
        environment = {**_environment(command), "FLEETD_RUN_ID": _run_id(work)}
        hook = Hook(command, work.limited(INSTALL_SECONDS))
        await self._runner.run(hook, "package_failed", environment)

    def _version_now(self, package: str) -> str:
        return _ask(
            "dpkg-query", *self._root.database, "--show", "--showformat=${Version}", package
        )

    def _version_of(self, file: Path) -> str:
        return _ask("dpkg-deb", "--show", "--showformat=${Version}", str(file))


def is_present() -> bool:
    """Whether this machine has dpkg."""
    return shutil.which("dpkg") is not None and shutil.which("dpkg-deb") is not None


def _ask(*command: str) -> str:
    done = subprocess.run(  # noqa: S603 - fixed commands of dpkg
        command, capture_output=True, text=True, check=False, timeout=QUERY_SECONDS
    )
    return done.stdout.strip() if done.returncode == os.EX_OK else ""


def _environment(command: tuple[str, ...]) -> dict[str, str]:
    return {
        "DEBIAN_FRONTEND": "noninteractive",
        "LC_ALL": "C.UTF-8",
        "FLEETD_HOOK": command[0],
    }


def _busy(holder: int | None, log_tail: str = "") -> StepFailed:
    who = f"process {holder}" if holder else "another program"
    message = f"{who} works on dpkg's database and did not end in time"
    return StepFailed("package_manager_busy", message, log_tail)


def _wants_apt(component: Component) -> bool:
    return component.options.get("manager") == "apt"


def _run_id(work: Work) -> str:
    # Not the run id of the action: what that one names is killed after a crash.
    return f"{work.deployment_id}:{work.index}:dpkg"
