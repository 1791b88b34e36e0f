"""Reading the archives of an organization."""

from uuid import UUID

from apps.core.actors import Actor
from apps.core.authz import require
from apps.core.errors import NotFound
from apps.core.pagination import Page, PageRequest, paginate
from apps.organizations.errors import ExportNotReady
from apps.organizations.models import OrganizationExport
from apps.organizations.permissions import EXPORT_ORGANIZATION


def list_exports(
    actor: Actor, organization_id: UUID, page: PageRequest
) -> Page[OrganizationExport]:
    """The organization's archives, newest first."""
    if organization_id != actor.organization_id:
        raise NotFound
    require(actor, EXPORT_ORGANIZATION)
    rows = OrganizationExport.objects.for_org(actor.organization_id)
    found: Page[OrganizationExport] = paginate(rows, page, order_by=["-id"])
    return found


def get_export(actor: Actor, organization_id: UUID, export_id: UUID) -> OrganizationExport:
    """One archive. Raises `NotFound`."""
    rows = OrganizationExport.objects.for_org(actor.organization_id)
    found: OrganizationExport | None = rows.filter(id=export_id).first()
    if found is None or organization_id != actor.organization_id:
        raise NotFound
    require(actor, EXPORT_ORGANIZATION)
    return found


def get_finished_export(actor: Actor, organization_id: UUID, export_id: UUID) -> OrganizationExport:
    """One archive that can be downloaded. Raises `ExportNotReady`."""
    found = get_export(actor, organization_id, export_id)
    if found.state != OrganizationExport.State.DONE:
        raise ExportNotReady
    return found
