"""Bringing work to devices: claims in batches for everyone who is connected here."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import structlog

from apps.agents.messages import offer_message
from apps.agents.options import Options
from apps.agents.session import Session, Sessions
from apps.core.rpc import DATABASE_AWAY, orm
from apps.updates.types import Offer
from fleetd.pb.internal.agent.v1 import agent_pb2 as pb

log = structlog.get_logger(__name__)

Claim = Callable[[UUID, list[UUID]], list[Offer]]


class Offers:
    """Claims deployments when somebody says that there may be some, and every few seconds anyway.

    An offer whose device has gone meanwhile is not lost: the device gets it when it comes back.
    """

    def __init__(self, sessions: Sessions, claim: Claim, options: Options) -> None:
        self._sessions = sessions
        self._claim = claim
        self._options = options
        # Organizations to ask for, with the devices to ask for; None stands for all of them.
        self._due: dict[UUID, set[UUID] | None] = {}
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

    def cancel(self, organization_id: UUID, deployment_ids: set[UUID]) -> None:
        """Tells the devices that are at these deployments to stop."""
        for session in self._sessions.of(organization_id):
            for deployment_id in session.deployment_ids & deployment_ids:
                session.deployment_ids.discard(deployment_id)
                session.send(
                    pb.ConnectResponse(
                        deployment_cancellation=pb.DeploymentCancellation(
                            deployment_id=str(deployment_id), reason="The rollout was cancelled."
                        )
                    )
                )

    def deliver(self, offer: Offer) -> None:
        """Sends an offer to its device, if it is here."""
        session = self._sessions.get(offer.device_id)
        if session is not None and session.is_ready:
            session.deployment_ids.add(offer.deployment_id)
            session.send(offer_message(offer))

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
                self.wake_all()
            self._wake.clear()
            due, self._due = self._due, {}
            await asyncio.gather(*(self._claim_for(o, devices) for o, devices in due.items()))

    async def _claim_for(self, organization_id: UUID, device_ids: set[UUID] | None) -> None:
        idle = [
            session.device_id
            for session in self._sessions.of(organization_id)
            if session.is_ready and (device_ids is None or session.device_id in device_ids)
        ]
        size = self._options.claim_devices
        for start in range(0, len(idle), size):
            try:
                chunk = idle[start : start + size]
                claimed = await orm(organization_id, self._claim, organization_id, chunk)
            except DATABASE_AWAY as error:
                log.warning("claim_delayed", error=type(error).__name__)
                return
            except Exception as error:
                log.error("claim_failed", exc_info=error)
                return
            for offer in claimed:
                self.deliver(offer)
