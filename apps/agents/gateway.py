"""The gateway of one process: all streams, and the work around them that is done in batches."""

import asyncio
import random
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

import structlog
from prometheus_client import Gauge

from apps.agents.beats import Beats
from apps.agents.errors import GatewayFull, GatewayStopping, StreamReplaced
from apps.agents.group_commit import GroupCommit
from apps.agents.hints import Hints
from apps.agents.identity import PeerCertificate
from apps.agents.messages import timestamp
from apps.agents.notices import Notice, Notices, uuid_pairs_in
from apps.agents.offers import Offers
from apps.agents.options import Options
from apps.agents.session import Session, Sessions
from apps.core import clock
from apps.core.errors import FleetdError, Unavailable
from apps.core.rpc import DATABASE_AWAY, orm
from apps.devices.types import Beat, Closing, Facts, Opening
from apps.enrollment.domain.ca import Identity
from apps.enrollment.errors import CertificateExpired, CertificateRevoked, CertificateUnknown
from apps.enrollment.types import DeviceIdentity
from apps.organizations.errors import OrganizationWaits
from apps.updates.types import Offer, Report, ReportResult, Withdrawal
from fleetd.pb.internal.agent.v1 import agent_pb2 as pb

log = structlog.get_logger(__name__)

STREAMS = Gauge("fleetd_agent_streams", "Devices that are connected here")

MAX_PER_SECOND_BACK = 200
WAIT_SECONDS = 60  # while the organization is suspended
# What is stored: a report, or a device's inventory.
Content = Report | tuple[UUID, Facts]


class Backend(Protocol):
    """What a gateway asks of the platform; `apps.agents.backend` is the one there is."""

    def authenticate(
        self, organization_id: UUID, presented: list[PeerCertificate]
    ) -> list[DeviceIdentity | FleetdError]:
        """The devices that certificates name, or why one is refused."""

    def is_waiting(self, organization_id: UUID) -> bool:
        """Whether devices have to wait for their organization."""

    def refused_serials(self, organization_id: UUID, serials: list[str]) -> set[str]:
        """Which of these certificates may not be used any more."""

    def open_sessions(self, organization_id: UUID, openings: list[Opening]) -> list[bool]:
        """Notes new streams."""

    def close_sessions(self, organization_id: UUID, closings: list[Closing]) -> list[None]:
        """Notes streams that have ended."""

    def flush_beats(self, organization_id: UUID, beats: list[Beat]) -> None:
        """Stores the newest state of many devices."""

    def store(
        self, organization_id: UUID, messages: list[Content]
    ) -> Sequence[ReportResult | None]:
        """Stores reports and inventories."""

    def claim(self, organization_id: UUID, device_ids: list[UUID]) -> list[Offer]:
        """Work for these devices."""

    def active_offers(self, organization_id: UUID, device_ids: list[UUID]) -> list[Offer]:
        """The deployments that these devices are at."""

    def withdrawn(self, organization_id: UUID, deployment_ids: list[UUID]) -> list[Withdrawal]:
        """Which of these deployments the platform is through with."""


class Stored:
    """A message that is acknowledged once it is committed, with the stream that waits for it."""

    __slots__ = ("content", "session")

    def __init__(self, session: Session, content: Content) -> None:
        self.session = session
        self.content = content


class Gateway:
    """Lets devices in, keeps their streams, and writes what they say in batches."""

    def __init__(self, backend: Backend, options: Options) -> None:
        self.options = options
        self.backend = backend
        self.sessions = Sessions()
        self.hints = Hints(options)
        self.beats = Beats(backend.flush_beats, options, self.hints.note)
        self.offers = Offers(self.sessions, backend, options)
        self.notices = Notices(self._notice, self._look_at_everything)
        self.storage = self._group_commit(self._store, wanted=True)
        self._admissions = self._group_commit(backend.authenticate)
        self._openings = self._group_commit(backend.open_sessions)
        self._closings: GroupCommit[Closing, None] = GroupCommit(
            backend.close_sessions,
            linger_seconds=options.close_linger_seconds,
            size=options.commit_messages,
            waiting=options.waiting_messages,
        )
        # Streams that other gateways have not been told of: device and session.
        self._opened: dict[UUID, dict[UUID, UUID]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._admitting = 0
        self._is_stopping = False

    def start(self) -> None:
        """Starts the work around the streams."""
        for work in (
            self.beats.run(),
            self.offers.run(),
            self.hints.run(),
            self.notices.run(),
            self._watch(),
            self._announce(),
        ):
            self.spawn(work)

    async def admit(self, certificate: PeerCertificate) -> DeviceIdentity:
        """The device that a certificate names. Raises where it may not come in, or not now."""
        if self._is_stopping:
            raise GatewayStopping(retry_after_seconds=self._spread())
        if self._admitting >= self.options.admissions:
            raise GatewayFull(retry_after_seconds=self._spread())
        named = Identity.parse(certificate.spiffe_id)
        if named is None:
            raise CertificateUnknown
        self._admitting += 1
        try:
            asked = await self._admissions.put(named.organization_id, certificate)
            answer: DeviceIdentity | FleetdError = await asked
        finally:
            self._admitting -= 1
        if isinstance(answer, FleetdError):
            raise answer
        return answer

    async def open(self, session: Session, opening: Opening) -> None:
        """Takes a stream in: it replaces an older one of the same device, here and elsewhere."""
        stored = await self._openings.put(session.organization_id, opening)
        if not await stored:
            raise StreamReplaced
        if self._is_stopping:
            raise GatewayStopping(retry_after_seconds=self._spread())
        replaced = self.sessions.add(session)
        STREAMS.set(len(self.sessions))
        if replaced is not None:
            replaced.end(StreamReplaced(retry_after_seconds=self._spread()))
        opened = self._opened.setdefault(session.organization_id, {})
        opened[session.device_id] = session.session_id

    async def leave(self, session: Session) -> None:
        """Forgets a stream that is over."""
        session.end()
        is_newest = self.sessions.get(session.device_id) is session
        self.sessions.remove(session)
        STREAMS.set(len(self.sessions))
        # A gateway that stops leaves the devices as they are: they come back in a moment.
        if is_newest and not (self._is_stopping and not session.is_graceful):
            closing = Closing(
                session.device_id, session.session_id, session.end_reason, session.is_graceful
            )
            future = await self._closings.put(session.organization_id, closing)
            future.add_done_callback(_ignore)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Runs `work` beside the streams until the gateway stops."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    async def stop(self) -> None:
        """Sends the devices elsewhere, spread over some seconds, and writes what is in memory."""
        self._is_stopping = True
        for session in self.sessions.all():
            notice = pb.Reconnect(retry_after_seconds=self._spread(), reason="gateway is stopping")
            session.send(pb.ConnectResponse(reconnect=notice))
            session.end(reason="gateway stopped")
        deadline = asyncio.get_running_loop().time() + self.options.drain_seconds
        while len(self.sessions) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
        await self.storage.settle(self.options.drain_seconds / 2)
        await self._closings.settle(1.0)
        await asyncio.wait({asyncio.ensure_future(self.beats.settle())}, timeout=2.0)
        await self._cancel_tasks()
        for group in (self.storage, self._admissions, self._openings, self._closings):
            await group.stop()
        await self.hints.close()
        await self.notices.close()

    async def _cancel_tasks(self) -> None:
        """More than once: the Valkey client loses a cancellation that comes while it connects."""
        while tasks := set(self._tasks):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=0.2)

    async def recheck(self, organization_id: UUID) -> None:
        """Ends the streams of one organization whose certificates are refused by now.

        All of them where the organization is suspended: the devices keep what they have to say and
        come back.
        """
        sessions = self.sessions.of(organization_id)
        if await orm(organization_id, self.backend.is_waiting, organization_id):
            for session in sessions:
                session.end(OrganizationWaits(retry_after_seconds=self._spread() + WAIT_SECONDS))
            return
        serials = [session.certificate.serial for session in sessions]
        refused = await orm(organization_id, self.backend.refused_serials, organization_id, serials)
        for session in sessions:
            if session.certificate.serial in refused:
                session.end(CertificateRevoked())

    async def _watch(self) -> None:
        """Every few seconds: dates and revocations of all certificates in use here."""
        while True:
            await asyncio.sleep(self.options.recheck_seconds)
            now = clock.now().astimezone(UTC)
            for session in self.sessions.all():
                self._check_dates(session, now)
            for organization_id in self.sessions.organizations():
                await self._recheck_calmly(organization_id)

    async def _recheck_calmly(self, organization_id: UUID) -> None:
        try:
            await self.recheck(organization_id)
        except DATABASE_AWAY as error:
            log.warning("recheck_delayed", error=type(error).__name__)
        except Exception as error:
            log.error("recheck_failed", exc_info=error)

    def _check_dates(self, session: Session, now: datetime) -> None:
        if session.is_expired(now):
            session.end(CertificateExpired())
        elif not session.is_renewal_told and session.certificate.renewal_at <= now:
            session.is_renewal_told = True
            due = pb.RenewalDue(not_after=timestamp(session.certificate.not_after))
            session.send(pb.ConnectResponse(renewal_due=due))

    def _store(
        self, organization_id: UUID, messages: list[Stored]
    ) -> Sequence[ReportResult | None]:
        return self.backend.store(organization_id, [m.content for m in messages])

    def _group_commit(self, write: Any, *, wanted: bool = False) -> GroupCommit[Any, Any]:
        return GroupCommit(
            write,
            linger_seconds=self.options.commit_linger_seconds,
            size=self.options.commit_messages,
            waiting=self.options.waiting_messages,
            is_wanted=(lambda item: not item.session.is_ended) if wanted else None,
        )

    def _notice(self, kind: str, organization_id: UUID, notice: Notice) -> None:
        if kind == "deployments":
            self.offers.wake(organization_id)
        elif kind == "withdrawals":
            self.spawn(self.offers.withdraw(organization_id))
        elif kind == "revoked":
            self.spawn(self._recheck_calmly(organization_id))
        elif kind == "sessions":
            for device_id, session_id in uuid_pairs_in(notice, "sessions"):
                self._replaced_elsewhere(device_id, session_id)

    def _replaced_elsewhere(self, device_id: UUID, session_id: UUID) -> None:
        """A device has opened a stream somewhere: an older one here is over."""
        session = self.sessions.get(device_id)
        if session is not None and session.session_id < session_id:
            session.end(StreamReplaced(retry_after_seconds=self._spread()))

    async def _announce(self) -> None:
        """Tells the other gateways which devices have come here, all at once."""
        while True:
            await asyncio.sleep(self.options.announce_seconds)
            opened, self._opened = self._opened, {}
            for organization_id, sessions in opened.items():
                pairs = list(sessions.items())
                await self.notices.publish("sessions", organization_id, sessions=pairs)

    def _look_at_everything(self) -> None:
        self.offers.wake_all()
        for organization_id in self.sessions.organizations():
            self.spawn(self._recheck_calmly(organization_id))

    def _spread(self) -> int:
        """Seconds after which one device should come back, so that they do not all come at once."""
        widest = max(2, (len(self.sessions) + self._admitting) // MAX_PER_SECOND_BACK)
        return random.randint(1, widest)  # noqa: S311  spreads load, guards nothing

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("gateway_task_failed", exc_info=task.exception())


def _ignore(future: "asyncio.Future[None]") -> None:
    """A closing that could not be written is not missed: the device's deadline decides."""
    if not future.cancelled() and isinstance(future.exception(), Exception):
        error = future.exception()
        if not isinstance(error, Unavailable):
            log.warning("closing_not_stored", error=type(error).__name__)
