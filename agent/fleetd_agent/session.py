"""One stream, from Hello to Goodbye."""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import grpc

from fleetd_agent import __version__
from fleetd_agent.engine import Engine
from fleetd_agent.facts import Hardware
from fleetd_agent.messages import Report
from fleetd_agent.pb.internal.agent.v1 import agent_pb2 as pb
from fleetd_agent.ports import Clock
from fleetd_agent.wire import offer_from_pb, report_to_pb, to_datetime, to_timestamp

logger = logging.getLogger(__name__)

WELCOME_SECONDS = 30.0
GOODBYE_SECONDS = 3.0
DEFAULT_HEARTBEAT_SECONDS = 30
INVENTORY_SECONDS = 300.0
# The load of the first moments is the agent's own start.
SETTLE_SECONDS = 1.0
PAUSED_FACT = "updates_paused"
NOT_OURS = "not_your_deployment"
REFUSALS = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})


@dataclass(frozen=True, slots=True)
class Ended:
    """Why a stream ended and when to come back."""

    reason: str
    retry_after_seconds: float = 0.0
    is_renewed: bool = False
    is_refused: bool = False
    steady_seconds: float = 0.0
    # The platform's stable code of a refusal.
    code: str = ""


class Session:
    """One stream between this device and the platform."""

    def __init__(
        self,
        *,
        call: Any,
        engine: Engine,
        hardware: Hardware,
        clock: Clock,
        on_connected: Callable[[], None],
        rng: random.Random,
        heartbeat_seconds: float | None = None,
    ) -> None:
        self._call = call
        self._engine = engine
        self._hardware = hardware
        self._clock = clock
        self._on_connected = on_connected
        self._rng = rng
        self._has_work = asyncio.Event()
        self._welcomed = asyncio.Event()
        self._ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._sequence = 0
        # Reports sent on this stream and not acknowledged: their own numbers by the stream's.
        self._sent: dict[int, tuple[str, int]] = {}
        self._heartbeat: pb.Heartbeat | None = None
        self._inventory: pb.Inventory | None = None
        self._told: pb.Inventory | None = None
        self._goodbye: str = ""
        self._welcomed_at = 0.0
        self._chosen_interval = heartbeat_seconds
        self._interval = float(DEFAULT_HEARTBEAT_SECONDS)
        self._jitter = 0.1
        self.renewal_due = asyncio.Event()

    def wake(self) -> None:
        """There is a report to send, and maybe an installed version to tell."""
        told = self._told
        if told and (
            dict(told.installed) != self._engine.state.installed
            or (PAUSED_FACT in told.facts) != self._engine.is_paused
        ):
            self._note_inventory()
        self._has_work.set()

    def stop(self, reason: str) -> None:
        """Says goodbye and ends."""
        self._goodbye = reason
        self._has_work.set()
        if not self._welcomed.is_set():
            self.end(Ended(reason))

    def end(self, ended: Ended) -> None:
        """Ends the stream."""
        if not self._ended.done():
            self._ended.set_result(ended)

    async def run(self) -> Ended:
        """Talks until the stream ends; says why it did."""
        tasks = [
            asyncio.create_task(self._guard(part()))
            for part in (self._read, self._write, self._beat, self._watch_inventory)
        ]
        try:
            ended = await self._ended
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._call.cancel()
        if not self._welcomed_at:
            return ended
        steady = time.monotonic() - self._welcomed_at
        return replace(ended, steady_seconds=steady)

    async def _guard(self, part: Any) -> None:
        """Ends the session when one of its parts ends or fails."""
        try:
            await part
            self.end(Ended("stream ended"))
        except grpc.aio.AioRpcError as error:
            ended = _ended_by(error)
            if ended.code == NOT_OURS and self._sent:
                # Else the same report would end each stream to come.
                self._engine.forget(self._sent[min(self._sent)][0])
                ended = replace(ended, is_refused=False)
            self.end(ended)
        except (asyncio.InvalidStateError, grpc.aio.UsageError):
            # A write met the end of the stream: the reader knows the reason.
            await asyncio.sleep(GOODBYE_SECONDS)
            self.end(Ended("stream ended"))
        except TimeoutError:
            self.end(Ended("no welcome in time"))
        except Exception as error:  # a session without one of its parts would hang for ever
            logger.exception("session broke")
            self.end(Ended(f"broke: {type(error).__name__}"))

    # What comes

    async def _read(self) -> None:
        while True:
            response = await self._call.read()
            if not isinstance(response, pb.ConnectResponse):  # grpc.aio.EOF
                return
            self._take(response)

    def _take(self, response: pb.ConnectResponse) -> None:
        kind = response.WhichOneof("payload")
        if kind == "welcome":
            self._take_welcome(response.welcome)
        elif kind == "acknowledgement":
            self._take_acknowledgement(response.acknowledgement)
        elif kind == "deployment_offer":
            self._take_offer(response.deployment_offer)
        elif kind == "deployment_cancellation":
            self._engine.cancel(response.deployment_cancellation.deployment_id)
        elif kind == "renewal_due":
            self.renewal_due.set()
        elif kind == "reconnect":
            notice = response.reconnect
            reason = notice.reason or "the server asked to reconnect"
            self.end(Ended(reason, float(notice.retry_after_seconds)))

    def _take_offer(self, message: pb.DeploymentOffer) -> None:
        try:
            offer = offer_from_pb(message)
        except (ValueError, OverflowError):  # it would end each stream to come
            logger.exception("offer cannot be read, not taken")
            return
        self._engine.offer(offer)

    def _take_welcome(self, welcome: pb.Welcome) -> None:
        told = float(welcome.heartbeat_interval_seconds or DEFAULT_HEARTBEAT_SECONDS)
        self._interval = self._chosen_interval or told
        self._jitter = min(1.0, max(0.0, welcome.jitter_ratio))
        if welcome.HasField("server_time"):
            self._clock.set_server_time(to_datetime(welcome.server_time))
        self._welcomed_at = time.monotonic()
        self._welcomed.set()
        self._on_connected()

    def _take_acknowledgement(self, stored: pb.Acknowledgement) -> None:
        done = {s: key for s, key in self._sent.items() if s <= stored.sequence}
        if stored.deployment_id:
            key = (stored.deployment_id, stored.report_sequence)
            done |= {s: k for s, k in self._sent.items() if k[0] == key[0] and k[1] <= key[1]}
            self._engine.acknowledge(*key, is_terminal=stored.is_terminal)
        for sequence, key in done.items():
            del self._sent[sequence]
            self._engine.acknowledge(*key)

    # What goes

    async def _write(self) -> None:
        active = self._engine.state.active
        deployment_id = active.offer.deployment_id if active and not active.is_disowned else ""
        await self._send(
            hello=pb.Hello(
                agent_version=__version__,
                boot_id=self._hardware.boot_id(),
                device_time=to_timestamp(self._clock.now()),
                component_kinds=self._engine.kinds,
                active_deployment_id=deployment_id,
            )
        )
        await asyncio.wait_for(self._welcomed.wait(), WELCOME_SECONDS)
        self._note_inventory()
        while True:
            self._has_work.clear()
            await self._send_all()
            if self._goodbye:
                await self._say_goodbye()
                return
            await self._has_work.wait()

    async def _send_all(self) -> None:
        while report := self._next_report():
            self._sent[self._sequence + 1] = (report.deployment_id, report.sequence)
            await self._send(deployment_report=report_to_pb(report))
        if self._inventory:
            inventory, self._inventory = self._inventory, None
            await self._send(inventory=inventory)
        if self._heartbeat:
            heartbeat, self._heartbeat = self._heartbeat, None
            await self._send(heartbeat=heartbeat)

    def _next_report(self) -> Report | None:
        sent = set(self._sent.values())
        spooled = self._engine.state.outbox
        return next((r for r in spooled if (r.deployment_id, r.sequence) not in sent), None)

    async def _send(self, **payload: Any) -> None:
        self._sequence += 1
        await self._call.write(pb.ConnectRequest(sequence=self._sequence, **payload))

    async def _say_goodbye(self) -> None:
        await self._send(goodbye=pb.Goodbye(reason=self._goodbye))
        await self._call.done_writing()
        # The server ends the stream once it has read this; then the reader returns.
        await asyncio.sleep(GOODBYE_SECONDS)

    async def _beat(self) -> None:
        await self._welcomed.wait()
        await self._clock.sleep(SETTLE_SECONDS)
        while True:
            self._heartbeat = self._measure()
            self._has_work.set()
            spread = self._rng.uniform(0.0, self._jitter)
            await self._clock.sleep(self._interval * (1 + spread))

    def _measure(self) -> pb.Heartbeat:
        sample = self._hardware.sample()
        heartbeat = pb.Heartbeat(
            device_time=to_timestamp(self._clock.now()),
            cpu_ratio=sample.cpu_ratio,
            memory_ratio=sample.memory_ratio,
            disk_ratio=sample.disk_ratio,
            uptime_seconds=sample.uptime_seconds,
        )
        if sample.temperature_celsius is not None:
            heartbeat.temperature_celsius = sample.temperature_celsius
        return heartbeat

    async def _watch_inventory(self) -> None:
        await self._welcomed.wait()
        while True:
            await self._clock.sleep(INVENTORY_SECONDS)
            self._note_inventory()

    def _note_inventory(self) -> None:
        """Puts the inventory in line, unless it is what was told already."""
        inventory = self._hardware.inventory()
        inventory.installed.update(self._engine.state.installed)
        if self._engine.is_paused:
            inventory.facts[PAUSED_FACT] = "true"
        if inventory != self._told:
            self._told = self._inventory = inventory
            self._has_work.set()


def _ended_by(error: grpc.aio.AioRpcError) -> Ended:
    trailers: dict[str, Any] = dict(error.trailing_metadata() or ())  # type: ignore[arg-type]
    try:
        retry_after = float(trailers.get("retry-after", 0))
    except (TypeError, ValueError):
        retry_after = 0.0
    reason = f"{error.code().name.lower()}: {error.details()}"[:300]
    return Ended(
        reason,
        retry_after,
        is_refused=error.code() in REFUSALS,
        code=str(trailers.get("fleetd-code", "")),
    )
