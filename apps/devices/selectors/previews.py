"""What a filter would mean for a smart group, before anybody saves it."""

from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count, Q, QuerySet

from apps.core.actors import Actor
from apps.core.authz import require_somewhere
from apps.core.errors import NotFound
from apps.devices.domain.states import Lifecycle
from apps.devices.errors import DeviceGroupNotSmart
from apps.devices.models import Device, DeviceGroup
from apps.devices.permissions import VIEW_DEVICE_GROUPS, VIEW_DEVICES
from apps.devices.selectors.filtering import DeviceFilter, members_of, read_filter
from apps.devices.selectors.places import groups_within, within

SHOWN = 10


@dataclass(frozen=True, slots=True)
class GroupPreview:
    """Who a filter has, and who would enter and leave the group; the first ten of each by name."""

    filter: DeviceFilter
    device_count: int
    entering_count: int
    leaving_count: int
    entering: list[Device]
    leaving: list[Device]


def preview_device_group(
    actor: Actor, *, filter: str, group_id: UUID | None = None
) -> GroupPreview:
    """Compares a filter with a smart group's own; without a group everybody enters.

    Only devices that the actor may see count, and none that was taken out. Raises `FilterError`,
    `NotFound`, `DeviceGroupNotSmart`.
    """
    require_somewhere(actor, VIEW_DEVICE_GROUPS)
    group = _group(actor, group_id) if group_id else None
    wanted = read_filter(actor, filter)
    after, before = wanted.q(), members_of(group) if group else Q(pk__in=[])
    rows = Device.objects.for_org(actor.organization_id).exclude(lifecycle=Lifecycle.DECOMMISSIONED)
    seen: QuerySet[Device] = within(actor, VIEW_DEVICES, rows.select_related("state"))
    entering, leaving = after & ~before, before & ~after
    counts = seen.aggregate(
        after=Count("id", filter=after),
        entering=Count("id", filter=entering),
        leaving=Count("id", filter=leaving),
    )
    return GroupPreview(
        wanted,
        counts["after"],
        counts["entering"],
        counts["leaving"],
        _first(seen.filter(entering), counts["entering"]),
        _first(seen.filter(leaving), counts["leaving"]),
    )


def _first(rows: QuerySet[Device], count: int) -> list[Device]:
    return list(rows.order_by("name", "id")[:SHOWN]) if count else []


def _group(actor: Actor, group_id: UUID) -> DeviceGroup:
    every = DeviceGroup.objects.for_org(actor.organization_id)
    found: DeviceGroup | None = (
        groups_within(actor, VIEW_DEVICE_GROUPS, every).filter(id=group_id).first()
    )
    if found is None:
        raise NotFound("There is no such device group.")
    if not found.is_smart:
        raise DeviceGroupNotSmart
    return found
