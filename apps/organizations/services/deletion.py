"""The end of an organization: asked for, waited for, then erased."""

from datetime import timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection

from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor, ActorKind, Source
from apps.core.authz import require
from apps.core.erasure import FUNCTION
from apps.core.errors import (
    NotFound,
    OrganizationSuspended,
    PermissionDenied,
    RecentSignInRequired,
    invalid,
)
from apps.core.transactions import after_commit
from apps.events.services.outbox import publish
from apps.organizations.errors import NameDoesNotMatch
from apps.organizations.models import Organization
from apps.organizations.permissions import (
    CANCEL_ORGANIZATION_DELETION,
    DELETE_ORGANIZATION,
    PURGE_ORGANIZATION,
)
from apps.organizations.services.organizations import checked_reason, tell_gateways
from apps.organizations.storage import remove_organization_files
from apps.organizations.types import OrganizationDeletionRequested, OrganizationResumed

log = structlog.get_logger(__name__)

Status = Organization.Status


def delete_organization(
    actor: Actor, organization_id: UUID, *, name: str, reason: str
) -> Organization:
    """Asks for the organization's deletion: from now on everything in it stands still.

    Devices are told to wait, members are refused; owners can export and cancel. After the time of
    grace it is erased. Asking again changes nothing. Only a person who has just signed in may ask,
    by typing the name and giving a reason. Raises `NameDoesNotMatch`, `RecentSignInRequired`.
    """
    organization = _locked(actor, organization_id)
    if organization.status == Status.DELETING:
        return organization
    require(actor, DELETE_ORGANIZATION)
    _require_fresh_person(actor)
    if name.strip() != organization.name:
        raise NameDoesNotMatch
    organization.status_reason = _reason(reason)
    organization.status = Status.DELETING
    organization.deletes_at = clock.now() + timedelta(days=settings.ORGANIZATION_GRACE_DAYS)
    organization.save(update_fields=["status", "status_reason", "deletes_at"])
    changes = {
        "status": [Status.ACTIVE.value, Status.DELETING.value],
        "deletes_at": organization.deletes_at.isoformat(),
        "reason": organization.status_reason,
    }
    record(actor, DELETE_ORGANIZATION.name, organization, changes=changes)
    publish(actor, OrganizationDeletionRequested())
    tell_gateways(actor, organization.id)
    log.warning("organization_deletion_requested", organization=organization.slug, by=actor.label)
    return organization


def cancel_organization_deletion(actor: Actor, organization_id: UUID) -> Organization:
    """Keeps the organization: everything works as before. An active one stays as it is."""
    organization = _locked(actor, organization_id)
    require(actor, CANCEL_ORGANIZATION_DELETION)
    if organization.status == Status.SUSPENDED:
        raise OrganizationSuspended
    if organization.status == Status.ACTIVE:
        return organization
    organization.status, organization.status_reason = Status.ACTIVE, ""
    organization.deletes_at = None
    organization.save(update_fields=["status", "status_reason", "deletes_at"])
    changes = {"status": [Status.DELETING.value, Status.ACTIVE.value]}
    record(actor, CANCEL_ORGANIZATION_DELETION.name, organization, changes=changes)
    publish(actor, OrganizationResumed())
    return organization


def purge_organization(actor: Actor) -> bool:
    """Erases the actor's organization if its time has come; answers whether it did.

    Every row of every tenant table, what is bound to it elsewhere, and then its stored files. The
    database itself checks that it is due. What stays is one line in the installation's log.
    """
    require(actor, PURGE_ORGANIZATION)
    organization = Organization.objects.filter(id=actor.organization_id).first()
    if organization is None or organization.status != Status.DELETING:
        return False
    if organization.deletes_at is None or organization.deletes_at > clock.now():
        return False
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {FUNCTION}(%s)", [organization.id])
        rows = cursor.fetchone()[0]
    told = {"organization": str(organization.id), "slug": organization.slug, "rows": rows}
    after_commit(lambda: _finish(organization, told))
    return True


def remove_files_of_erased(_actor: None, folder_of: UUID) -> bool:
    """Removes the stored files of an organization that is no more; never those of one that is."""
    if Organization.objects.filter(id=folder_of).exists():
        return False
    remove_organization_files(folder_of)
    return True


def _finish(organization: Organization, told: dict[str, object]) -> None:
    remove_files_of_erased(None, organization.id)
    log.warning("organization_erased", **told)


def _locked(actor: Actor, organization_id: UUID) -> Organization:
    if organization_id != actor.organization_id:
        raise NotFound
    return Organization.objects.select_for_update(no_key=True).get(id=organization_id)


def _require_fresh_person(actor: Actor) -> None:
    """Keys cannot ask. Pages ask for the password themselves, other doors for a new sign-in."""
    if actor.kind is not ActorKind.USER:
        raise PermissionDenied("Only a person can do this, not a key.")
    if actor.call.source is Source.UI:
        return
    fresh = timedelta(seconds=settings.ACCOUNT_REAUTHENTICATION_TIMEOUT)
    if actor.sign_in is None or clock.now() - actor.sign_in.at > fresh:
        raise RecentSignInRequired


def _reason(reason: str) -> str:
    checked = checked_reason(reason)
    if not checked:
        raise invalid("reason", "reason_required", "Say why the organization goes.")
    return checked
