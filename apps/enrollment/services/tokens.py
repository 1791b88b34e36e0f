"""Making and revoking enrollment tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from apps.accounts.domain import secrets
from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor, Source, system_actor
from apps.core.authz import require, require_somewhere
from apps.core.errors import NotFound, invalid
from apps.core.tenancy import tenant
from apps.devices.domain import tags as tag_rules
from apps.devices.errors import DeviceGroupFollowsFilter
from apps.devices.models import DeviceGroup
from apps.devices.permissions import ADD_DEVICES_TO_GROUP, VIEW_DEVICE_GROUPS
from apps.devices.selectors.places import (
    list_tag_groups,
    place_of_group,
    reaches_groups,
    require_either,
    require_where,
)
from apps.enrollment.models import EnrollmentToken
from apps.enrollment.permissions import (
    CREATE_ENROLLMENT_TOKEN,
    REVOKE_ENROLLMENT_TOKEN,
    VIEW_ENROLLMENT_TOKENS,
)
from apps.enrollment.selectors import find_token_organization
from apps.enrollment.types import (
    EnrollmentTokenCreated,
    EnrollmentTokenRevoked,
    InstallerFetched,
)
from apps.events.services.outbox import publish

DEFAULT_LIFETIME = timedelta(hours=24)
MAX_LIFETIME = timedelta(days=366)
MAX_USES = 1_000_000
MAX_NAME_LENGTH = 100
MISSING = "There is no such enrollment token."
FETCH_NOTED_EVERY = timedelta(seconds=5)  # anybody may fetch, and each note is an event


@dataclass(frozen=True, slots=True)
class NewEnrollmentToken:
    """A token just made, with its secret, which is nowhere else."""

    token: EnrollmentToken
    secret: str


def create_enrollment_token(
    actor: Actor,
    *,
    name: str,
    max_uses: int = 1,
    lifetime: timedelta = DEFAULT_LIFETIME,
    requires_approval: bool = False,
    tags: Sequence[str] = (),
    group_ids: Sequence[UUID] = (),
) -> NewEnrollmentToken:
    """Makes a token with which `max_uses` devices can join, into these groups, with these tags.

    Whoever may make tokens in some groups only has to name one of these at least; and a tag that a
    group follows leads into that group. Not idempotent: each call makes another token. The secret
    is in the answer and never again. Raises `InvalidRequest`, `NotFound` for a group that is
    missing or out of sight, and `DeviceGroupFollowsFilter` for a smart one.
    """
    require_somewhere(actor, CREATE_ENROLLMENT_TOKEN)
    _check(name, max_uses, lifetime)
    tags = tag_rules.checked(tags, field="tags")
    _require_groups(actor, group_ids, tags)
    secret = secrets.new_secret(secrets.ENROLLMENT_TOKEN)
    at = clock.now()
    token = EnrollmentToken(
        organization_id=actor.organization_id,
        name=name.strip(),
        prefix=secrets.shown_prefix(secret),
        secret_hash=secrets.secret_hash(secret),
        max_uses=max_uses,
        uses_left=max_uses,
        requires_approval=requires_approval,
        tags=tags,
        group_ids=sorted(set(group_ids)),
        created_at=at,
        expires_at=at + lifetime,
    )
    token.save(force_insert=True)
    changes = {
        "name": token.name,
        "max_uses": max_uses,
        "expires_at": token.expires_at,
        "requires_approval": requires_approval,
    }
    record(actor, CREATE_ENROLLMENT_TOKEN.name, token, changes=changes)
    publish(actor, EnrollmentTokenCreated(token_id=token.id))
    return NewEnrollmentToken(token, secret)


def revoke_enrollment_token(actor: Actor, token_id: UUID) -> EnrollmentToken:
    """Ends a token at once. Devices that joined with it stay. Repeating it changes nothing."""
    require_either(actor, REVOKE_ENROLLMENT_TOKEN, VIEW_ENROLLMENT_TOKENS)
    rows = EnrollmentToken.objects.for_org(actor.organization_id).select_for_update(no_key=True)
    token: EnrollmentToken | None = rows.filter(id=token_id).first()
    if token is None:
        raise NotFound(MISSING)
    group_ids = token.group_ids
    require_where(
        actor,
        REVOKE_ENROLLMENT_TOKEN,
        sight=VIEW_ENROLLMENT_TOKENS,
        holds=lambda right: reaches_groups(actor, right, group_ids),
        missing=MISSING,
    )
    if token.revoked_at is None:
        token.revoked_at = clock.now()
        token.save(update_fields=["revoked_at"])
        record(actor, REVOKE_ENROLLMENT_TOKEN.name, token)
        publish(actor, EnrollmentTokenRevoked(token_id=token.id))
    return token


def note_installer_fetch(_actor: None, token_id: UUID, *, address: str | None) -> bool:
    """Remembers that somebody fetched the installer for this token, and from where.

    Whoever runs the shown command has no other credential yet. False for an unknown token
    and right after another fetch. Not audited: nothing is granted by it.
    """
    organization_id = find_token_organization(token_id)
    if organization_id is None:
        return False
    with tenant(organization_id):
        at = clock.now()
        rows = EnrollmentToken.objects.for_org(organization_id).filter(id=token_id, revoked_at=None)
        rows = rows.exclude(installer_fetched_at__gt=at - FETCH_NOTED_EVERY)
        noted: int = rows.update(installer_fetched_at=at, installer_address=(address or "")[:45])
        if noted:
            actor = system_actor(organization_id, source=Source.AGENT)
            publish(actor, InstallerFetched(token_id=token_id, address=address or ""))
    return bool(noted)


def _check(name: str, max_uses: int, lifetime: timedelta) -> None:
    name = name.strip()
    if not name or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise invalid("name", "invalid_name", "A name has 1 to 100 printable characters.")
    if not 1 <= max_uses <= MAX_USES:
        raise invalid("max_uses", "invalid_max_uses", "max_uses is a number from 1 to 1000000.")
    if not timedelta(0) < lifetime <= MAX_LIFETIME:
        raise invalid("lifetime", "invalid_lifetime", "A token lives at most 366 days.")


def _require_groups(actor: Actor, group_ids: Sequence[UUID], tags: Sequence[str]) -> None:
    """The rights to let devices into these groups, and into those that follow these tags."""
    every = DeviceGroup.objects.for_org(actor.organization_id).filter(id__in=group_ids)
    groups = [g for g in every if _is_in_sight(actor, g)]
    if len(groups) != len(set(group_ids)):
        raise NotFound("There is no such device group.")
    if not groups:
        require(actor, CREATE_ENROLLMENT_TOKEN)
    if any(group.is_smart for group in groups):
        raise DeviceGroupFollowsFilter
    for group in groups + list_tag_groups(actor.organization_id, tags):
        for permission in (CREATE_ENROLLMENT_TOKEN, ADD_DEVICES_TO_GROUP):
            require(actor, permission, place_of_group(group))


def _is_in_sight(actor: Actor, group: DeviceGroup) -> bool:
    place = place_of_group(group)
    seen_by = (CREATE_ENROLLMENT_TOKEN, VIEW_ENROLLMENT_TOKENS, VIEW_DEVICE_GROUPS)
    return any(actor.may(permission.name, place) for permission in seen_by)
