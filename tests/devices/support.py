"""What tests of devices look at."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

from apps.audit.models import AuditEntry
from apps.core.tenancy import tenant
from apps.devices.models import Device, DeviceCount
from apps.events.models import OutboxEvent


def actions(organization_id: UUID) -> list[str]:
    """What was audited, in order."""
    rows = AuditEntry.objects.for_org(organization_id).order_by("sequence")
    return list(rows.values_list("action", flat=True))


def events(organization_id: UUID, kind: str = "") -> list[dict[str, Any]]:
    """Payloads of what was published, in order."""
    rows = OutboxEvent.objects.for_org(organization_id).order_by("id")
    return list(rows.filter(type__contains=kind).values_list("payload", flat=True))


def kept_totals(organization_id: UUID) -> dict[tuple[str, str], int]:
    """The totals that are kept, without zeros."""
    rows = DeviceCount.objects.for_org(organization_id)
    return {(r.lifecycle, r.connectivity): r.count for r in rows if r.count}


def counted_totals(organization_id: UUID) -> dict[tuple[str, str], int]:
    """The same, counted."""
    rows = Device.objects.for_org(organization_id)
    return dict(Counter(rows.values_list("lifecycle", "state__connectivity")))


def assert_totals(organization_id: UUID) -> None:
    """The kept totals are right."""
    assert kept_totals(organization_id) == counted_totals(organization_id)


class RolledBack(Exception):
    """Raised to undo."""


def roll_back(organization_id: UUID, work: Callable[[], object]) -> None:
    """Does something and undoes it."""
    with suppress(RolledBack), tenant(organization_id):
        work()
        raise RolledBack
