"""What the engine needs from the world: the simulator plugs fake hardware into the same places."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from fleetd_agent.messages import Component, Hook

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

    def discard(self, keep_deployment_id: str = "") -> None:
        """Removes all downloads except those of one deployment."""


class Handler(Protocol):
    """Installs one kind of component. Each method may be repeated after a crash."""

    # True when `apply` finds out by itself how far an interrupted one came.
    is_resumable: bool

    def check(self, component: Component) -> None:
        """Raises StepFailed when the component may not be installed here."""

    def prepare(self, work: Work) -> Record:
        """Looks, without changing anything, at what undoing will need."""

    async def apply(self, work: Work, record: Record) -> None:
        """Installs the component."""

    async def verify(self, work: Work, record: Record) -> None:
        """Raises StepFailed when the installed component does not work."""

    async def roll_back(self, work: Work, record: Record) -> Undone:
        """Brings back what was there before."""

    def commit(self, record: Record) -> None:
        """Removes what was only kept for rolling back."""

    def environment(self, work: Work, record: Record | None) -> Mapping[str, str]:
        """What hooks are told beyond the common variables."""


class Runner(Protocol):
    """Runs the hooks of a release."""

    async def run(self, hook: Hook, reason_code: str, environment: Mapping[str, str]) -> None:
        """Runs a command to its end; raises StepFailed unless it exits with 0 in time."""

    def kill_leftovers(self, run_id: str) -> None:
        """Ends processes of a run that a crash of the agent interrupted."""


class Clock:
    """Time as the platform sees it: a device's own clock may be years off."""

    def __init__(self) -> None:
        self._offset = timedelta()

    def set_server_time(self, server_now: datetime) -> None:
        """Learns the platform's clock."""
        self._offset = server_now - datetime.now(UTC)

    def now(self) -> datetime:
        """The device's own clock."""
        return datetime.now(UTC)

    def server_now(self) -> datetime:
        """The platform's clock, as far as it is known."""
        return datetime.now(UTC) + self._offset

    @property
    def skew_seconds(self) -> float:
        """How far the device's clock is ahead of the platform's."""
        return -self._offset.total_seconds()

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        await asyncio.sleep(seconds)
