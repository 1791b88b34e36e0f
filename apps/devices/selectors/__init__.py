"""Reading devices and groups: people see those that their rights reach, as if no others were."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from django.db.models import Q, QuerySet

from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import Permission, require_somewhere
from apps.core.errors import NotFound, invalid
from apps.core.pagination import Page, PageRequest, checked_search, paginate
from apps.devices.domain import tags as tag_rules
from apps.devices.domain.states import ENROLLED, Connectivity, Lifecycle
from apps.devices.filters import has_connectivity
from apps.devices.models import Device, DeviceGroup
from apps.devices.permissions import VIEW_DEVICE_GROUPS, VIEW_DEVICES
from apps.devices.selectors.counting import InstalledCount as InstalledCount
from apps.devices.selectors.counting import count_devices as count_devices
from apps.devices.selectors.counting import count_group_devices as count_group_devices
from apps.devices.selectors.counting import count_installed_versions as count_installed_versions
from apps.devices.selectors.counting import count_pending_devices as count_pending_devices
from apps.devices.selectors.counting import sweep_stamp as sweep_stamp
from apps.devices.selectors.filtering import is_in_sight, members_of, read_filter
from apps.devices.selectors.places import (
    GroupsInReach,
    groups_in_reach,
    groups_of,
    groups_within,
    within,
)


def list_devices(  # noqa: PLR0913 - what a list can be narrowed by
    actor: Actor,
    page: PageRequest,
    *,
    lifecycle: str = "",
    connectivity: str = "",
    tag: str = "",
    group_id: UUID | None = None,
    search: str = "",
    filter: str = "",
) -> Page[Device]:
    """Devices by name, with their state, narrowed by whatever is given.

    Raises `InvalidRequest` for a lifecycle, connectivity or tag that cannot be, `NotFound` for a
    group that the actor does not see, `FilterError` for a filter that cannot be read.
    """
    require_somewhere(actor, VIEW_DEVICES)
    rows = _seen(actor)
    if lifecycle:
        rows = rows.filter(lifecycle=_one_of(Lifecycle, "lifecycle", lifecycle))
    if connectivity:
        wanted = _one_of(Connectivity, "connectivity", connectivity)
        rows = rows.filter(has_connectivity(Connectivity(wanted), clock.now()))
    if tag:
        rows = rows.filter(tags__contains=tag_rules.checked([tag], field="tag"))
    if group_id is not None:
        rows = rows.filter(_in_groups([_group(actor, group_id)]))
    if search:
        rows = rows.filter(_found_by(search))
    if filter.strip():
        rows = rows.filter(read_filter(actor, filter).q())
    return paginate(rows, page, order_by=["name", "id"], bound_to=filter.strip())


def list_candidates(
    actor: Actor, page: PageRequest, right: Permission, *, search: str = ""
) -> Page[Device]:
    """Devices by name that a right reaches, for a form that chooses what to do it to."""
    require_somewhere(actor, VIEW_DEVICES)
    rows = within(actor, right, _seen(actor))
    if search:
        rows = rows.filter(_found_by(search))
    return paginate(rows, page, order_by=["name", "id"])


def get_device(actor: Actor, device_id: UUID) -> Device:
    """One device with its state."""
    require_somewhere(actor, VIEW_DEVICES)
    found: Device | None = _seen(actor).filter(id=device_id).first()
    if found is None:
        raise NotFound
    return found


def list_devices_by_id(actor: Actor, device_ids: Collection[UUID]) -> list[Device]:
    """Those of these devices that the actor may see, with their state."""
    require_somewhere(actor, VIEW_DEVICES)
    return list(_seen(actor).filter(id__in=device_ids))


def find_device(organization_id: UUID, device_id: UUID) -> Device | None:
    """One device with its state, for callers that have settled who may know of it."""
    rows = Device.objects.for_org(organization_id).select_related("state")
    found: Device | None = rows.filter(id=device_id).first()
    return found


def find_enrolled_device(organization_id: UUID, hardware_id: str) -> Device | None:
    """The active or quarantined device with this hardware identity."""
    rows = Device.objects.for_org(organization_id)
    found: Device | None = rows.filter(hardware_id=hardware_id, lifecycle__in=ENROLLED).first()
    return found


def list_device_groups(
    actor: Actor,
    page: PageRequest,
    *,
    search: str = "",
    team_id: UUID | None = None,
    right: Permission = VIEW_DEVICE_GROUPS,
) -> Page[DeviceGroup]:
    """The groups that the actor may see, by name; with `team_id` those that this team owns.

    With `right` those that this right reaches, for a form that chooses what to do it to.
    """
    require_somewhere(actor, VIEW_DEVICE_GROUPS)
    rows = groups_within(actor, right, _groups_seen(actor))
    if team_id is not None:
        rows = rows.filter(team_id=team_id)
    if search:
        rows = rows.filter(name__icontains=checked_search(search))
    return paginate(rows, page, order_by=["name", "id"])


def get_device_group(actor: Actor, group_id: UUID) -> DeviceGroup:
    """One group."""
    require_somewhere(actor, VIEW_DEVICE_GROUPS)
    found: DeviceGroup | None = _groups_seen(actor).filter(id=group_id).first()
    if found is None:
        raise NotFound("There is no such device group.")
    return found


def group_ids_of(actor: Actor, device_ids: Collection[UUID]) -> dict[UUID, list[UUID]]:
    """The groups that each of these devices is in, by choice or by tag, of those in sight."""
    rows = Device.objects.for_org(actor.organization_id).filter(id__in=device_ids)
    found: dict[UUID, list[UUID]] = {device_id: [] for device_id in device_ids}
    return found | list_group_ids(actor, list(rows.only("id", "group_ids", "tags")))


def list_group_ids(actor: Actor, devices: Sequence[Device]) -> dict[UUID, list[UUID]]:
    """The same for devices that were just read, in one query."""
    require_somewhere(actor, VIEW_DEVICE_GROUPS)
    reached = groups_in_reach(actor, VIEW_DEVICE_GROUPS)
    groups: Iterable[tuple[UUID, str]]
    if reached is None:
        groups = groups_of(actor.organization_id, devices).values_list("id", "tag")
    else:
        groups = reached.groups
    static, by_tag = set(), defaultdict(list)
    for group_id, tag in groups:
        if tag:
            by_tag[tag].append(group_id)
        else:
            static.add(group_id)
    return {
        device.id: sorted(
            [each for each in device.group_ids if each in static]
            + [each for tag in device.tags if tag in by_tag for each in by_tag[tag]]
        )
        for device in devices
    }


def resolve_target(
    actor: Actor,
    *,
    device_ids: Sequence[UUID] = (),
    tags: Sequence[str] = (),
    group_ids: Sequence[UUID] = (),
    filter: str = "",
) -> QuerySet[Device]:
    """The active devices that are named, have one of the tags, are in one of the groups (static,
    of a tag or smart), or match the filter.

    With nothing given: every active device. Only devices that the actor may see are meant. Raises
    `NotFound` where a named device or group is missing or out of sight, `InvalidRequest` for what
    cannot be a tag, `FilterError` for a filter that cannot be read.
    """
    require_somewhere(actor, VIEW_DEVICES)
    rows: QuerySet[Device] = within(
        actor, VIEW_DEVICES, Device.objects.for_org(actor.organization_id)
    )
    if device_ids and rows.filter(id__in=device_ids).count() != len(set(device_ids)):
        raise NotFound("There is no such device.")
    every = DeviceGroup.objects.for_org(actor.organization_id)
    groups = list(groups_within(actor, VIEW_DEVICES, every).filter(id__in=group_ids))
    if len(groups) != len(set(group_ids)):
        raise NotFound("There is no such device group.")
    wanted = Q()
    if device_ids:
        wanted |= Q(id__in=list(device_ids))
    if tags:
        wanted |= Q(tags__overlap=tag_rules.checked(tags, field="tags"))
    if groups:
        wanted |= _in_groups(groups)
    if filter.strip():
        wanted |= read_filter(actor, filter).q()
    return rows.filter(wanted, lifecycle=Lifecycle.ACTIVE)


def _seen(actor: Actor) -> QuerySet[Device]:
    """The devices that the actor may see, with their state."""
    rows = Device.objects.for_org(actor.organization_id).select_related("state")
    found: QuerySet[Device] = within(actor, VIEW_DEVICES, rows)
    return found


def _groups_seen(actor: Actor) -> QuerySet[DeviceGroup]:
    rows = DeviceGroup.objects.for_org(actor.organization_id)
    found: QuerySet[DeviceGroup] = groups_within(actor, VIEW_DEVICE_GROUPS, rows)
    return found


def _one_of(states: type[Lifecycle] | type[Connectivity], field: str, value: str) -> str:
    if value not in list(states):
        known = ", ".join(states)
        raise invalid(field, f"unknown_{field}", f"{field} is one of {known}.")
    return value


def _found_by(search: str) -> Q:
    text = checked_search(search)
    fields = ("name", "hostname", "serial", "hardware_id")
    found = Q()
    for field in fields:
        found |= Q(**{f"{field}__icontains": text})
    return found


def _group(actor: Actor, group_id: UUID) -> DeviceGroup:
    """A group to narrow a list by: one whose devices, or which itself, the actor may see."""
    rows = DeviceGroup.objects.for_org(actor.organization_id)
    found: DeviceGroup | None = rows.filter(id=group_id).first()
    if found is not None and is_in_sight(actor, found):
        return found
    raise NotFound("There is no such device group.")


def _in_groups(groups: Sequence[DeviceGroup]) -> Q:
    """Devices in any of these groups; there is at least one."""
    plain = GroupsInReach(tuple((group.id, group.tag) for group in groups if not group.is_smart))
    found = plain.condition()
    for group in groups:
        if group.is_smart:
            found |= members_of(group)
    return found
