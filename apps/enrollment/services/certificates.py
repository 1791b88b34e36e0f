"""Issuing, renewing, checking and revoking device certificates."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings

from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor, ActorKind
from apps.core.authz import require
from apps.core.errors import FleetdError, NotFound, PermissionDenied
from apps.core.realtime import notify_gateways
from apps.core.tenancy import tenant
from apps.devices.domain.states import ENROLLED, Lifecycle
from apps.devices.errors import DeviceIsDecommissioned, DeviceNotActive
from apps.devices.models import Device
from apps.devices.permissions import VIEW_DEVICES
from apps.devices.selectors import find_device
from apps.devices.selectors.places import require_either, require_on_devices
from apps.enrollment.domain import ca
from apps.enrollment.errors import (
    CertificateExpired,
    CertificateRevoked,
    CertificateUnknown,
)
from apps.enrollment.models import Certificate
from apps.enrollment.permissions import (
    ISSUE_CERTIFICATE,
    RENEW_CERTIFICATE,
    REVOKE_CERTIFICATES,
)
from apps.enrollment.selectors import find_live_certificate, list_certificates_by_serial
from apps.enrollment.services.authority import load_authority
from apps.enrollment.types import DeviceIdentity, IssuedCertificate

# How long the old certificate still works once the new one has been used.
OVERLAP = timedelta(minutes=1)
SUPERSEDED = "superseded"


def issue_certificate(
    actor: Actor, device: Device, public_key: ec.EllipticCurvePublicKey
) -> Certificate:
    """Signs a certificate for a device that has been let in. Not idempotent.

    It names the device and nothing else, and is good for client authentication only.
    """
    require(actor, ISSUE_CERTIFICATE)
    if device.lifecycle not in ENROLLED:
        raise DeviceNotActive
    return _sign(device, public_key)


def renew_certificate(actor: Actor, csr_pem: str) -> IssuedCertificate:
    """A new certificate for the device that asks, over the connection that the old one secures.

    The old one works until it ends, or until a minute after the new one is first used. Asking again
    with the same key answers the same certificate while more than half of its life is left. Raises
    `CsrInvalid`, `CsrKeyUnsupported`, `DeviceIsDecommissioned`.
    """
    require(actor, RENEW_CERTIFICATE)
    if actor.kind is not ActorKind.DEVICE or actor.id is None:
        raise PermissionDenied("Only a device can renew its certificate.")
    device = _locked(actor, actor.id)
    _require_enrolled(device)
    public_key = ca.requested_key(csr_pem)
    present = find_live_certificate(
        device.organization_id, device.id, ca.public_key_hash(public_key)
    )
    if present is None or _is_half_spent(present):
        present = _sign(device, public_key)
        changes = {"serial": present.serial, "not_after": present.not_after}
        record(actor, RENEW_CERTIFICATE.name, device, changes=changes)
    return IssuedCertificate(present.chain_pem, ca.pem(load_authority().root), present.not_after)


def revoke_certificates(actor: Actor, device_id: UUID, *, reason: str) -> int:
    """Revokes all of a device's certificates and closes its stream; returns how many there were.

    The device can come back with an enrollment token only. Repeating it changes nothing.
    """
    require_either(actor, REVOKE_CERTIFICATES, VIEW_DEVICES)
    device = _locked(actor, device_id)
    require_on_devices(actor, REVOKE_CERTIFICATES, [device_id])
    at = clock.now()
    rows = Certificate.objects.for_org(actor.organization_id).filter(
        device_id=device_id, not_after__gt=at
    )
    live = rows.filter(revoked_at=None) | rows.filter(revoked_at__gt=at)
    count: int = live.update(revoked_at=at, revocation_reason=reason.strip()[:50])
    if count:
        record(actor, REVOKE_CERTIFICATES.name, device, changes={"count": count, "reason": reason})
        notify_gateways("revoked", device_id=device_id, organization_id=actor.organization_id)
    return count


def authenticate_device(spiffe_id: str, serial: str) -> DeviceIdentity:
    """The device that a proven certificate stands for. The first use ends older certificates.

    Opens the organization that the certificate names; nothing else about it is believed but what
    is stored. Raises `CertificateUnknown`, `CertificateRevoked`, `CertificateExpired`,
    `DeviceIsDecommissioned`, `DeviceNotActive`.
    """
    identity = ca.Identity.parse(spiffe_id)
    if identity is None:
        raise CertificateUnknown
    with tenant(identity.organization_id):
        [answer] = authenticate_devices(identity.organization_id, [(spiffe_id, serial)])
    if isinstance(answer, FleetdError):
        raise answer
    return answer


def authenticate_devices(
    organization_id: UUID, presented: Sequence[tuple[str, str]]
) -> list[DeviceIdentity | FleetdError]:
    """As `authenticate_device`, for many certificates (SPIFFE id, serial) of one organization.

    One query, for gateways on which thousands connect at once. Each answer stands at the place of
    its question; a refusal is an answer. Call it in `tenant()`.
    """
    rows = list_certificates_by_serial(organization_id, {serial for _, serial in presented})
    issued = {row.serial: row for row in rows}
    return [_answer(spiffe_id, issued.get(serial)) for spiffe_id, serial in presented]


def _answer(spiffe_id: str, certificate: Certificate | None) -> DeviceIdentity | FleetdError:
    if certificate is None or spiffe_id != str(_name_of(certificate)):
        return CertificateUnknown()
    try:
        return _identity(certificate, clock.now())
    except FleetdError as refusal:
        return refusal


def _name_of(issued: Certificate) -> ca.Identity:
    installation_id = load_authority().installation_id
    return ca.Identity(installation_id, issued.organization_id, issued.device_id)


def _identity(certificate: Certificate, now: datetime) -> DeviceIdentity:
    _require_enrolled(certificate.device)
    _require_live(certificate, now)
    if certificate.used_at is None:
        _note_first_use(certificate)
    return DeviceIdentity(
        device_id=certificate.device_id,
        organization_id=certificate.organization_id,
        lifecycle=certificate.device.lifecycle,
        serial=certificate.serial,
        not_after=certificate.not_after,
    )


def _sign(device: Device, public_key: ec.EllipticCurvePublicKey) -> Certificate:
    authority = load_authority()
    identity = ca.Identity(authority.installation_id, device.organization_id, device.id)
    life = timedelta(days=settings.DEVICE_CERTIFICATE_DAYS)
    leaf, chain = ca.sign_device(authority, public_key, identity, clock.now(), life)
    certificate = Certificate(
        organization_id=device.organization_id,
        device=device,
        serial=ca.serial_text(leaf),
        public_key_hash=ca.public_key_hash(public_key),
        chain_pem=chain,
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
    )
    certificate.save(force_insert=True)
    return certificate


def _note_first_use(certificate: Certificate) -> None:
    """Ends the certificates before this one, after an overlap for what is still under way."""
    at = clock.now()
    rows = Certificate.objects.for_org(certificate.organization_id)
    if rows.filter(id=certificate.id, used_at=None).update(used_at=at):
        older = rows.filter(device_id=certificate.device_id, id__lt=certificate.id)
        older.filter(revoked_at=None, not_after__gt=at).update(
            revoked_at=at + OVERLAP, revocation_reason=SUPERSEDED
        )


def _locked(actor: Actor, device_id: UUID) -> Device:
    """The device, its certificates guarded against changes at the same time."""
    device = find_device(actor.organization_id, device_id)
    if device is None:
        raise NotFound("There is no such device.")
    rows = Device.objects.for_org(actor.organization_id).select_for_update(no_key=True)
    locked: Device = rows.get(id=device.id)
    return locked


def _require_enrolled(device: Device) -> None:
    if device.lifecycle == Lifecycle.DECOMMISSIONED:
        raise DeviceIsDecommissioned
    if device.lifecycle not in ENROLLED:
        raise DeviceNotActive


def _require_live(certificate: Certificate, now: datetime) -> None:
    if certificate.revoked_at is not None and certificate.revoked_at <= now:
        raise CertificateRevoked
    if certificate.not_after <= now:
        raise CertificateExpired


def _is_half_spent(certificate: Certificate) -> bool:
    life = certificate.not_after - certificate.not_before
    return certificate.not_after - clock.now() < life / 2
