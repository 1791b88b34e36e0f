"""Installing on fake hardware: bytes really come over the network, the rest only takes time."""

import asyncio
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from fleetd_agent.downloads import HashingSink, Throttle, transfer
from fleetd_agent.messages import Check, Component, Hook, StepFailed
from fleetd_agent.ports import Progress, Record, Undone, Work

from fleetctl.sim.behaviour import Behaviour, chance
from fleetctl.sim.store import DeviceStore

KINDS = ("binary", "config", "container", "firmware", "package", "script")
APPROVE_SECONDS = 20.0


class Ground:
    """What the parts of one simulated installation share."""

    def __init__(
        self,
        number: int,
        store: DeviceStore,
        behaviour: Behaviour,
        step_seconds: float,
        downloads: asyncio.Semaphore,
        opener: urllib.request.OpenerDirector,
        bytes_per_second: int = 0,
    ) -> None:
        self.number = number
        self.store = store
        self.behaviour = behaviour
        self.step_seconds = step_seconds
        self.downloads = downloads
        self.opener = opener
        # What the line of this device lets through, 0 for no limit.
        self.bytes_per_second = bytes_per_second
        self.boots = 0
        # Set by the device with each offer: rules may name the release.
        self.release = ("", "")
        # The template of the machine.
        self.kind = ""

    async def take_time(self, work: Work, step: str) -> None:
        """Lets a step last, half as long to one and a half times as long as usual."""
        spread = 0.5 + chance(self.number, work.deployment_id, work.index, step, "time")
        await asyncio.sleep(self.step_seconds * spread)

    def fail_by_chance(self, work: Work, step: str) -> None:
        """Raises StepFailed where this simulation says that the step fails."""
        names = ((work.component.name, work.component.version), self.release)
        if self.behaviour.fails(self.number, work.deployment_id, step, *names, kind=self.kind):
            text = f"simulated failure of {step} (seed {self.behaviour.seed})"
            raise StepFailed(f"{step}_failed", text, log_tail=text)


class SimDownloader:
    """Downloads and checks like a device, but keeps no bytes."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._throttle = Throttle()
        self.limit(0)

    def limit(self, bytes_per_second: int) -> None:
        """The slower of the policy's limit and that of the line."""
        limits = [n for n in (bytes_per_second, self._ground.bytes_per_second) if n]
        self._throttle.limit(min(limits, default=0))

    def keep(self, work: Work) -> None:
        """Nothing is kept: it is downloaded again."""

    def path(self, deployment_id: str, index: int) -> Path:
        """Where the file would be."""
        return Path("/simulated", deployment_id, str(index))

    async def fetch(self, work: Work, progress: Progress) -> None:
        """Gets the file, a few devices at a time, and checks its digest."""
        self._ground.fail_by_chance(work, "download")
        sink = HashingSink()
        async with self._ground.downloads:
            await transfer(work.component, sink, progress, self._ground.opener, self._throttle)
        if sink.sha256() != work.component.sha256:
            raise StepFailed("digest_mismatch", f"{work.component.name} is not what was offered")

    def discard(self, keep_deployment_id: str = "") -> None:
        """Nothing was kept."""


class SimHandler:
    """Takes the time that installing takes; nothing on this machine changes."""

    is_resumable = True

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def check(self, component: Component) -> None:
        """Fake hardware takes everything."""

    async def prepare(self, work: Work) -> Record:
        """There is nothing to keep."""
        return {}

    async def stage(self, work: Work, record: Record) -> None:
        """Nothing is done ahead."""

    async def apply(self, work: Work, record: Record) -> None:
        """Installs, as far as anybody can see."""
        component = work.component
        self._ground.store.note_applied(work.deployment_id, component.name, component.version)
        await self._ground.take_time(work, "install")
        self._ground.fail_by_chance(work, "install")

    async def verify(self, work: Work, record: Record) -> None:
        """Works, unless chance or a rule says otherwise."""
        await self._ground.take_time(work, "verify")
        self._ground.fail_by_chance(work, "verify")

    async def roll_back(self, work: Work, record: Record) -> Undone:
        """Goes back."""
        await self._ground.take_time(work, "roll_back")
        return Undone.RESTORED

    def commit(self, record: Record) -> None:
        """There is nothing to let go."""

    def environment(self, work: Work, record: Record | None) -> Mapping[str, str]:
        """Hooks are not run."""
        return {}


class SimRunner:
    """Runs no commands: a simulated device must not touch the machine it is simulated on."""

    async def run(self, hook: Hook, reason_code: str, environment: Mapping[str, str]) -> str:
        """Does nothing."""
        return ""

    def kill_leftovers(self, run_id: str) -> None:
        """There are none."""


class SimProbes:
    """Probes that look at nothing: whether a version works is decided by chance, see above."""

    async def http(self, check: Check) -> None:
        """Passes."""

    async def tcp(self, check: Check) -> None:
        """Passes."""


class SimControl:
    """People at simulated devices: they never pause, and agree after a while."""

    is_paused = False

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._asked_at: dict[str, float] = {}

    def is_approved(self, deployment_id: str) -> bool:
        """Agrees some seconds after it was asked first, at a time of its own."""
        now = time.monotonic()
        asked_at = self._asked_at.setdefault(deployment_id, now)
        patience = APPROVE_SECONDS * chance(self._ground.number, deployment_id, "approve")
        return now - asked_at >= patience


class SimRebooter:
    """A reboot that takes the time of a step and changes the boot id."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def reboot(self, seconds: int) -> None:
        """Goes down and comes up."""
        await asyncio.sleep(min(self._ground.step_seconds, seconds))
        self._ground.boots += 1
