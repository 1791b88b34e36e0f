"""An organization's settings, usage and exports, as REST and RPC offer them."""

from typing import Any

from apps.core.actors import Actor
from apps.core.errors import NotFound
from apps.core.public import id_of, operation, page_of, timestamp
from apps.organizations import selectors
from apps.organizations.domain.settings import KEYS, values
from apps.organizations.exports import get_export, list_exports
from apps.organizations.models import Organization, OrganizationExport
from apps.organizations.permissions import (
    EXPORT_ORGANIZATION,
    UPDATE_ORGANIZATION_SETTINGS,
    VIEW_ORGANIZATION_SETTINGS,
    VIEW_USAGE,
)
from apps.organizations.services.exports import export_organization as begin_export
from apps.organizations.services.quotas import list_usage
from apps.organizations.services.settings import update_organization_settings as update_settings
from fleetd.pb.public.v1 import organization_pb2 as pb


@operation(VIEW_ORGANIZATION_SETTINGS)
def get_organization_settings(
    actor: Actor, request: pb.GetOrganizationSettingsRequest
) -> pb.GetOrganizationSettingsResponse:
    """All settings of the organization, with the defaults of those that nobody has set."""
    found = selectors.get_organization_with_settings(actor, id_of(request.id))
    return pb.GetOrganizationSettingsResponse(settings=settings_message(found))


@operation(UPDATE_ORGANIZATION_SETTINGS)
def update_organization_settings(
    actor: Actor, request: pb.UpdateOrganizationSettingsRequest
) -> pb.UpdateOrganizationSettingsResponse:
    """Sets what is given and resets what `reset` names, all or nothing.

    Security settings are the owners', quotas the installation's superusers'.
    """
    if id_of(request.id) != actor.organization_id:
        raise NotFound
    changed = update_settings(actor, {**_given(request), **_reset(request)})
    return pb.UpdateOrganizationSettingsResponse(settings=settings_message(changed))


@operation(VIEW_USAGE)
def get_usage(actor: Actor, request: pb.GetUsageRequest) -> pb.GetUsageResponse:
    """What counts against the organization's quotas, and their limits."""
    items = [
        pb.Usage(quota=each.quota, used=each.used, limit=each.limit) for each in list_usage(actor)
    ]
    return pb.GetUsageResponse(items=items)


@operation(EXPORT_ORGANIZATION)
def export_organization(
    actor: Actor, request: pb.ExportOrganizationRequest
) -> pb.ExportOrganizationResponse:
    """Begins an archive of everything in the organization, or answers the one under way."""
    export = begin_export(actor, id_of(request.id))
    return pb.ExportOrganizationResponse(export=export_message(export))


@operation(EXPORT_ORGANIZATION)
def list_organization_exports(
    actor: Actor, request: pb.ListOrganizationExportsRequest
) -> pb.ListOrganizationExportsResponse:
    """The organization's archives of the last week, newest first."""
    page = list_exports(actor, id_of(request.id), page_of(request))
    return pb.ListOrganizationExportsResponse(
        items=[export_message(each) for each in page.items], next_page_token=page.next_page_token
    )


@operation(EXPORT_ORGANIZATION)
def get_organization_export(
    actor: Actor, request: pb.GetOrganizationExportRequest
) -> pb.GetOrganizationExportResponse:
    """One archive, and how far it has come."""
    export = get_export(actor, id_of(request.id), id_of(request.export_id))
    return pb.GetOrganizationExportResponse(export=export_message(export))


def settings_message(organization: Organization) -> pb.OrganizationSettings:
    """All settings; a quota without a limit is not set."""
    message = pb.OrganizationSettings()
    for key, held in values(organization).items():
        part, name = _place(message, key)
        part.SetInParent()
        if isinstance(held, list):
            getattr(part, name).extend(held)
        elif held is not None:
            setattr(part, name, held)
    return message


def export_message(export: OrganizationExport) -> pb.OrganizationExport:
    """An archive."""
    return pb.OrganizationExport(
        id=str(export.id),
        state=export.state,
        requested_by=export.requested_by,
        created_at=timestamp(export.created_at),
        finished_at=timestamp(export.finished_at),
        tables_done=export.tables_done,
        tables_total=export.tables_total,
        row_count=export.row_count,
        size_bytes=export.size_bytes,
        sha256=export.sha256,
        error=export.error,
    )


def _given(request: pb.UpdateOrganizationSettingsRequest) -> dict[str, Any]:
    """The settings that the request holds, by key."""
    found: dict[str, Any] = {}
    for key in KEYS:
        part, name = _place(request, key)
        field = part.DESCRIPTOR.fields_by_name[name]
        if field.is_repeated:
            if items := list(getattr(part, name)):
                found[key] = items
        elif part.HasField(name):
            found[key] = getattr(part, name)
    return found


def _reset(request: pb.UpdateOrganizationSettingsRequest) -> dict[str, Any]:
    """Defaults for the keys to reset; an unknown one is refused with the others by the service."""
    return {key: KEYS[key].default if key in KEYS else None for key in request.reset}


def _place(message: Any, key: str) -> tuple[Any, str]:
    """The part of a message that holds setting `security.require_mfa`, and its field's name."""
    part, _, name = key.partition(".")
    return getattr(message, part), name
