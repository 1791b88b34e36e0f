"""What the gateway asks of the platform. Runs in threads, inside the organization's transaction.

The gateway gets these functions as one object, so that it can be driven without a database.
"""

import hashlib
from collections.abc import Sequence
from uuid import UUID

from google.protobuf.message import Message

from apps.agents.identity import PeerCertificate
from apps.core.actors import Actor, Source, system_actor
from apps.core.errors import FleetdError
from apps.core.tasks import is_active
from apps.devices.services import live
from apps.devices.services.devices import record_inventory
from apps.devices.types import Beat, Closing, Facts, Opening
from apps.enrollment.selectors import device_actor, list_refused_serials
from apps.enrollment.services import certificates
from apps.enrollment.types import DeviceIdentity, IssuedCertificate
from apps.organizations.errors import OrganizationWaits
from apps.updates.domain.reports import Outcome
from apps.updates.selectors.deployments import list_withdrawn
from apps.updates.services import offers
from apps.updates.types import Offer, Report, ReportResult, Withdrawal

__all__ = ["NOT_FOUND", "device_actor"]

WAIT_SECONDS = 60  # while the organization is suspended
NOT_FOUND = Outcome.NOT_FOUND.value


def authenticate(
    organization_id: UUID, presented: list[PeerCertificate]
) -> list[DeviceIdentity | FleetdError]:
    """The devices that certificates name, or why one is refused."""
    if not is_active(organization_id):
        return [OrganizationWaits(retry_after_seconds=WAIT_SECONDS) for _ in presented]
    pairs = [(certificate.spiffe_id, certificate.serial) for certificate in presented]
    return certificates.authenticate_devices(organization_id, pairs)


def is_waiting(organization_id: UUID) -> bool:
    """Whether devices have to wait, because their organization is suspended or being deleted."""
    return not is_active(organization_id)


def refused_serials(organization_id: UUID, serials: list[str]) -> set[str]:
    """Which of these certificates may not be used any more."""
    return list_refused_serials(organization_id, serials)


def open_sessions(organization_id: UUID, openings: list[Opening]) -> list[bool]:
    """Notes new streams; False for a device that has a newer one already."""
    newest = live.open_sessions(organization_id, openings)
    return [opening.session_id in newest for opening in openings]


def close_sessions(organization_id: UUID, closings: list[Closing]) -> list[None]:
    """Notes streams that have ended."""
    live.close_sessions(organization_id, closings)
    return [None] * len(closings)


def flush_beats(organization_id: UUID, beats: list[Beat]) -> None:
    """Stores the newest state of many devices."""
    live.flush_beats(organization_id, beats)


def store(
    organization_id: UUID, messages: list[Report | tuple[UUID, Facts]]
) -> Sequence[ReportResult | None]:
    """Stores reports and inventories; answers the results of the reports."""
    actor = _platform(organization_id)
    # Inventories first, by device: whoever locks more than one row does it in one order
    # (devices, then deployments and phases), or two batches would wait for each other.
    inventories = [m for m in messages if not isinstance(m, Report)]
    for device_id, facts in sorted(inventories, key=lambda inventory: inventory[0]):
        record_inventory(actor, device_id, facts)
    reports = [m for m in messages if isinstance(m, Report)]
    results = iter(offers.apply_reports(actor, reports) if reports else [])
    return [next(results) if isinstance(m, Report) else None for m in messages]


def claim(organization_id: UUID, device_ids: list[UUID]) -> list[Offer]:
    """Work for these devices, as far as there is any."""
    actor = _platform(organization_id)
    return offers.claim_deployments(actor, device_ids, limit=len(device_ids))


def active_offers(organization_id: UUID, device_ids: list[UUID]) -> list[Offer]:
    """The deployments that these devices are at, with fresh links."""
    return offers.offers_for_devices(_platform(organization_id), device_ids)


def withdrawn(organization_id: UUID, deployment_ids: list[UUID]) -> list[Withdrawal]:
    """Which of these deployments the platform is through with."""
    return list_withdrawn(_platform(organization_id), deployment_ids)


def renew(actor: Actor, csr_pem: str) -> IssuedCertificate:
    """A new certificate for the device that asks."""
    return certificates.renew_certificate(actor, csr_pem)


def digest(message: Message) -> bytes:
    """Equal for equal messages, whatever the order of their maps."""
    return hashlib.sha256(message.SerializeToString(deterministic=True)).digest()


def _platform(organization_id: UUID) -> Actor:
    return system_actor(organization_id, source=Source.AGENT)
