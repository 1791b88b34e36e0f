"""The running agent: engine, connection and what they need, put together for a real machine."""

import asyncio
import json
import logging
import os
import signal
from contextlib import suppress
from datetime import UTC, datetime

from fleetd_agent import __version__, systemd
from fleetd_agent.checks import Probes
from fleetd_agent.commands import CommandRunner
from fleetd_agent.connection import Connection, Phase
from fleetd_agent.control import FileControl
from fleetd_agent.downloads import HttpDownloader, build_opener
from fleetd_agent.engine import Engine
from fleetd_agent.facts import Machine
from fleetd_agent.failures import Restart
from fleetd_agent.handlers import handlers_for
from fleetd_agent.identity import IdentityStore
from fleetd_agent.journal import FileJournal
from fleetd_agent.launcher import is_launched
from fleetd_agent.places import Configuration, Places, Problem
from fleetd_agent.ports import Clock, Ports
from fleetd_agent.reboot import CommandRebooter
from fleetd_agent.trust import DeviceTrust, Repository

logger = logging.getLogger(__name__)

STEP_GRACE_SECONDS = 20.0
RETRY_SECONDS = 15.0
CONTROL_SECONDS = 2.0
# After its start an agent that cannot connect goes by the device's own clock.
CLOCK_PATIENCE_SECONDS = 600.0


class Agent:
    """One device's agent, from start to SIGTERM."""

    def __init__(self, places: Places, configuration: Configuration) -> None:
        self._places = places
        store = IdentityStore(places.state)
        identity = store.load()
        if identity is None:
            raise Problem("this device is not enrolled: run fleetd-agent enroll")
        self._identity = identity
        self._journal = FileJournal(places.state)
        machine = Machine(configuration.labels)
        clock = Clock(CLOCK_PATIENCE_SECONDS)
        runner = CommandRunner()
        opener = build_opener(configuration.ca_file)
        ports = Ports(
            journal=self._journal,
            downloader=HttpDownloader(places.downloads, opener),
            handlers=handlers_for(places.state, runner),
            runner=runner,
            clock=clock,
            control=FileControl(places.state),
            probes=Probes(),
            rebooter=CommandRebooter(configuration.reboot_command),
            trust=DeviceTrust(store.load, Repository(places.state / "tuf", opener)),
        )
        self.engine = Engine(ports, boot_id=machine.boot_id, on_report=self._on_report)
        self.engine.adopt(identity.device_id)
        self.connection = Connection(
            identities=store,
            engine=self.engine,
            hardware=machine,
            clock=clock,
            on_phase=self._on_phase,
        )
        self._clock = clock
        self._stopping = asyncio.Event()
        self._connected = asyncio.Event()
        self.is_replaced = False

    async def run(self) -> None:
        """Works until SIGTERM or SIGINT, or until a new version of the agent is to take over."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        self._journal.keep_reserve()
        engine = asyncio.create_task(self._run_engine())
        connection = asyncio.create_task(self.connection.run())
        helpers = [
            asyncio.create_task(_feed_watchdog()),
            asyncio.create_task(self._watch_control()),
        ]
        systemd.notify("READY=1", f"STATUS=fleetd-agent {__version__}")
        logger.info("agent started", extra={"device": self._identity.device_id})
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({stopping, engine, connection}, return_when=asyncio.FIRST_COMPLETED)
        if not is_launched() and not self.is_replaced:  # else it is not the service that stops
            systemd.notify("STOPPING=1")
        await self._stop(engine, connection)
        for helper in helpers:
            helper.cancel()
        logger.info("agent stopped")

    async def say_farewell(self, seconds: float) -> bool:
        """Connects only to say that this device is being uninstalled; False when it could not."""
        connection = asyncio.create_task(self.connection.run())
        try:
            await asyncio.wait_for(self._connected.wait(), seconds)
        except TimeoutError:
            return False
        finally:
            self.connection.stop("uninstalled")
            await connection
        return True

    async def _run_engine(self) -> None:
        while True:
            try:
                await self.engine.run()
                return
            except Restart:
                logger.info("a new version of the agent takes over")
                self.is_replaced = True
                return
            except OSError:
                # Most likely the disk is so full that not even the journal can be written.
                logger.exception("journal cannot be written, trying again")
            except Exception:  # the journal says where to go on; the device stays reachable
                logger.exception("the engine broke, trying again")
            await asyncio.sleep(RETRY_SECONDS)

    async def _watch_control(self) -> None:
        """Tells the platform soon when somebody pauses updates or lets them go on."""
        while True:
            await asyncio.sleep(CONTROL_SECONDS)
            self.connection.wake()

    async def _stop(self, engine: asyncio.Task[None], connection: asyncio.Task[None]) -> None:
        """Lets the step under way end, so that a restart does not have to roll it back."""
        self.engine.stop()
        with suppress(TimeoutError):
            await asyncio.wait_for(engine, STEP_GRACE_SECONDS)
        self.connection.stop("agent stopped")
        await connection

    def _on_report(self) -> None:
        self.connection.wake()

    def _on_phase(self, phase: Phase, detail: str) -> None:
        if phase == Phase.CONNECTED:
            self._connected.set()
        systemd.notify(f"STATUS={phase}: {detail}")
        content = {
            "pid": os.getpid(),
            "agent_version": __version__,
            "connection": phase.value,
            "detail": detail,
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "clock_skew_seconds": round(self._clock.skew_seconds, 1),
        }
        temporary = self._places.status.with_name(".status.json.new")
        with suppress(OSError):
            temporary.write_text(json.dumps(content))
            temporary.replace(self._places.status)
        logger.info("connection", extra={"state": phase.value, "detail": detail})


async def _feed_watchdog() -> None:
    while seconds := systemd.watchdog_seconds():
        systemd.notify("WATCHDOG=1")
        await asyncio.sleep(seconds)
