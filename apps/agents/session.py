"""One device's stream, as the gateway holds it."""

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from apps.agents.errors import SlowReader
from apps.agents.identity import PeerCertificate
from apps.agents.options import Options
from apps.core.errors import FleetdError
from apps.core.ids import uuid7
from fleetd.pb.internal.agent.v1 import agent_pb2 as pb


@dataclass(frozen=True, slots=True)
class Heard:
    """A heartbeat and when it came (Unix time)."""

    heartbeat: pb.Heartbeat
    at: float


class Session:
    """A stream that a device has opened. Everything here is used by the event loop only.

    What is sent waits in a bounded queue; a device that does not read loses its stream.
    """

    __slots__ = (
        "_allowance",
        "_checked_at",
        "_options",
        "_outgoing",
        "_wake",
        "address",
        "certificate",
        "deployment_ids",
        "device_id",
        "end_reason",
        "failure",
        "inventory_hash",
        "is_ended",
        "is_graceful",
        "is_ready",
        "is_renewal_told",
        "offered_at",
        "organization_id",
        "sequence",
        "session_id",
    )

    def __init__(
        self,
        organization_id: UUID,
        device_id: UUID,
        certificate: PeerCertificate,
        options: Options,
        address: str | None = None,
    ) -> None:
        self.organization_id = organization_id
        self.device_id = device_id
        self.certificate = certificate
        self.address = address
        self.session_id = uuid7()
        self.sequence = 0
        # Deployments that the device works on, as far as this gateway knows, and when it was last
        # given links for them.
        self.deployment_ids: set[UUID] = set()
        self.offered_at = 0.0
        self.inventory_hash = b""
        self.is_ready = False
        self.is_renewal_told = False
        self.is_ended = False
        self.is_graceful = False
        self.end_reason = "connection lost"
        self.failure: FleetdError | None = None
        self._options = options
        self._outgoing: list[pb.ConnectResponse] = []
        self._wake: asyncio.Event | None = None
        self._allowance = float(options.message_burst)
        self._checked_at = time.monotonic()

    def send(self, response: pb.ConnectResponse) -> None:
        """Puts a message in line; ends the stream of a device that does not read."""
        if self.is_ended:
            return
        if len(self._outgoing) >= self._options.outgoing_messages:
            self.end(SlowReader())
            return
        self._outgoing.append(response)
        self._notify()

    def end(self, failure: FleetdError | None = None, *, reason: str = "") -> None:
        """Ends the stream once what is in line has been sent. The first call decides."""
        if self.is_ended:
            return
        self.is_ended = True
        self.failure = failure
        if reason or failure:
            self.end_reason = reason or (failure.message if failure else "")
        self._notify()

    async def take(self) -> list[pb.ConnectResponse]:
        """What is to be sent now; waits for it. Nothing means that the stream has ended."""
        while not self._outgoing and not self.is_ended:
            self._wake = asyncio.Event()
            await self._wake.wait()
        taken, self._outgoing = self._outgoing, []
        return taken

    def pause(self) -> float:
        """Counts one message and answers for how long no more may be read."""
        now = time.monotonic()
        rate = self._options.messages_per_second
        earned = (now - self._checked_at) * rate
        self._checked_at = now
        self._allowance = min(self._allowance + earned, float(self._options.message_burst)) - 1.0
        return -self._allowance / rate if self._allowance < 0 else 0.0

    def is_expired(self, now: datetime) -> bool:
        """Whether the certificate's life is over."""
        return self.certificate.not_after <= now

    def _notify(self) -> None:
        if self._wake is not None:
            self._wake.set()


class Sessions:
    """All streams of this gateway: one per device, the newest."""

    def __init__(self) -> None:
        self._by_device: dict[UUID, Session] = {}
        self._by_organization: dict[UUID, dict[UUID, Session]] = {}

    def __len__(self) -> int:
        return len(self._by_device)

    def add(self, session: Session) -> Session | None:
        """Adds a stream; answers the one of the same device that it replaces."""
        replaced = self._by_device.get(session.device_id)
        self._by_device[session.device_id] = session
        organization = self._by_organization.setdefault(session.organization_id, {})
        organization[session.device_id] = session
        return replaced

    def remove(self, session: Session) -> None:
        """Forgets a stream, unless a newer one has taken its place."""
        if self._by_device.get(session.device_id) is not session:
            return
        del self._by_device[session.device_id]
        organization = self._by_organization[session.organization_id]
        del organization[session.device_id]
        if not organization:
            del self._by_organization[session.organization_id]

    def get(self, device_id: UUID) -> Session | None:
        """The stream of a device."""
        return self._by_device.get(device_id)

    def all(self) -> list[Session]:
        """Every stream."""
        return list(self._by_device.values())

    def organizations(self) -> list[UUID]:
        """Organizations that have devices here."""
        return list(self._by_organization)

    def of(self, organization_id: UUID) -> list[Session]:
        """The streams of one organization."""
        return list(self._by_organization.get(organization_id, {}).values())
