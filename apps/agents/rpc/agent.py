"""internal.agent.v1.AgentService: the stream that a device keeps open, and renewal."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, Protocol

import structlog

from apps.agents import backend
from apps.agents.errors import HelloExpected, NotYourDeployment, ReportNotStored, WrongSequence
from apps.agents.gateway import Gateway, Stored
from apps.agents.identity import peer_certificate
from apps.agents.messages import facts_of, is_sane, opening_of, report_of, timestamp
from apps.agents.session import Session
from apps.core import clock
from apps.core.errors import FleetdError
from apps.core.rpc import CALLER, current_call, orm
from apps.updates.types import ReportResult
from fleetd.pb.internal.agent.v1 import agent_pb2 as pb

log = structlog.get_logger(__name__)

Requests = AsyncIterator[pb.ConnectRequest]


class AgentContext(Protocol):
    """What the agent port knows about a peer."""

    peer_certificate_pem: bytes | None


class AgentServicer:
    """Answers devices. Who a device is comes from its certificate, never from a message."""

    def __init__(self, gateway: Gateway, check: Callable[[Any], None]) -> None:
        self._gateway = gateway
        self._check = check

    async def connect(
        self, requests: Requests, ctx: AgentContext
    ) -> AsyncIterator[pb.ConnectResponse]:
        """The one stream that a device keeps open. It begins with Hello."""
        certificate = peer_certificate(ctx.peer_certificate_pem)
        identity = await self._gateway.admit(certificate)
        organization_id, device_id = identity.organization_id, identity.device_id
        call = current_call()
        CALLER.get().actor = backend.device_actor(organization_id, device_id, call)
        first = await self._hello(requests)
        options = self._gateway.options
        # Made now and not before: the stream that said Hello last is the newest.
        session = Session(organization_id, device_id, certificate, options, call.address)
        self._count(session, first)
        opening = opening_of(session, first.hello, options.heartbeat_seconds)
        await self._gateway.open(session, opening)
        listening = asyncio.create_task(self._listen(session, requests))
        try:
            session.send(self._welcome(session))
            self._gateway.offers.greet(session)
            while responses := await session.take():
                for response in responses:
                    yield response
            if session.failure is not None:
                raise session.failure
        finally:
            listening.cancel()
            self._gateway.spawn(self._gateway.leave(session))

    async def renew_certificate(
        self, request: pb.RenewCertificateRequest, ctx: AgentContext
    ) -> pb.RenewCertificateResponse:
        """A new certificate for the same device."""
        identity = await self._gateway.admit(peer_certificate(ctx.peer_certificate_pem))
        actor = backend.device_actor(identity.organization_id, identity.device_id, current_call())
        CALLER.get().actor = actor
        issued = await orm(actor, backend.renew, actor, request.csr_pem)
        return pb.RenewCertificateResponse(
            certificate_chain_pem=issued.chain_pem, root_pem=issued.root_pem
        )

    async def _hello(self, requests: Requests) -> pb.ConnectRequest:
        try:
            async with asyncio.timeout(self._gateway.options.hello_seconds):
                first = await anext(requests)
        except (TimeoutError, StopAsyncIteration):
            raise HelloExpected from None
        self._check(first)
        if first.WhichOneof("payload") != "hello":
            raise HelloExpected
        return first

    def _welcome(self, session: Session) -> pb.ConnectResponse:
        options = self._gateway.options
        welcome = pb.Welcome(
            device_id=str(session.device_id),
            heartbeat_interval_seconds=options.heartbeat_seconds,
            jitter_ratio=options.heartbeat_jitter_ratio,
            server_time=timestamp(clock.now()),
        )
        return pb.ConnectResponse(welcome=welcome)

    async def _listen(self, session: Session, requests: Requests) -> None:
        """Reads until the device stops talking. Whatever goes wrong ends this stream alone."""
        try:
            await self._read(session, requests)
            session.end(reason="the device closed the stream")
        except FleetdError as error:
            session.end(error)
        except Exception as error:  # noqa: BLE001  a broken connection raises many things
            log.info("stream_broken", error=type(error).__name__)
            session.end(reason="connection lost")

    async def _read(self, session: Session, requests: Requests) -> None:
        beats = self._gateway.beats
        async for request in requests:
            self._count(session, request)
            if request.WhichOneof("payload") == "heartbeat":
                if not is_sane(request.heartbeat):
                    self._check(request)
                beats.take(session, request.heartbeat)
            elif await self._take(session, request):
                return
            if (seconds := session.pause()) > 0:
                await asyncio.sleep(seconds)

    async def _take(self, session: Session, request: pb.ConnectRequest) -> bool:
        """One message that is no heartbeat; True after the device has said goodbye."""
        self._check(request)
        kind = request.WhichOneof("payload")
        if kind == "deployment_report":
            report = report_of(session.device_id, request.deployment_report)
            await self._store(session, request, Stored(session, report))
        elif kind == "inventory":
            await self._take_inventory(session, request)
        elif kind == "goodbye":
            session.is_graceful = True
            session.end(reason=request.goodbye.reason)
            return True
        else:
            raise HelloExpected("Hello comes once, at the beginning.")
        return False

    async def _take_inventory(self, session: Session, request: pb.ConnectRequest) -> None:
        """Inventories that say nothing new cost nothing."""
        digest = backend.digest(request.inventory)
        if digest == session.inventory_hash:
            return
        session.inventory_hash = digest
        facts = facts_of(request.inventory)
        await self._store(session, request, Stored(session, (session.device_id, facts)))

    async def _store(self, session: Session, request: pb.ConnectRequest, message: Stored) -> None:
        stored = await self._gateway.storage.put(session.organization_id, message)
        stored.add_done_callback(partial(self._stored, session, request))

    def _stored(
        self,
        session: Session,
        request: pb.ConnectRequest,
        stored: "asyncio.Future[ReportResult | None]",
    ) -> None:
        """It is committed: says so. A report on another device's deployment ends the stream."""
        if stored.cancelled():
            return
        if stored.exception() is not None:
            session.end(ReportNotStored())
            return
        result = stored.result()
        acknowledgement = pb.Acknowledgement(sequence=request.sequence)
        if result is not None:
            if result.outcome == backend.NOT_FOUND:
                session.end(NotYourDeployment())
                return
            acknowledgement.deployment_id = str(result.deployment_id)
            acknowledgement.report_sequence = result.report_sequence
            acknowledgement.is_terminal = result.is_terminal
            self._note_progress(session, result)
        session.send(pb.ConnectResponse(acknowledgement=acknowledgement))

    def _note_progress(self, session: Session, result: ReportResult) -> None:
        if not result.is_terminal:
            session.deployment_ids.add(result.deployment_id)
            return
        session.deployment_ids.discard(result.deployment_id)
        self._gateway.offers.wake_device(session)

    @staticmethod
    def _count(session: Session, request: pb.ConnectRequest) -> None:
        if request.sequence <= session.sequence:
            raise WrongSequence
        session.sequence = request.sequence
