"""The connection to the platform: one mutual-TLS stream that is always brought back.

Reports wait in the journal and are never lost; heartbeats and inventories have one place each, so a
stalled connection can only ever hold the newest of them.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from typing import Any, Protocol

import grpc

from fleetd_agent.backoff import after_server_hint, full_jitter
from fleetd_agent.engine import Engine
from fleetd_agent.facts import Hardware
from fleetd_agent.identity import Identity, is_expired, is_pair, make_request, until_renewal
from fleetd_agent.pb.internal.agent.v1 import agent_pb2 as pb
from fleetd_agent.ports import Clock
from fleetd_agent.session import Ended, Session

logger = logging.getLogger(__name__)

CONNECT = "/internal.agent.v1.AgentService/Connect"
RENEW = "/internal.agent.v1.AgentService/RenewCertificate"
RENEW_TIMEOUT_SECONDS = 30.0
RENEW_RETRY_CAP_SECONDS = 600.0
STEADY_SECONDS = 10.0
REFUSED_CAP_SECONDS = 600.0
EXPIRED_RETRY_SECONDS = 300.0
CHANNEL_OPTIONS = [
    # A dead line shows when a heartbeat is not taken for 20 s (TCP user timeout). Pings alone come
    # less often than the five minutes that every gRPC server tolerates.
    ("grpc.keepalive_time_ms", 310_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
]


class Phase(StrEnum):
    """What the connection is doing, for `status`."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"
    EXPIRED = "certificate_expired"
    STOPPED = "stopped"


class Identities(Protocol):
    """Where the identity is kept."""

    def load(self) -> Identity | None:
        """The identity now."""

    def save(self, identity: Identity) -> None:
        """Keeps a renewed one."""


class Connection:
    """Keeps one device connected until it is stopped."""

    def __init__(
        self,
        *,
        identities: Identities,
        engine: Engine,
        hardware: Hardware,
        clock: Clock,
        on_phase: Callable[[Phase, str], None] = lambda phase, detail: None,
        heartbeat_seconds: float | None = None,
        rng: random.Random | None = None,
    ) -> None:
        identity = identities.load()
        if identity is None:
            raise ValueError("not enrolled")
        self._identity = identity
        self._identities = identities
        self._engine = engine
        self._hardware = hardware
        self._clock = clock
        self._on_phase = on_phase
        self._rng = rng or random.SystemRandom()
        self._heartbeat_seconds = heartbeat_seconds
        self._stopping = asyncio.Event()
        self._goodbye = "stopped"
        self._session: Session | None = None

    def wake(self) -> None:
        """There is a report to send."""
        if self._session:
            self._session.wake()

    def stop(self, reason: str) -> None:
        """Says goodbye, where connected, and makes `run` return."""
        self._goodbye = reason
        self._stopping.set()
        if self._session:
            self._session.stop(reason)

    async def run(self) -> None:
        """Connects again and again, with full jitter, or when the server said to come back."""
        attempt = 0
        while not self._stopping.is_set():
            if is_expired(self._identity, self._clock.now()):
                self._on_phase(Phase.EXPIRED, "enroll this device again")
                logger.error("certificate expired, enroll this device again")
                await self._pause(EXPIRED_RETRY_SECONDS)
                self._identity = self._identities.load() or self._identity
                continue
            ended = await self._connect_once()
            if self._stopping.is_set():
                break
            attempt = 0 if ended.steady_seconds >= STEADY_SECONDS or ended.is_renewed else attempt
            seconds = self._delay(ended, attempt)
            attempt += 1
            self._on_phase(Phase.WAITING, ended.reason)
            extra = {"why": ended.reason, "retry_in": f"{seconds:.1f}s"}
            logger.info("connection ended", extra=extra)
            await self._pause(seconds)
        self._on_phase(Phase.STOPPED, self._goodbye)

    def _delay(self, ended: Ended, attempt: int) -> float:
        if ended.is_renewed:
            return 0.0
        if ended.retry_after_seconds:
            return after_server_hint(ended.retry_after_seconds, self._rng)
        if ended.is_refused:
            return full_jitter(attempt + 3, cap=REFUSED_CAP_SECONDS, rng=self._rng)
        return full_jitter(attempt, rng=self._rng)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _connect_once(self) -> Ended:
        self._on_phase(Phase.CONNECTING, self._identity.agent_address)
        async with open_channel(self._identity) as channel:
            connect: Any = channel.stream_stream(  # the stubs know no call without an iterator
                CONNECT,
                request_serializer=pb.ConnectRequest.SerializeToString,
                response_deserializer=pb.ConnectResponse.FromString,
            )
            session = Session(
                call=connect(),
                engine=self._engine,
                hardware=self._hardware,
                clock=self._clock,
                on_connected=lambda: self._on_phase(Phase.CONNECTED, self._identity.agent_address),
                heartbeat_seconds=self._heartbeat_seconds,
                rng=self._rng,
            )
            self._session = session
            if self._stopping.is_set():
                session.stop(self._goodbye)
            renewal = asyncio.create_task(self._renew_in_time(channel, session))
            try:
                return await session.run()
            finally:
                self._session = None
                renewal.cancel()
                with suppress(asyncio.CancelledError):
                    await renewal

    async def _renew_in_time(self, channel: grpc.aio.Channel, session: Session) -> None:
        attempt = 0
        while True:
            left = until_renewal(self._identity, self._clock.now()).total_seconds()
            with suppress(TimeoutError):
                await asyncio.wait_for(session.renewal_due.wait(), max(0.0, left))
            try:
                await self._renew(channel)
            except grpc.aio.AioRpcError as error:
                extra = {"code": error.code().name, "why": error.details()}
                logger.warning("certificate was not renewed", extra=extra)
            except ValueError as error:
                logger.warning("the new certificate cannot be used", extra={"why": str(error)})
            else:
                session.end(Ended("certificate renewed", is_renewed=True))
                return
            session.renewal_due.clear()
            attempt += 1
            delay = full_jitter(attempt, cap=RENEW_RETRY_CAP_SECONDS, rng=self._rng)
            await self._clock.sleep(delay)

    async def _renew(self, channel: grpc.aio.Channel) -> None:
        request = make_request()
        renew = channel.unary_unary(
            RENEW,
            request_serializer=pb.RenewCertificateRequest.SerializeToString,
            response_deserializer=pb.RenewCertificateResponse.FromString,
        )
        message = pb.RenewCertificateRequest(csr_pem=request.csr_pem)
        answer = await renew(message, timeout=RENEW_TIMEOUT_SECONDS)
        if not is_pair(request.key_pem, answer.certificate_chain_pem):
            raise ValueError("it is for another key")
        self._identity = replace(
            self._identity,
            key_pem=request.key_pem,
            chain_pem=answer.certificate_chain_pem,
            root_pem=answer.root_pem or self._identity.root_pem,
        )
        self._identities.save(self._identity)
        logger.info("certificate renewed", extra={"until": self._identity.not_after.isoformat()})


def open_channel(identity: Identity) -> grpc.aio.Channel:
    """A channel that trusts only the platform's root and shows this device's certificate."""
    credentials = grpc.ssl_channel_credentials(
        identity.root_pem.encode(), identity.key_pem.encode(), identity.chain_pem.encode()
    )
    return grpc.aio.secure_channel(identity.agent_address, credentials, CHANNEL_OPTIONS)
