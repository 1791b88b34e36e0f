"""Making, renaming, suspending and resuming organizations."""

import re
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils.text import slugify

from apps.accounts.models import User
from apps.accounts.selectors import find_active_user
from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor, ActorKind
from apps.core.authz import Permission, Role, require
from apps.core.errors import NotFound, PermissionDenied, WrongState, invalid
from apps.core.realtime import notify_gateways
from apps.core.tenancy import visiting
from apps.events.services.outbox import publish
from apps.organizations.errors import SingleOrganization, SlugTaken
from apps.organizations.models import Membership, Organization
from apps.organizations.permissions import (
    CREATE_ORGANIZATION,
    RESUME_ORGANIZATION,
    SUSPEND_ORGANIZATION,
    UPDATE_ORGANIZATION,
)
from apps.organizations.services.settings import is_superuser
from apps.organizations.types import (
    MemberAdded,
    OrganizationResumed,
    OrganizationSuspended,
    OrganizationUpdated,
)

MAX_REASON_LENGTH = 200
ORGANIZATIONS_LOCK = 0x4F7267  # "Org": in single mode two first organizations cannot both be made


def create_organization(actor: Actor, *, name: str) -> Organization:
    """A further organization, whose owner the caller becomes. For people, not for keys.

    Raises `SingleOrganization` where the installation is for one, `PermissionDenied` where only
    superusers may, `SlugTaken`, `InvalidRequest`. Its audit trail begins with this.
    """
    owner = require_may_create(actor)
    organization = insert_organization(name)
    with visiting(organization.id):
        there = _in(actor, organization.id)
        record(there, CREATE_ORGANIZATION.name, organization, changes={"name": organization.name})
        Membership(
            organization_id=organization.id, user=owner, role=Role.OWNER, created_at=clock.now()
        ).save(force_insert=True)
        publish(there, MemberAdded(user_id=owner.id))
    return organization


def require_may_create(actor: Actor) -> User:
    """The person who may make a further organization. Raises as `create_organization` does."""
    require(actor, CREATE_ORGANIZATION)
    owner = _person(actor)
    if settings.ORGANIZATIONS == "single":
        raise SingleOrganization
    if not may_create_organizations(owner):
        raise PermissionDenied("Only superusers may make organizations on this installation.")
    return owner


def may_create_organizations(user: User) -> bool:
    """Whether this person may make a further organization on this installation."""
    if settings.ORGANIZATIONS == "single":
        return False
    return user.is_superuser or settings.ORGANIZATION_CREATION == "everyone"


def update_organization(actor: Actor, organization_id: UUID, *, name: str) -> Organization:
    """Renames the actor's organization; its slug stays, because links and agents use it."""
    if organization_id != actor.organization_id:
        raise NotFound
    organization = Organization.objects.select_for_update(no_key=True).get(id=organization_id)
    require(actor, UPDATE_ORGANIZATION)
    name = _checked_name(name)
    if name != organization.name:
        before, organization.name = organization.name, name
        organization.save(update_fields=["name"])
        record(actor, UPDATE_ORGANIZATION.name, organization, changes={"name": [before, name]})
        publish(actor, OrganizationUpdated())
    return organization


def suspend_organization(actor: Actor, organization_id: UUID, *, reason: str = "") -> Organization:
    """Stops everything in an organization: owners read, devices wait, rollouts stand still.

    Nothing is lost. For superusers, in any organization. Suspending a suspended one changes
    nothing; one that is being deleted stays so (`WrongState`).
    """
    require_superuser(actor, SUSPEND_ORGANIZATION, organization_id)
    with visiting(organization_id):
        organization = _locked(organization_id)
        if organization.status == Organization.Status.SUSPENDED:
            return organization
        if organization.status == Organization.Status.DELETING:
            raise WrongState("The organization is being deleted already.")
        organization.status = Organization.Status.SUSPENDED
        organization.status_reason = checked_reason(reason)
        organization.save(update_fields=["status", "status_reason"])
        changes = {"status": ["active", "suspended"], "reason": organization.status_reason}
        there = _in(actor, organization_id)
        record(there, SUSPEND_ORGANIZATION.name, organization, changes=changes)
        publish(there, OrganizationSuspended())
    tell_gateways(actor, organization_id)
    return organization


def resume_organization(actor: Actor, organization_id: UUID) -> Organization:
    """Lets a suspended organization work again; devices come back by themselves.

    For superusers. Resuming an active one changes nothing.
    """
    require_superuser(actor, RESUME_ORGANIZATION, organization_id)
    with visiting(organization_id):
        organization = _locked(organization_id)
        if organization.status == Organization.Status.ACTIVE:
            return organization
        if organization.status == Organization.Status.DELETING:
            raise WrongState("The organization is being deleted; its owners can cancel that.")
        organization.status, organization.status_reason = Organization.Status.ACTIVE, ""
        organization.save(update_fields=["status", "status_reason"])
        there = _in(actor, organization_id)
        changes = {"status": ["suspended", "active"]}
        record(there, RESUME_ORGANIZATION.name, organization, changes=changes)
        publish(there, OrganizationResumed())
    return organization


def insert_organization(name: str) -> Organization:
    """A new row with a slug made of the name. Raises `SingleOrganization`, `SlugTaken`.

    In single mode the second one is refused here, whatever door asked.
    """
    name = _checked_name(name)
    slug = re.sub(r"-+", "-", slugify(name))[:63].strip("-")
    if not slug:
        raise invalid("name", "invalid_name", "An organization needs a name with letters.")
    if settings.ORGANIZATIONS == "single":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ORGANIZATIONS_LOCK])
        if Organization.objects.exists():
            raise SingleOrganization
    try:
        with transaction.atomic():
            return Organization.objects.create(name=name, slug=slug, created_at=clock.now())
    except IntegrityError as error:
        raise SlugTaken from error


def require_superuser(actor: Actor, permission: Permission, organization_id: UUID) -> None:
    """Raises unless a superuser asks; others hear of organizations that are not theirs nothing."""
    if is_superuser(actor):
        return
    if organization_id != actor.organization_id:
        raise NotFound
    raise PermissionDenied(
        "Only superusers of this installation may do this.", data={"permission": permission.name}
    )


def checked_reason(reason: str) -> str:
    """A reason as it is kept. Raises `InvalidRequest`."""
    reason = reason.strip()
    if len(reason) > MAX_REASON_LENGTH or "\x00" in reason:
        message = f"A reason has at most {MAX_REASON_LENGTH} characters."
        raise invalid("reason", "invalid_reason", message)
    return reason


def tell_gateways(actor: Actor, organization_id: UUID) -> None:
    """After commit: streams of devices end, and devices are told to wait."""
    notify_gateways("revoked", organization_id=organization_id)


def _locked(organization_id: UUID) -> Organization:
    rows = Organization.objects.select_for_update(no_key=True)
    found = rows.filter(id=organization_id).first()
    if found is None:
        raise NotFound
    return found


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > 100 or "\x00" in name:
        raise invalid("name", "invalid_name", "A name has 1 to 100 characters.")
    return name


def _person(actor: Actor) -> User:
    user = find_active_user(actor.user_id) if actor.user_id else None
    if actor.kind is not ActorKind.USER or user is None:
        raise PermissionDenied("Only a person can do this, not a key.")
    return user


def _in(actor: Actor, organization_id: UUID) -> Actor:
    """The same person, as the audit trail of another organization names them."""
    return Actor(
        kind=actor.kind,
        organization_id=organization_id,
        label=actor.label,
        call=actor.call,
        id=actor.id,
        user_id=actor.user_id,
    )
