"""The people in an organization: their roles, and how they leave."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog
from django.core.cache import cache
from django.db import DatabaseError, transaction
from redis.exceptions import RedisError

from apps.accounts.models import User
from apps.accounts.services.departures import end_programs_of, revoke_keys_of
from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor, ActorKind
from apps.core.authz import CUSTOM, Role, permissions_of, require, require_at_least
from apps.core.errors import FleetdError, NotFound, PermissionDenied, invalid
from apps.core.ids import parse_uuid
from apps.core.tenancy import tenant
from apps.events.services.outbox import publish
from apps.organizations.errors import LastOwner
from apps.organizations.models import CustomRole, Invitation, Membership, Organization
from apps.organizations.permissions import (
    ADD_MEMBER,
    CHANGE_MEMBER_ROLE,
    LEAVE_ORGANIZATION,
    REMOVE_MEMBER,
    REVOKE_INVITATION,
)
from apps.organizations.selectors import find_membership
from apps.organizations.services.departures import depart
from apps.organizations.types import MemberAdded, MemberRemoved, MemberRoleChanged

log = structlog.get_logger(__name__)

MAX_AT_ONCE = 200
ACTIVITY_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class ChosenRole:
    """A role that somebody is to get: a built-in one, or one of the organization's own."""

    role: str
    custom: CustomRole | None = None

    @property
    def name(self) -> str:
        """As people know it."""
        return self.custom.name if self.custom else self.role

    @property
    def permissions(self) -> frozenset[str]:
        """What it holds now."""
        if self.custom is not None:
            return frozenset(self.custom.permissions)
        return permissions_of(Role(self.role))


@dataclass(frozen=True, slots=True)
class MemberResult:
    """What came of a bulk operation for one member; no failure means that it was done."""

    member_id: UUID
    failure: FleetdError | None = None


def choose_role(actor: Actor, role: str, custom_role_id: UUID | str | None = None) -> ChosenRole:
    """The role with this name in the actor's organization. Raises `InvalidRequest`."""
    if role != CUSTOM:
        if role not in set(Role):
            names = ", ".join([*Role, CUSTOM])
            raise invalid("role", "unknown_role", f"A role is one of {names}.")
        if custom_role_id:
            raise invalid("custom_role_id", "unexpected", "Only the role custom takes one.")
        return ChosenRole(role)
    rows = CustomRole.objects.for_org(actor.organization_id)
    found = rows.filter(id=parse_uuid(custom_role_id)).first() if custom_role_id else None
    if found is None:
        raise invalid("custom_role_id", "unknown_role", "There is no such custom role.")
    return ChosenRole(CUSTOM, found)


def require_may_give(actor: Actor, chosen: ChosenRole) -> None:
    """Raises unless the actor may give this role: owners by owners, nothing beyond one's own."""
    if chosen.role == Role.OWNER and actor.role and actor.role != Role.OWNER:
        raise PermissionDenied("Only an owner can make another owner.")
    require_at_least(actor, chosen.permissions)


def add_member(
    actor: Actor, user: User, *, role: Role | str, custom_role: CustomRole | None = None
) -> Membership:
    """Adds a person to the actor's organization; one who is in it already keeps their role.

    Nobody gives more rights than they have, and only an owner makes another owner.
    """
    chosen = ChosenRole(str(role), custom_role)
    require(actor, ADD_MEMBER)
    require_may_give(actor, chosen)
    existing = find_membership(actor.organization_id, user.id)
    if existing is not None:
        return existing
    membership = Membership(
        organization_id=actor.organization_id,
        user=user,
        role=chosen.role,
        custom_role=custom_role,
        created_at=clock.now(),
    )
    membership.save(force_insert=True)
    record(actor, ADD_MEMBER.name, membership, changes={"email": user.email, "role": chosen.name})
    publish(actor, MemberAdded(user_id=user.id))
    return membership


def change_member_role(
    actor: Actor, member_id: UUID, *, role: str, custom_role_id: UUID | str | None = None
) -> Membership:
    """Gives a member another role; the same one again changes nothing.

    It holds from the person's next call on, and within seconds for open pages and streams. Raises
    `LastOwner`, and `RightsExceedOwn` for a role, or a member, with rights that the actor lacks.
    """
    member = _locked(actor, member_id)
    require(actor, CHANGE_MEMBER_ROLE)
    chosen = choose_role(actor, role, custom_role_id)
    if (chosen.role, chosen.custom) == (member.role, member.custom_role):
        return member
    _require_not_above(actor, member)
    require_may_give(actor, chosen)
    if chosen.role != Role.OWNER:
        _keep_an_owner(member)
    elif member.user.kind != User.Kind.PERSON:
        raise invalid("role", "not_an_owner", "Only a person can own an organization.")
    before = member.role_name
    member.role, member.custom_role = chosen.role, chosen.custom
    member.save(update_fields=["role", "custom_role"])
    changes = {"email": member.user.email, "role": [before, chosen.name]}
    record(actor, CHANGE_MEMBER_ROLE.name, member, changes=changes)
    publish(actor, MemberRoleChanged(user_id=member.user_id))
    return member


def remove_member(actor: Actor, member_id: UUID) -> None:
    """Takes a person out of the actor's organization, at once.

    Their teams, grants, API keys and open invitations here go too, and coming back brings none of
    it back; sessions and tokens show nothing of it any more.
    Raises `LastOwner`, and `RightsExceedOwn` for somebody with rights that the actor lacks.
    """
    member = _locked(actor, member_id)
    require(actor, REMOVE_MEMBER)
    _require_not_above(actor, member)
    _remove(actor, member, REMOVE_MEMBER.name)


def leave_organization(actor: Actor, organization_id: UUID) -> None:
    """Takes the caller out of the organization. Raises `LastOwner`. A key cannot leave."""
    if organization_id != actor.organization_id:
        raise NotFound
    require(actor, LEAVE_ORGANIZATION)
    if actor.kind is not ActorKind.USER or actor.user_id is None:
        raise PermissionDenied("Only a person can leave, not a key.")
    own = find_membership(actor.organization_id, actor.user_id)
    if own is None:
        raise NotFound
    _remove(actor, _locked(actor, own.id), LEAVE_ORGANIZATION.name)


def change_member_roles(
    actor: Actor,
    member_ids: Sequence[UUID],
    *,
    role: str,
    custom_role_id: UUID | str | None = None,
) -> list[MemberResult]:
    """`change_member_role` for several; each stands for itself and has its own result."""
    require(actor, CHANGE_MEMBER_ROLE)
    chosen = choose_role(actor, role, custom_role_id)
    custom_id = chosen.custom.id if chosen.custom else None
    return _each(
        member_ids,
        lambda each: change_member_role(actor, each, role=role, custom_role_id=custom_id),
    )


def remove_members(actor: Actor, member_ids: Sequence[UUID]) -> list[MemberResult]:
    """`remove_member` for several; each stands for itself and has its own result."""
    require(actor, REMOVE_MEMBER)
    return _each(member_ids, lambda each: remove_member(actor, each))


def note_activity(actor: Actor) -> None:
    """Remembers that a member was here, at most once a minute; never fails the call it is about.

    Keys do not count: what they do is no sign of the person.
    """
    if actor.kind is not ActorKind.USER or actor.user_id is None or actor.standstill:
        return
    seconds = int(ACTIVITY_EVERY.total_seconds())
    try:
        key = f"member-active:{actor.organization_id}:{actor.user_id}"
        if not cache.add(key, 1, timeout=seconds):
            return
    except (RedisError, OSError) as error:
        log.warning("activity_not_counted", error=str(error))
        return
    try:
        with tenant(actor.organization_id):
            rows = Membership.objects.for_org(actor.organization_id)
            rows.filter(user_id=actor.user_id).update(last_active_at=clock.now())
    except DatabaseError as error:
        log.warning("activity_not_noted", error=type(error).__name__)


def _locked(actor: Actor, member_id: UUID) -> Membership:
    """The member, while nobody else changes members of this organization.

    The organization's row is what is locked: of two owners who take each other's role away at the
    same moment the second sees what the first has done.
    """
    Organization.objects.select_for_update(no_key=True).get(id=actor.organization_id)
    rows = Membership.objects.for_org(actor.organization_id)
    found = rows.filter(id=member_id).select_related("user", "custom_role").first()
    if found is None:
        raise NotFound
    membership: Membership = found
    return membership


def _require_not_above(actor: Actor, member: Membership) -> None:
    """Nobody takes rights from those who have more than they have themselves."""
    if member.role == Role.OWNER and actor.role and actor.role != Role.OWNER:
        raise PermissionDenied("Only an owner can change or remove an owner.")
    require_at_least(actor, member.role_permissions)


def _keep_an_owner(member: Membership) -> None:
    """Raises `LastOwner` where this is the only owner who can sign in."""
    if member.role != Role.OWNER:
        return
    owners = Membership.objects.for_org(member.organization_id).filter(
        role=Role.OWNER, user__is_active=True, user__kind=User.Kind.PERSON
    )
    if not owners.exclude(id=member.id).exists():
        raise LastOwner


def _remove(actor: Actor, member: Membership, action: str) -> None:
    _keep_an_owner(member)
    user = member.user
    changes = {"email": user.email, "role": [member.role_name, None]}
    record(actor, action, member, changes=changes)
    depart(actor, user.id)
    revoke_keys_of(actor, user.id)
    end_programs_of(actor, user.id)
    _withdraw_invitations_of(actor, user.id)
    member.delete()
    publish(actor, MemberRemoved(user_id=user.id))


def _withdraw_invitations_of(actor: Actor, user_id: UUID) -> None:
    """They give nothing while whoever invites is away, and must not when they come back."""
    rows = Invitation.objects.for_org(actor.organization_id).select_for_update(of=("self",))
    mine = rows.filter(invited_by_id=user_id, accepted_at=None, revoked_at=None)
    for invitation in mine.order_by("id"):
        invitation.revoked_at = clock.now()
        invitation.save(update_fields=["revoked_at"])
        record(actor, REVOKE_INVITATION.name, invitation)


def _each(member_ids: Sequence[UUID], operation: Callable[[UUID], object]) -> list[MemberResult]:
    if len(member_ids) > MAX_AT_ONCE:
        raise invalid("ids", "too_many", f"At most {MAX_AT_ONCE} members at once.")
    results = []
    for member_id in dict.fromkeys(member_ids):
        try:
            with transaction.atomic():
                operation(member_id)
            results.append(MemberResult(member_id))
        except FleetdError as error:
            results.append(MemberResult(member_id, error))
    return results
