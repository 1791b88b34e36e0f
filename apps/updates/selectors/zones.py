"""Whose time counts where a device does not tell its own."""

from collections.abc import Collection
from uuid import UUID

from apps.devices.models import Device
from apps.organizations.domain.settings import value
from apps.organizations.models import Organization

TIME_ZONE = "updates.time_zone"


def organization_zone(organization_id: UUID) -> str:
    """The name of the organization's time zone."""
    found = Organization.objects.filter(id=organization_id).first()
    return str(value(found, TIME_ZONE)) if found is not None else "UTC"


def devices_without_zone(organization_id: UUID, device_ids: Collection[UUID]) -> set[UUID]:
    """Those of the devices whose agent does not tell a time zone."""
    rows = Device.objects.for_org(organization_id).filter(id__in=device_ids)
    found = rows.values_list("id", "inventory__facts__time_zone")
    return {device_id for device_id, zone in found if not zone}
