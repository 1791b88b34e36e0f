"""Changing an organization and its members."""

from uuid import UUID

from apps.accounts.models import User
from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import OWNERS, Role, permissions_of, require, require_at_least
from apps.core.errors import NotFound, PermissionDenied, invalid
from apps.organizations.models import Membership, Organization
from apps.organizations.permissions import ADD_MEMBER, UPDATE_ORGANIZATION
from apps.organizations.selectors import find_membership


def update_organization(actor: Actor, organization_id: UUID, *, name: str) -> Organization:
    """Renames the actor's organization; its slug stays, because links and agents use it."""
    if organization_id != actor.organization_id:
        raise NotFound
    organization = Organization.objects.select_for_update().get(id=organization_id)
    require(actor, UPDATE_ORGANIZATION)
    name = name.strip()
    if not name or len(name) > 100 or "\x00" in name:
        raise invalid("name", "invalid_name", "A name has 1 to 100 characters.")
    if name != organization.name:
        before, organization.name = organization.name, name
        organization.save(update_fields=["name"])
        record(actor, UPDATE_ORGANIZATION.name, organization, changes={"name": [before, name]})
    return organization


def add_member(actor: Actor, user: User, *, role: Role) -> Membership:
    """Adds a person to the actor's organization; one who is in it already keeps their role.

    Only an owner can make another owner.
    """
    require(actor, ADD_MEMBER)
    if role in OWNERS and actor.role and actor.role not in OWNERS:
        raise PermissionDenied("Only an owner can make another owner.")
    require_at_least(actor, permissions_of(role))
    existing = find_membership(actor.organization_id, user.id)
    if existing is not None:
        return existing
    membership = Membership(
        organization_id=actor.organization_id, user=user, role=role, created_at=clock.now()
    )
    membership.save(force_insert=True)
    record(actor, ADD_MEMBER.name, membership, changes={"email": user.email, "role": role.value})
    return membership
