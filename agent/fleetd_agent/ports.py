"""What the engine needs from the world: the simulator plugs fake hardware into the same places."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from fleetd_agent.journal import Journal
from fleetd_agent.messages import Check, Component, Hook
from fleetd_agent.trust import Trust

Record = dict[str, Any]
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Work:
    """One component of one deployment, as its handler sees it."""

    deployment_id: str
    index: int
    component: Component
    # The downloaded file, whose digest has been checked.
    file: Path
    # What is left of the time for installing; 0 for no limit.
    timeout_seconds: int = 0

    def limited(self, seconds: int) -> int:
        """A time limit of a handler's own, shortened to what is left."""
        return min(seconds, self.timeout_seconds) if self.timeout_seconds else seconds


class Undone(StrEnum):
    """What rolling back one component came to."""

    NOTHING = "nothing"  # it had not been changed
    RESTORED = "restored"
    IMPOSSIBLE = "impossible"  # this kind cannot be undone by the agent


class Downloader(Protocol):
    """Brings files to the device."""

    def path(self, deployment_id: str, index: int) -> Path:
        """Where the file of a component is once it is complete."""

    async def fetch(self, work: Work, progress: Progress) -> None:
        """Completes the file; raises LinkExpired, or StepFailed when it can never succeed."""

    def limit(self, bytes_per_second: int) -> None:
        """From now on at most so much for all downloads together; 0 for no limit."""

    def keep(self, work: Work) -> None:
        """Keeps a complete file for a later deployment that asks for the same one."""

    def discard(self, keep_deployment_id: str = "") -> None:
        """Removes all downloads except those of one deployment, and those that are kept."""


class Handler(Protocol):
    """Installs one kind of component. Each method may be repeated after a crash."""

    # True when `apply` finds out by itself how far an interrupted one came.
    is_resumable: bool

    def check(self, component: Component) -> None:
        """Raises StepFailed when the component may not be installed here."""

    async def prepare(self, work: Work) -> Record:
        """Looks, without changing anything, at what undoing will need."""

    async def stage(self, work: Work, record: Record) -> None:
        """Does all that can be done ahead without changing what is in use. May be repeated."""

    async def apply(self, work: Work, record: Record) -> None:
        """Switches to the component; does what staging left to do."""

    async def verify(self, work: Work, record: Record) -> None:
        """Raises StepFailed when the installed component does not work."""

    async def roll_back(self, work: Work, record: Record) -> Undone:
        """Brings back what was there before."""

    def commit(self, record: Record) -> None:
        """Removes what was only kept for rolling back."""

    def environment(self, work: Work, record: Record | None) -> Mapping[str, str]:
        """What hooks are told beyond the common variables."""


@runtime_checkable
class SelfUpdate(Protocol):
    """The handler of the agent itself."""

    def settle(self, record: Record) -> None:
        """Raises StepFailed unless the version that runs is the one that was installed."""


class Runner(Protocol):
    """Runs the hooks of a release."""

    async def run(self, hook: Hook, reason_code: str, environment: Mapping[str, str]) -> str:
        """Runs a command to its end and returns the tail of what it printed.

        Raises StepFailed unless it exits with 0 in time, TryLater where it exits with 75.
        """

    def kill_leftovers(self, run_id: str) -> None:
        """Ends processes of a run that a crash of the agent interrupted."""


class Probing(Protocol):
    """Looks from this machine whether a new version works; raises StepFailed when not."""

    async def http(self, check: Check) -> None:
        """Asks a web server."""

    async def tcp(self, check: Check) -> None:
        """Opens a connection."""


class Control(Protocol):
    """What people at the device decided."""

    @property
    def is_paused(self) -> bool:
        """Whether no update may begin."""

    def is_approved(self, deployment_id: str) -> bool:
        """Whether somebody agreed to a deployment that has to be confirmed."""


class Rebooter(Protocol):
    """Restarts the machine."""

    async def reboot(self, seconds: int) -> None:
        """Asks for a reboot and waits for it; raises StepFailed when it does not come in time."""


class Clock:
    """Time as the platform sees it: a device's own clock may be years off, and jump.

    Once the platform has told its time, only the seconds since then are the device's word. Before,
    its word counts after `patience` seconds: machines without a battery for their clock come up
    with the time at which they went down.
    """

    def __init__(self, patience: float = 0.0) -> None:
        self._told: tuple[datetime, float] | None = None
        self._sure_at = _seconds_since_boot() + patience

    @property
    def is_sure(self) -> bool:
        """Whether the time is good enough to decide by."""
        return self._told is not None or _seconds_since_boot() >= self._sure_at

    def set_server_time(self, server_now: datetime) -> None:
        """Learns the platform's clock."""
        self._told = (server_now, _seconds_since_boot())

    def now(self) -> datetime:
        """The device's own clock."""
        return datetime.now(UTC)

    def server_now(self) -> datetime:
        """The platform's clock, as far as it is known."""
        if self._told is None:
            return self.now()
        told, at = self._told
        return told + timedelta(seconds=_seconds_since_boot() - at)

    @property
    def skew_seconds(self) -> float:
        """How far the device's clock is ahead of the platform's."""
        return (self.now() - self.server_now()).total_seconds() if self._told else 0.0

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        await asyncio.sleep(seconds)


def _seconds_since_boot() -> float:
    """Goes on while the machine sleeps, and is not set by anybody."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True, slots=True)
class Ports:
    """The world of one engine."""

    journal: Journal
    downloader: Downloader
    handlers: Mapping[str, Handler]
    runner: Runner
    clock: Clock
    control: Control
    probes: Probing
    rebooter: Rebooter
    trust: Trust
