"""What the gateway asks of the platform. Runs in threads, inside the organization's transaction.

The gateway gets these functions as one object, so that it can be driven without a database.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from google.protobuf.message import Message

from apps.agents.identity import PeerCertificate
from apps.core.actors import Actor, ActorKind, Call, Source, system_actor
from apps.devices.permissions import REPORT_STATE
from apps.devices.services import live
from apps.devices.services.devices import record_inventory
from apps.devices.types import Beat, Facts, Opening
from apps.enrollment.services import certificates
from apps.enrollment.types import DeviceIdentity, IssuedCertificate
from apps.updates.services import offers
from apps.updates.types import Offer, Report, ReportResult

REPORT_ACTION = "updates.report_deployment"
NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True)
class Closing:
    """A stream that has ended."""

    device_id: UUID
    session_id: UUID
    reason: str
    is_graceful: bool


def authenticate(certificate: PeerCertificate) -> DeviceIdentity:
    """The device that a certificate names. Opens the organization itself."""
    return certificates.authenticate_device(certificate.spiffe_id, certificate.serial)


def refused_serials(organization_id: UUID, serials: list[str]) -> set[str]:
    """Which of these certificates may not be used any more."""
    return certificates.list_refused_serials(organization_id, serials)


def open_sessions(organization_id: UUID, openings: list[Opening]) -> list[bool]:
    """Notes new streams; False for a device that has a newer one already."""
    newest = live.open_sessions(organization_id, openings)
    return [opening.device_id in newest for opening in openings]


def close_sessions(organization_id: UUID, closings: list[Closing]) -> list[None]:
    """Notes streams that have ended."""
    actor = _platform(organization_id)
    for closing in sorted(closings, key=lambda c: c.device_id):
        live.close_session(
            actor,
            closing.device_id,
            closing.session_id,
            reason=closing.reason,
            is_graceful=closing.is_graceful,
        )
    return [None] * len(closings)


def flush_beats(organization_id: UUID, beats: list[Beat]) -> None:
    """Stores the newest state of many devices."""
    live.flush_beats(organization_id, beats)


def store(
    organization_id: UUID, messages: list[Report | tuple[UUID, Facts]]
) -> Sequence[ReportResult | None]:
    """Stores reports and inventories; answers the results of the reports."""
    actor = _platform(organization_id)
    reports = [m for m in messages if isinstance(m, Report)]
    results = iter(offers.apply_reports(actor, reports) if reports else [])
    answers: list[ReportResult | None] = []
    for message in messages:
        if isinstance(message, Report):
            answers.append(next(results))
        else:
            record_inventory(actor, *message)
            answers.append(None)
    return answers


def claim(organization_id: UUID, device_ids: list[UUID]) -> list[Offer]:
    """Work for these devices, as far as there is any."""
    actor = _platform(organization_id)
    return offers.claim_deployments(actor, device_ids, limit=len(device_ids))


def active_offer(organization_id: UUID, device_id: UUID) -> Offer | None:
    """The deployment that a device is at, to be offered again."""
    return offers.offer_for_device(_platform(organization_id), device_id)


def renew(actor: Actor, csr_pem: str) -> IssuedCertificate:
    """A new certificate for the device that asks."""
    return certificates.renew_certificate(actor, csr_pem)


def device_actor(organization_id: UUID, device_id: UUID, call: Call) -> Actor:
    """A device as the actor of what it asks for itself."""
    return Actor(
        kind=ActorKind.DEVICE,
        organization_id=organization_id,
        label=f"device {device_id}",
        call=call,
        id=device_id,
        permissions=frozenset({REPORT_STATE.name}),
    )


def digest(message: Message) -> bytes:
    """Equal for equal messages, whatever the order of their maps."""
    return hashlib.sha256(message.SerializeToString(deterministic=True)).digest()


def _platform(organization_id: UUID) -> Actor:
    return system_actor(organization_id, source=Source.AGENT)
