"""A device joins: its token is the credential, its key makes repeating the call harmless."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.cache import cache
from django.db import connection
from django.db.models import F
from redis.exceptions import RedisError

from apps.accounts.domain import secrets
from apps.core import clock
from apps.core.actors import Actor, ActorKind, Call
from apps.core.errors import FleetdError, TooMany
from apps.core.tasks import is_active
from apps.core.tenancy import tenant
from apps.devices.domain.facts import clean_text
from apps.devices.domain.states import Lifecycle
from apps.devices.errors import DeviceIsDecommissioned, HardwareIdInUse
from apps.devices.models import Device
from apps.devices.services.devices import register_device
from apps.devices.types import NewDevice
from apps.enrollment.domain import ca
from apps.enrollment.errors import (
    EnrollmentTokenExpired,
    EnrollmentTokenInvalid,
    EnrollmentTokenRevoked,
    EnrollmentTokenUsedUp,
)
from apps.enrollment.models import Certificate, Enrollment, EnrollmentToken
from apps.enrollment.selectors import find_enrollment_token, find_live_certificate
from apps.enrollment.services.authority import load_authority
from apps.enrollment.services.certificates import issue_certificate
from apps.enrollment.types import EnrollmentAnswered, EnrollmentRequest, EnrollmentResult
from apps.events.services.outbox import publish
from apps.organizations.errors import OrganizationWaits

log = structlog.get_logger(__name__)

ACCEPTED, PENDING = "accepted", "pending"
RETRY_AFTER_SECONDS = 10
WAIT_SECONDS = 60  # while the organization is suspended
MAX_FAILURES = 20
WINDOW = timedelta(minutes=1)
# Whoever keeps the secret of a token, even of one that has ended, must not fill the database.
KEPT_REFUSALS = 100
REFUSAL_NOTED_EVERY = timedelta(seconds=5)
SAME_HARDWARE = "another device has this hardware identity"
_ROOTS: list[Callable[[UUID], str]] = []


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of a device that holds the secret of a token."""

    actor: Actor
    token: EnrollmentToken
    request: EnrollmentRequest
    hardware_id: str
    public_key: ec.EllipticCurvePublicKey
    key_hash: str


def enroll_device(call: Call, request: EnrollmentRequest) -> EnrollmentResult:
    """Exchanges a token and a signing request for a device and its certificate.

    The same key again answers the same device and certificate, and uses up nothing; a key that is
    new comes with its own device. A machine that is enrolled already, asking with another key,
    always waits for approval. Refusals are kept with the token, for whoever waits for the device;
    who does not hold a token's secret learns nothing.

    Raises `OrganizationWaits` while the organization is suspended, the errors of tokens,
    `CsrInvalid`, `CsrKeyUnsupported`, `DeviceIsDecommissioned`, `QuotaExceeded`, and `TooMany` for
    an address that keeps guessing.
    """
    token = _token(call, request.token)
    actor = Actor(
        kind=ActorKind.SYSTEM,
        organization_id=token.organization_id,
        label=f"enrollment token {token.name}",
        call=call,
        id=token.id,
    )
    try:
        with tenant(token.organization_id):
            if not is_active(token.organization_id):
                raise OrganizationWaits(retry_after_seconds=WAIT_SECONDS)
            return _enroll(actor, token, request)
    except FleetdError as error:
        with tenant(token.organization_id):
            _keep_refusal(actor, token, request, error)
        raise


def _token(call: Call, secret: str) -> EnrollmentToken:
    address = call.address or "unknown"
    if _failures(address) >= MAX_FAILURES:
        raise TooMany(
            "Too many invalid enrollment tokens from this address.",
            retry_after_seconds=int(WINDOW.total_seconds()),
        )
    found = None
    if secrets.is_well_formed(secret, secrets.ENROLLMENT_TOKEN):
        found = find_enrollment_token(secrets.secret_hash(secret))
    if found is None:
        _count_failure(address)
        raise EnrollmentTokenInvalid
    return found


def _enroll(actor: Actor, token: EnrollmentToken, request: EnrollmentRequest) -> EnrollmentResult:
    public_key = ca.requested_key(request.csr_pem)
    key_hash = ca.public_key_hash(public_key)
    hardware_id = clean_text(request.hardware_id, 200)
    attempt = Attempt(actor, token, request, hardware_id, public_key, key_hash)
    _take_turns(key_hash)
    rows = Enrollment.objects.for_org(actor.organization_id).select_related("device")
    known = rows.filter(public_key_hash=key_hash).exclude(device=None).first()
    if known is not None:
        return _again(attempt, known)
    return _first_time(attempt)


def _first_time(attempt: Attempt) -> EnrollmentResult:
    """Uses the token once and makes the device."""
    _take_use(attempt)
    device = _register(attempt)
    is_pending = device.lifecycle == Lifecycle.PENDING
    certificate = None if is_pending else _issue(attempt, device)
    _keep(attempt, device, PENDING if is_pending else ACCEPTED)
    return _result(device, certificate)


def _again(attempt: Attempt, known: Enrollment) -> EnrollmentResult:
    """The key is known: the same device, whatever became of the token since.

    A certificate is worth nothing without its key, so telling it again gives nothing away. One
    that has ended, or was revoked, is replaced for a token that can still be used.
    """
    device = known.device
    if device is None or device.lifecycle == Lifecycle.DECOMMISSIONED:
        raise DeviceIsDecommissioned
    if device.lifecycle == Lifecycle.PENDING:
        return _result(device, None)
    present = find_live_certificate(device.organization_id, device.id, attempt.key_hash)
    if present is None:
        issued = Certificate.objects.for_org(device.organization_id).filter(device_id=device.id)
        if issued.filter(public_key_hash=attempt.key_hash).exists():
            _take_use(attempt)
        present = _issue(attempt, device)
        _accept(attempt, known)
    return _result(device, present)


def _take_turns(key_hash: str) -> None:
    """One call per key at a time: a repeated call waits for the first and finds its device."""
    number = int(key_hash[:16], 16) - 2**63
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [number])


def _take_use(attempt: Attempt) -> None:
    """Uses the token once, if it can still be used at this moment."""
    rows = EnrollmentToken.objects.for_org(attempt.actor.organization_id)
    row = rows.filter(id=attempt.token.id)
    usable = row.filter(uses_left__gt=0, revoked_at=None, expires_at__gt=clock.now())
    if usable.update(uses_left=F("uses_left") - 1):
        return
    token = row.get()
    if token.revoked_at is not None:
        raise EnrollmentTokenRevoked
    if token.expires_at <= clock.now():
        raise EnrollmentTokenExpired
    raise EnrollmentTokenUsedUp


def _register(attempt: Attempt) -> Device:
    """The device, waiting for approval where the token or its machine's past asks for it."""
    devices = Device.objects.for_org(attempt.actor.organization_id)
    is_known = (
        devices.filter(hardware_id=attempt.hardware_id)
        .exclude(lifecycle=Lifecycle.DECOMMISSIONED)
        .exists()
    )
    if is_known:
        return register_device(attempt.actor, _new(attempt, is_pending=True, reason=SAME_HARDWARE))
    try:
        new = _new(attempt, is_pending=attempt.token.requires_approval)
        return register_device(attempt.actor, new)
    except HardwareIdInUse:  # it enrolled with another key at this very moment
        return register_device(attempt.actor, _new(attempt, is_pending=True, reason=SAME_HARDWARE))


def _new(attempt: Attempt, *, is_pending: bool, reason: str = "") -> NewDevice:
    return NewDevice(
        hardware_id=attempt.hardware_id,
        facts=attempt.request.facts,
        agent_version=attempt.request.agent_version,
        tags=tuple(attempt.token.tags),
        group_ids=tuple(attempt.token.group_ids),
        is_pending=is_pending,
        reason=reason,
    )


def _issue(attempt: Attempt, device: Device) -> Certificate:
    return issue_certificate(attempt.actor, device, attempt.public_key)


def _keep(attempt: Attempt, device: Device, outcome: str) -> None:
    enrollment = _row(attempt.actor, attempt.token, attempt.request)
    enrollment.device, enrollment.outcome = device, outcome
    enrollment.public_key_hash = attempt.key_hash
    enrollment.save(force_insert=True)
    _tell(attempt.actor, enrollment)


def _accept(attempt: Attempt, known: Enrollment) -> None:
    known.outcome, known.updated_at = ACCEPTED, clock.now()
    known.save(update_fields=["outcome", "updated_at"])
    _tell(attempt.actor, known)


def _keep_refusal(
    actor: Actor, token: EnrollmentToken, request: EnrollmentRequest, error: FleetdError
) -> None:
    """Keeps one row per token, machine and reason, however often the machine tries.

    A token keeps a bounded number of them, and hears of each every few seconds at most.
    """
    row = _row(actor, token, request)
    row.outcome = error.code
    refusals = Enrollment.objects.for_org(actor.organization_id).filter(
        token_id=token.id, device=None
    )
    same = refusals.filter(outcome=row.outcome, hardware_id=row.hardware_id)
    known = same.first()
    if known is not None:
        due = same.filter(updated_at__lte=row.updated_at - REFUSAL_NOTED_EVERY)
        if due.update(updated_at=row.updated_at, address=row.address):
            _tell(actor, known)
    elif refusals.count() < KEPT_REFUSALS:
        row.save(force_insert=True)
        _tell(actor, row)


def _row(actor: Actor, token: EnrollmentToken, request: EnrollmentRequest) -> Enrollment:
    at = clock.now()
    return Enrollment(
        organization_id=actor.organization_id,
        token=token,
        hardware_id=clean_text(request.hardware_id, 200),
        hostname=clean_text(request.facts.hostname, 253),
        address=(actor.call.address or "")[:45],
        created_at=at,
        updated_at=at,
    )


def _tell(actor: Actor, enrollment: Enrollment) -> None:
    publish(
        actor,
        EnrollmentAnswered(
            token_id=enrollment.token_id,
            enrollment_id=enrollment.id,
            outcome=enrollment.outcome,
        ),
    )


def _result(device: Device, certificate: Certificate | None) -> EnrollmentResult:
    return EnrollmentResult(
        device_id=device.id,
        organization_id=device.organization_id,
        root_pem=ca.pem(load_authority().root),
        chain_pem=certificate.chain_pem if certificate else "",
        retry_after_seconds=0 if certificate else RETRY_AFTER_SECONDS,
        trusted_root=_trusted_root(device.organization_id) if certificate else "",
    )


def register_trusted_root(find: Callable[[UUID], str]) -> None:
    """Says where the root comes from that a device trusts: `find(organization_id)`, in the
    organization; empty for none. For `ready()` of the app that holds it."""
    _ROOTS.append(find)


def _trusted_root(organization_id: UUID) -> str:
    """The TUF root that a device which joins now is told to trust."""
    return next((root for find in _ROOTS if (root := find(organization_id))), "")


def _failures(address: str) -> int:
    try:
        return int(cache.get(_counter(address)) or 0)
    except (RedisError, OSError, ValueError):
        return 0


def _count_failure(address: str) -> None:
    """Without Valkey nothing is counted: tokens hold 190 random bits, the limit saves work."""
    try:
        cache.add(_counter(address), 0, timeout=int(WINDOW.total_seconds()))
        cache.incr(_counter(address))
    except (RedisError, OSError, ValueError) as error:
        log.warning("failure_not_counted", error=str(error))


def _counter(address: str) -> str:
    return f"bad-enrollment-token:{address}"
