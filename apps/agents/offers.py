"""Bringing work to devices: claims in batches for everyone who is connected here."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar
from uuid import UUID

import structlog

from apps.agents.messages import offer_message
from apps.agents.options import Options
from apps.agents.session import Session, Sessions
from apps.core.rpc import DATABASE_AWAY, orm
from apps.updates.types import Offer, Withdrawal
from fleetd.pb.internal.agent.v1 import agent_pb2 as pb

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Desk(Protocol):
    """Where work is handed out."""

    def claim(self, organization_id: UUID, device_ids: list[UUID]) -> list[Offer]:
        """Work for these devices."""

    def active_offers(self, organization_id: UUID, device_ids: list[UUID]) -> list[Offer]:
        """The deployments that these devices are at."""

    def withdrawn(self, organization_id: UUID, deployment_ids: list[UUID]) -> list[Withdrawal]:
        """Which of these deployments the platform is through with."""


class Offers:
    """Claims deployments when somebody says that there may be some, and every few seconds anyway.

    An offer whose device has gone meanwhile is not lost: the device gets it when it comes back.
    Links are short-lived, so devices that are at work get fresh ones from time to time.
    """

    def __init__(self, sessions: Sessions, desk: Desk, options: Options) -> None:
        self._sessions = sessions
        self._desk = desk
        self._options = options
        # Organizations to ask for, with the devices to ask for; None stands for all of them.
        self._due: dict[UUID, set[UUID] | None] = {}
        # Devices that may be at work already: they came back, or their links grow old.
        self._returning: dict[UUID, set[UUID]] = {}
        self._wake = asyncio.Event()

    def wake(self, organization_id: UUID) -> None:
        """There may be work for any device of the organization."""
        self._due[organization_id] = None
        self._wake.set()

    def wake_all(self) -> None:
        """There may be work for anybody."""
        for organization_id in self._sessions.organizations():
            self.wake(organization_id)

    def wake_device(self, session: Session) -> None:
        """There may be work for one device: it is new here, or through with what it had."""
        devices = self._due.setdefault(session.organization_id, set())
        if devices is not None:
            devices.add(session.device_id)
        self._wake.set()

    def greet(self, session: Session) -> None:
        """A device has been welcomed: it goes on with what it was at, or gets something new."""
        session.is_ready = True
        self._returning.setdefault(session.organization_id, set()).add(session.device_id)
        self.wake_device(session)

    async def run(self) -> None:
        """Claims until cancelled: what is due soon after it is, everything every few seconds."""
        loop = asyncio.get_running_loop()
        sweep_at = loop.time() + self._options.claim_seconds
        while True:
            try:
                async with asyncio.timeout_at(sweep_at):
                    await self._wake.wait()
                await asyncio.sleep(self._options.claim_linger_seconds)
            except TimeoutError:
                sweep_at = loop.time() + self._options.claim_seconds
                self._sweep()
            self._wake.clear()
            due, self._due = self._due, {}
            await asyncio.gather(*(self._hand_out(o, devices) for o, devices in due.items()))

    async def withdraw(self, organization_id: UUID) -> None:
        """Tells the devices whose deployments are over for the platform to stop working on them."""
        at_work = {
            deployment_id: session
            for session in self._sessions.of(organization_id)
            for deployment_id in session.deployment_ids
        }
        for chunk in _chunks(list(at_work), self._options.claim_devices):
            for withdrawal in await self._ask(self._desk.withdrawn, organization_id, chunk):
                session = at_work[withdrawal.deployment_id]
                session.deployment_ids.discard(withdrawal.deployment_id)
                session.send(_cancellation(withdrawal))

    def _sweep(self) -> None:
        """Everybody, and those at work whose links grow old."""
        self.wake_all()
        old = time.monotonic() - self._options.link_refresh_seconds
        for session in self._sessions.all():
            if session.deployment_ids and session.offered_at < old:
                self._returning.setdefault(session.organization_id, set()).add(session.device_id)

    async def _hand_out(self, organization_id: UUID, device_ids: set[UUID] | None) -> None:
        """Work under way first, so that nobody is claimed for who has some."""
        size = self._options.claim_devices
        for chunk in _chunks(self._returning.pop(organization_id, ()), size):
            self._deliver(await self._ask(self._desk.active_offers, organization_id, chunk))
        for chunk in _chunks(self._ready(organization_id, device_ids), size):
            self._deliver(await self._ask(self._desk.claim, organization_id, chunk))
        if device_ids is None:
            await self.withdraw(organization_id)

    def _ready(self, organization_id: UUID, device_ids: set[UUID] | None) -> list[UUID]:
        """Those of these devices, or of all, that have been welcomed here."""
        if device_ids is None:
            return [s.device_id for s in self._sessions.of(organization_id) if s.is_ready]
        found = (self._sessions.get(device_id) for device_id in device_ids)
        return [session.device_id for session in found if session is not None and session.is_ready]

    async def _ask(
        self,
        question: Callable[[UUID, list[UUID]], list[T]],
        organization_id: UUID,
        ids: list[UUID],
    ) -> list[T]:
        """Nothing while PostgreSQL is away: the next sweep asks again."""
        try:
            return await orm(organization_id, question, organization_id, ids)
        except DATABASE_AWAY as error:
            log.warning("work_not_asked_for", error=type(error).__name__)
        except Exception as error:
            log.error("work_not_asked_for", exc_info=error)
        return []

    def _deliver(self, offers: Iterable[Offer]) -> None:
        for offer in offers:
            session = self._sessions.get(offer.device_id)
            if session is not None and session.is_ready:
                session.deployment_ids.add(offer.deployment_id)
                session.offered_at = time.monotonic()
                session.send(offer_message(offer))


def _chunks(items: Iterable[UUID], size: int) -> Iterator[list[UUID]]:
    rows: Sequence[UUID] = list(items)
    for start in range(0, len(rows), size):
        yield list(rows[start : start + size])


def _cancellation(withdrawal: Withdrawal) -> pb.ConnectResponse:
    return pb.ConnectResponse(
        deployment_cancellation=pb.DeploymentCancellation(
            deployment_id=str(withdrawal.deployment_id), reason=withdrawal.reason
        )
    )
