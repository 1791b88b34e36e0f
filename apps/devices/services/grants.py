"""Giving people rights on single objects, and taking them back."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.contrib.auth.models import Permission as PermissionRow
from django.contrib.contenttypes.models import ContentType

from apps.audit.services.entries import record
from apps.core.actors import Actor
from apps.core.authz import require, require_at_least
from apps.core.errors import invalid
from apps.devices.access import (
    GRANT_MODELS,
    OBJECT_MODELS,
    AccessGrant,
    GrantObject,
    find_grant_object,
    grantable_on,
    list_grants_of,
)
from apps.devices.errors import SmartGroupGivesNoRights
from apps.devices.models import DeviceGroup
from apps.devices.permissions import GRANT_ACCESS, REVOKE_ACCESS
from apps.devices.types import AccessGranted, AccessRevoked
from apps.events.services.outbox import publish
from apps.organizations.access import members_held
from apps.organizations.models import Membership
from apps.organizations.services.members import choose_role
from apps.teams.errors import NotAMember


def grant_access(
    actor: Actor,
    *,
    user_id: UUID,
    on: GrantObject,
    permissions: Collection[str] = (),
    role: str = "",
    custom_role_id: UUID | str | None = None,
) -> AccessGrant:
    """Gives a member rights on the organization, a team or a device group, beside their roles.

    A role stands for what it holds at this moment, as far as that means something there. What the
    member was given before stays. Idempotent. Raises `NotAMember`, `InvalidRequest`,
    `SmartGroupGivesNoRights`, and `RightsExceedOwn` for rights that the caller does not hold there.
    """
    place = find_grant_object(actor, on)
    require(actor, GRANT_ACCESS)
    if isinstance(place.row, DeviceGroup) and place.row.is_smart:
        raise SmartGroupGivesNoRights
    names = _named(actor, on.kind, permissions, role, custom_role_id)
    require_at_least(actor, names, place.place)
    member = _member(actor, user_id)
    given = sorted(names - _present(actor, on, user_id))
    if given:
        _store(actor, on, member, given)
        changes = {"member": member.user.email, "granted": given}
        record(actor, GRANT_ACCESS.name, place.row, changes=changes)
        publish(actor, AccessGranted(user_id=user_id, object_kind=on.kind, object_id=on.id))
    return _as_it_is(actor, on, member)


def revoke_access(
    actor: Actor, *, user_id: UUID, on: GrantObject, permissions: Collection[str] = ()
) -> None:
    """Takes rights on one object back from somebody: those named, or without names all of them.

    What they hold through roles and teams stays. Idempotent. Raises `RightsExceedOwn` for rights
    that the caller does not hold there.
    """
    place = find_grant_object(actor, on)
    require(actor, REVOKE_ACCESS)
    present = _present(actor, on, user_id)
    gone = sorted(present & frozenset(permissions) if permissions else present)
    if not gone:
        return
    require_at_least(actor, frozenset(gone) & grantable_on(on.kind), place.place)
    rows = GRANT_MODELS[on.kind].objects.for_org(actor.organization_id)
    found = rows.filter(user_id=user_id, content_object_id=on.id, permission__codename__in=gone)
    email = str(found.values_list("user__email", flat=True)[0])
    found.delete()
    record(actor, REVOKE_ACCESS.name, place.row, changes={"member": email, "revoked": gone})
    publish(actor, AccessRevoked(user_id=user_id, object_kind=on.kind, object_id=on.id))


def drop_all_grants(actor: Actor, user_id: UUID) -> None:
    """Ends what somebody who leaves the organization was given; part of that operation."""
    for grant in list_grants_of(actor.organization_id, user_id=user_id):
        on = GrantObject(grant.kind, grant.object_id)
        rows = GRANT_MODELS[grant.kind].objects.for_org(actor.organization_id)
        rows.filter(user_id=user_id, content_object_id=grant.object_id).delete()
        changes = {"member": grant.email, "revoked": list(grant.permissions)}
        record(actor, REVOKE_ACCESS.name, find_grant_object(actor, on).row, changes=changes)
        publish(
            actor,
            AccessRevoked(user_id=user_id, object_kind=grant.kind, object_id=grant.object_id),
        )


def _named(
    actor: Actor,
    kind: str,
    permissions: Collection[str],
    role: str,
    custom_role_id: UUID | str | None,
) -> frozenset[str]:
    """The permissions that a request means."""
    possible = grantable_on(kind)
    unknown = sorted(set(permissions) - possible)
    if unknown:
        text = f"{unknown[0][:100]!r} is no permission that can be given there."
        raise invalid("permissions", "unknown_permission", text)
    names = frozenset(permissions)
    if role:
        names |= choose_role(actor, role, custom_role_id).permissions & possible
    if not names:
        raise invalid("permissions", "required", "Name at least one permission, or a role.")
    return names


def _member(actor: Actor, user_id: UUID) -> Membership:
    found = members_held(actor, [user_id])
    if not found:
        raise NotAMember
    return found[0]


def _present(actor: Actor, on: GrantObject, user_id: UUID) -> frozenset[str]:
    rows = GRANT_MODELS[on.kind].objects.for_org(actor.organization_id)
    found = rows.filter(user_id=user_id, content_object_id=on.id)
    return frozenset(found.values_list("permission__codename", flat=True))


def _store(actor: Actor, on: GrantObject, member: Membership, names: list[str]) -> None:
    kind_row = ContentType.objects.get_for_model(OBJECT_MODELS[on.kind])
    rows = PermissionRow.objects.filter(content_type=kind_row, codename__in=names)
    model: Any = GRANT_MODELS[on.kind]
    model.objects.for_org(actor.organization_id).bulk_create(
        [
            model(
                organization_id=actor.organization_id,
                user_id=member.user_id,
                permission=row,
                content_object_id=on.id,
            )
            for row in rows
        ],
        ignore_conflicts=True,
    )


def _as_it_is(actor: Actor, on: GrantObject, member: Membership) -> AccessGrant:
    grants = list_grants_of(actor.organization_id, user_id=member.user_id, on=on)
    return grants[0]
