"""Many simulated devices in one process, each with its own identity and connection."""

import asyncio
import logging
import random
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from fleetd_agent import __version__
from fleetd_agent.connection import Connection, Phase
from fleetd_agent.downloads import build_opener
from fleetd_agent.engine import Engine
from fleetd_agent.enrollment import EnrollmentClient, EnrollmentFailed, enroll
from fleetd_agent.identity import Identity
from fleetd_agent.messages import TERMINAL_STEPS
from fleetd_agent.pb.internal.agent.v1 import agent_pb2 as pb
from fleetd_agent.ports import Clock, Ports
from fleetd_agent.trust import DeviceTrust

from fleetctl.sim.behaviour import Behaviour
from fleetctl.sim.hardware import FakeMachine, machine
from fleetctl.sim.installation import (
    KINDS,
    Ground,
    SimControl,
    SimDownloader,
    SimHandler,
    SimProbes,
    SimRebooter,
    SimRunner,
)
from fleetctl.sim.store import DeviceStore, SimIdentities, SimJournal, Store
from fleetctl.sim.trust import SharedRepository

logger = logging.getLogger(__name__)

PARALLEL_DOWNLOADS = 8
PARALLEL_ENROLLMENTS = 8
STOP_SECONDS = 5.0
ENROLLING = "enrolling"
REFUSED = "refused"
BROKEN = "broken"
AWAY = "offline"


@dataclass(frozen=True, slots=True)
class Plan:
    """What `fleetctl sim up` was asked for."""

    server: str
    token: str
    count: int
    seed: int
    ramp_seconds: float
    step_seconds: float
    state_dir: Path
    behaviour: Behaviour
    heartbeat_seconds: float | None = None
    templates: list[str] = field(default_factory=lambda: ["pi4", "jetson", "x86"])
    sites: list[str] = field(default_factory=lambda: ["oslo", "lyon"])
    ca_file: str = ""
    # The share of the time that each device is offline, in one piece per cycle.
    offline_share: float = 0.0
    offline_cycle_seconds: float = 600.0
    bytes_per_second: int = 0
    # What devices have installed when they start for the first time, by component.
    installed: dict[str, str] = field(default_factory=dict)


class Device:
    """One simulated device: the real engine and connection on fake hardware."""

    def __init__(self, number: int, hardware: FakeMachine, fleet: "Fleet") -> None:
        self.phase = ENROLLING
        self._counted = ""
        self._stopping = asyncio.Event()
        self._clock = Clock()
        self._number = number
        self._hardware = hardware
        self._fleet = fleet
        self._store = DeviceStore(fleet.store, number)
        self._engine: Engine | None = None
        self._connection: Connection | None = None

    async def run(self) -> None:
        """Enrolls where that is still to be done, then works until stopped."""
        try:
            await self._run()
        except Exception:  # one broken device must not go unnoticed among many
            self.phase = BROKEN
            logger.exception("simulated device broke", extra={"device": self._number})

    async def _run(self) -> None:
        identity = self._store.load_identity() or await self._enroll()
        if identity is None:
            return
        self._engine = self._make_engine()
        self._engine.adopt(identity.device_id)
        if not self._engine.state.installed:
            self._engine.state.installed = dict(self._fleet.plan.installed)
        self._hardware.is_hot = partial(self._is_hot, self._engine)
        engine = asyncio.create_task(self._engine.run())
        try:
            await self._stay_connected(self._engine)
        finally:
            self._engine.stop()
            engine.cancel()
            await asyncio.gather(engine, return_exceptions=True)

    async def _stay_connected(self, engine: Engine) -> None:
        """Keeps the connection, but for one offline period per cycle; the engine works on in it."""
        plan, cycle, rest = self._fleet.plan, 0, 0.0
        share, seconds = plan.offline_share, plan.offline_cycle_seconds
        while not self._stopping.is_set():
            self._connection = self._make_connection(engine)
            connected = asyncio.create_task(self._connection.run())
            begin = plan.behaviour.offline_begin(self._number, cycle, share)
            await asyncio.wait({connected}, timeout=(rest + begin) * seconds if share else None)
            if connected.done():
                return connected.result()
            connected.cancel()  # without a goodbye: the line is just gone
            await asyncio.gather(connected, return_exceptions=True)
            self.phase = AWAY
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), share * seconds)
            cycle, rest = cycle + 1, 1.0 - begin - share

    def stop(self) -> None:
        """Says goodbye."""
        self._stopping.set()
        if self._engine and self._connection:
            self._engine.stop()
            self._connection.stop("simulator stopped")

    @property
    def step(self) -> str | None:
        """The step of the deployment under way."""
        active = self._engine.state.active if self._engine else None
        return active.last.step.value if active and active.last else None

    async def _enroll(self) -> Identity | None:
        async with self._fleet.enrollments:
            about = pb.EnrollRequest(
                token=self._fleet.plan.token,
                hardware_id=self._hardware.hardware_id(),
                hostname=self._hardware.hostname(),
                agent_version=__version__,
                inventory=self._hardware.inventory(),
            )
            client = EnrollmentClient(self._fleet.plan.server, self._fleet.opener)
        try:
            identity = await enroll(
                client,
                self._store.request(),
                about,
                on_pending=lambda seconds: None,
                attempts=sys.maxsize,
            )
        except EnrollmentFailed as failure:
            self.phase = REFUSED
            self._fleet.note_refusal(str(failure))
            return None
        self._store.save_identity(identity)
        return identity

    def _make_engine(self) -> Engine:
        plan = self._fleet.plan
        ground = Ground(
            self._number,
            self._store,
            plan.behaviour,
            plan.step_seconds,
            self._fleet.downloads,
            self._fleet.opener,
            plan.bytes_per_second,
        )
        ground.kind = self._hardware.kind
        self._ground = ground
        ports = Ports(
            journal=SimJournal(self._store),
            downloader=SimDownloader(ground),
            handlers={kind: SimHandler(ground) for kind in KINDS},
            runner=SimRunner(),
            clock=self._clock,
            control=SimControl(ground),
            probes=SimProbes(),
            rebooter=SimRebooter(ground),
            trust=DeviceTrust(self._store.load_identity, self._fleet.repository),
        )
        engine = Engine(ports, boot_id=self._boot_id, on_report=self._on_report)
        self._note_release(engine)
        return engine

    def _make_connection(self, engine: Engine) -> Connection:
        plan = self._fleet.plan
        return Connection(
            identities=SimIdentities(self._store),
            engine=engine,
            hardware=self._hardware,
            clock=self._clock,
            on_phase=self._on_phase,
            heartbeat_seconds=plan.heartbeat_seconds,
            rng=random.Random(f"{plan.seed}/{self._number}/net"),  # noqa: S311 - repeatable
        )

    def _boot_id(self) -> str:
        boots = self._ground.boots
        return self._hardware.boot_id() + (f"/{boots}" if boots else "")

    def _on_phase(self, phase: Phase, detail: str) -> None:
        self.phase = phase.value

    def _on_report(self) -> None:
        if not self._engine or not self._connection:
            return
        self._note_release(self._engine)
        last = self._engine.state.outbox[-1]
        if last.step in TERMINAL_STEPS and last.deployment_id != self._counted:
            self._counted = last.deployment_id
            self._fleet.ends[last.step.value] += 1
        self._connection.wake()

    def _is_hot(self, engine: Engine) -> bool:
        behaviour, kind = self._fleet.plan.behaviour, self._hardware.kind
        versions = engine.state.installed.values()
        return any(behaviour.is_hot_on(self._number, version, kind) for version in versions)

    def _note_release(self, engine: Engine) -> None:
        if active := engine.state.active:
            self._ground.release = (active.offer.release_name, active.offer.release_version)


class Fleet:
    """All the devices of one simulation."""

    def __init__(self, plan: Plan, store: Store) -> None:
        self.plan = plan
        self.store = store
        self.ends: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.opener = build_opener(plan.ca_file)
        self.repository = SharedRepository(store.folder / "tuf", self.opener)
        self.downloads = asyncio.Semaphore(PARALLEL_DOWNLOADS)
        self.enrollments = asyncio.Semaphore(PARALLEL_ENROLLMENTS)
        self.devices = [
            Device(number, machine(plan.seed, number, plan.templates, plan.sites), self)
            for number in range(1, plan.count + 1)
        ]
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Starts the devices one after the other over the ramp; returns once all have stopped."""
        pause = self.plan.ramp_seconds / max(1, self.plan.count)
        tasks: list[asyncio.Task[None]] = []
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        for position, device in enumerate(self.devices):
            wait = started_at + position * pause - loop.time()
            if await self._is_stopped_within(max(0.0, wait)):
                break
            tasks.append(asyncio.create_task(device.run()))
        await self._stopping.wait()
        for device in self.devices:
            device.stop()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def stop(self) -> None:
        """Ends the simulation."""
        self._stopping.set()

    def note_refusal(self, why: str) -> None:
        """Says a reason once, however many devices meet it."""
        if not self.refusals[why]:
            logger.error("enrollment refused", extra={"why": why})
        self.refusals[why] += 1

    def summary(self) -> str:
        """One line about the whole fleet."""
        phases = Counter(device.phase for device in self.devices)
        online = phases.pop(Phase.CONNECTED.value, 0)
        parts = [f"{online}/{len(self.devices)} connected"]
        parts += [f"{count} {name}" for name, count in sorted(phases.items())]
        steps = Counter(step for device in self.devices if (step := device.step))
        parts += [f"{count} {name}" for name, count in sorted(steps.items())]
        parts += [f"{count} {name} in all" for name, count in sorted(self.ends.items())]
        return " · ".join(parts)

    async def _is_stopped_within(self, seconds: float) -> bool:
        if not seconds:
            await asyncio.sleep(0)
            return self._stopping.is_set()
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True
