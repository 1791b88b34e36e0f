"""Reading tokens, enrollments and certificates."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q, QuerySet

from apps.core import clock
from apps.core.actors import Actor, ActorKind, Call
from apps.core.authz import Permission, require_somewhere
from apps.core.errors import NotFound
from apps.core.pagination import Page, PageRequest, paginate
from apps.core.tenancy import credential
from apps.devices.domain.states import Lifecycle
from apps.devices.models import Device
from apps.devices.permissions import REPORT_STATE
from apps.devices.selectors.places import group_ids_in_reach, within
from apps.enrollment.models import Certificate, Enrollment, EnrollmentToken
from apps.enrollment.permissions import (
    RENEW_CERTIFICATE,
    REVOKE_ENROLLMENT_TOKEN,
    VIEW_ENROLLMENT_TOKENS,
)

DEVICE_RIGHTS = frozenset({REPORT_STATE.name, RENEW_CERTIFICATE.name})
SHOWN_ENROLLMENTS = 20
DECIDING_FIELDS = (
    *("organization_id", "device_id", "serial", "not_after", "revoked_at", "used_at"),
    "device__lifecycle",
)


@dataclass(frozen=True, slots=True)
class EnrollmentProgress:
    """How far a token has come: what the panel that waits for the first device shows.

    `enrollments` are the newest attempts, newest first; those that were refused have no device.
    `devices` are theirs, with state, in the same order.
    """

    token: EnrollmentToken
    is_usable: bool
    installer_fetched_at: datetime | None
    installer_address: str
    enrollments: list[Enrollment]
    devices: list[Device]

    @property
    def refusal(self) -> Enrollment | None:
        """The newest attempt, where it was refused."""
        newest = self.enrollments[0] if self.enrollments else None
        return newest if newest is not None and newest.device_id is None else None


def tokens_within(
    actor: Actor, permission: Permission, rows: QuerySet[EnrollmentToken]
) -> QuerySet[EnrollmentToken]:
    """Those of these tokens that the actor's right reaches.

    A token stands in the groups that it leads into: all of them have to be within reach, and one
    that leads into none is the organization's.
    """
    group_ids = group_ids_in_reach(actor, permission)
    if group_ids is None:
        return rows
    return rows.filter(group_ids__contained_by=group_ids).exclude(group_ids=[])


def list_enrollment_tokens(actor: Actor, page: PageRequest) -> Page[EnrollmentToken]:
    """The tokens that the actor may see, newest first."""
    require_somewhere(actor, VIEW_ENROLLMENT_TOKENS)
    return paginate(_tokens(actor), page, order_by=["-id"])


def get_enrollment_token(actor: Actor, token_id: UUID) -> EnrollmentToken:
    """One token."""
    require_somewhere(actor, VIEW_ENROLLMENT_TOKENS)
    found: EnrollmentToken | None = _tokens(actor).filter(id=token_id).first()
    if found is None:
        raise NotFound("There is no such enrollment token.")
    return found


def revocable_ids(actor: Actor, tokens: Collection[EnrollmentToken]) -> set[UUID]:
    """Those of these tokens that the actor may revoke."""
    if not actor.may_somewhere(REVOKE_ENROLLMENT_TOKEN.name):
        return set()
    ids = [token.id for token in tokens]
    rows = EnrollmentToken.objects.for_org(actor.organization_id).filter(id__in=ids)
    return set(
        tokens_within(actor, REVOKE_ENROLLMENT_TOKEN, rows).values_list("id", flat=True)
        if actor.grants
        else ids
    )


def enrollments_within(
    actor: Actor, permission: Permission, rows: QuerySet[Enrollment]
) -> QuerySet[Enrollment]:
    """Those of these attempts whose token, and whose device if any, the right reaches."""
    group_ids = group_ids_in_reach(actor, permission)
    if group_ids is None:
        return rows
    of_tokens = rows.filter(token__group_ids__contained_by=group_ids)
    devices = Device.objects.for_org(actor.organization_id)
    seen = within(actor, permission, devices).values("id")
    return of_tokens.exclude(token__group_ids=[]).filter(Q(device=None) | Q(device_id__in=seen))


def list_enrollments(actor: Actor, token_id: UUID, page: PageRequest) -> Page[Enrollment]:
    """The attempts to enroll with a token, newest first, with their devices."""
    token = get_enrollment_token(actor, token_id)
    rows = Enrollment.objects.for_org(actor.organization_id).filter(token_id=token.id)
    rows = enrollments_within(actor, VIEW_ENROLLMENT_TOKENS, rows)
    return paginate(rows.select_related("device"), page, order_by=["-id"])


def get_enrollment_progress(actor: Actor, token_id: UUID) -> EnrollmentProgress:
    """What has happened with a token so far, for whoever waits for a device."""
    token = get_enrollment_token(actor, token_id)
    rows = Enrollment.objects.for_org(actor.organization_id).filter(token_id=token.id)
    rows = enrollments_within(actor, VIEW_ENROLLMENT_TOKENS, rows)
    newest = list(
        rows.select_related("device__state").order_by("-updated_at", "-id")[:SHOWN_ENROLLMENTS]
    )
    return EnrollmentProgress(
        token=token,
        is_usable=is_usable(token, clock.now()),
        installer_fetched_at=token.installer_fetched_at,
        installer_address=token.installer_address,
        enrollments=newest,
        devices=[e.device for e in newest if e.device is not None],
    )


def is_usable(token: EnrollmentToken, now: datetime) -> bool:
    """Whether another device can enroll with the token."""
    return token.revoked_at is None and token.expires_at > now and token.uses_left > 0


def find_enrollment_token(secret_hash: str) -> EnrollmentToken | None:
    """The token whose secret has this hash, of any organization, usable or not."""
    with credential(secret_hash):
        # Unscoped: the organization is what is being looked up; row security lets one row through.
        rows = EnrollmentToken.unscoped.filter(secret_hash=secret_hash)
        found: EnrollmentToken | None = rows.first()
    return found


def find_token_organization(token_id: UUID) -> UUID | None:
    """Whose token this is, for the installer, which knows the token's id only."""
    with credential(str(token_id)):
        # Unscoped: the organization is what is being looked up; row security lets one row through.
        rows = EnrollmentToken.unscoped.filter(id=token_id)
        found: UUID | None = rows.values_list("organization_id", flat=True).first()
    return found


def live_at(now: datetime) -> Q:
    """Certificates that may be used at `now`."""
    return Q(not_after__gt=now) & (Q(revoked_at=None) | Q(revoked_at__gt=now))


def list_certificates_by_serial(
    organization_id: UUID, serials: Collection[str]
) -> list[Certificate]:
    """What decides whether these certificates may be used, with their devices' lifecycle."""
    rows = Certificate.objects.for_org(organization_id).filter(serial__in=serials)
    return list(rows.select_related("device").only(*DECIDING_FIELDS))


def find_live_certificate(
    organization_id: UUID, device_id: UUID, public_key_hash: str
) -> Certificate | None:
    """The newest usable certificate of a device for this key."""
    rows = Certificate.objects.for_org(organization_id).filter(
        live_at(clock.now()), device_id=device_id, public_key_hash=public_key_hash, revoked_at=None
    )
    found: Certificate | None = rows.order_by("-id").first()
    return found


def list_certificates(actor: Actor, device_id: UUID) -> list[Certificate]:
    """A device's certificates, newest first: they stand where the device stands."""
    require_somewhere(actor, VIEW_ENROLLMENT_TOKENS)
    rows = Certificate.objects.for_org(actor.organization_id).filter(device_id=device_id)
    rows = within(actor, VIEW_ENROLLMENT_TOKENS, rows, via="device")
    return list(rows.order_by("-id")[:SHOWN_ENROLLMENTS])


def list_refused_serials(organization_id: UUID, serials: Collection[str]) -> set[str]:
    """Which of these certificates may not be used any more: for gateways, about open streams."""
    rows = Certificate.objects.for_org(organization_id).filter(
        live_at(clock.now()), serial__in=serials
    )
    alive = rows.exclude(device__lifecycle=Lifecycle.DECOMMISSIONED)
    return set(serials) - set(alive.values_list("serial", flat=True))


def _tokens(actor: Actor) -> QuerySet[EnrollmentToken]:
    rows = EnrollmentToken.objects.for_org(actor.organization_id)
    return tokens_within(actor, VIEW_ENROLLMENT_TOKENS, rows)


def device_actor(organization_id: UUID, device_id: UUID, call: Call) -> Actor:
    """A device as a caller: it may report for itself and renew its certificate."""
    return Actor(
        kind=ActorKind.DEVICE,
        organization_id=organization_id,
        label=f"device {device_id}",
        call=call,
        id=device_id,
        permissions=DEVICE_RIGHTS,
    )
