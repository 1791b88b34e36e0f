"""Reading devices and groups."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.cache import cache
from django.db import connection
from django.db.models import Count, F, Func, Q, QuerySet
from redis.exceptions import RedisError

from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require
from apps.core.errors import NotFound, invalid
from apps.core.pagination import Page, PageRequest, paginate
from apps.devices.domain import tags as tag_rules
from apps.devices.domain.states import CONNECTED, ENROLLED, Connectivity, Lifecycle
from apps.devices.models import Device, DeviceCount, DeviceGroup, DeviceState, GroupMember
from apps.devices.permissions import VIEW_DEVICE_GROUPS, VIEW_DEVICES

MAX_SEARCH_LENGTH = 200
VERSIONS_KEPT_SECONDS = 30

_VERSIONS = """
    SELECT installed.key, installed.value, count(*)
    FROM devices_device AS device, jsonb_each_text(device.installed) AS installed
    WHERE device.organization_id = %s AND device.lifecycle <> %s
    GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class InstalledCount:
    """How many devices have one version of one component."""

    name: str
    version: str
    count: int


def list_devices(
    actor: Actor,
    page: PageRequest,
    *,
    lifecycle: str = "",
    connectivity: str = "",
    tag: str = "",
    group_id: UUID | None = None,
    search: str = "",
) -> Page[Device]:
    """Devices by name, with their state, narrowed by whatever is given.

    Raises `InvalidRequest` for a lifecycle, connectivity or tag that cannot be, `NotFound` for a
    group of another organization.
    """
    require(actor, VIEW_DEVICES)
    rows = Device.objects.for_org(actor.organization_id).select_related("state")
    if lifecycle:
        rows = rows.filter(lifecycle=_one_of(Lifecycle, "lifecycle", lifecycle))
    if connectivity:
        wanted = _one_of(Connectivity, "connectivity", connectivity)
        rows = rows.filter(_is(Connectivity(wanted), clock.now()))
    if tag:
        rows = rows.filter(tags__contains=tag_rules.checked([tag], field="tag"))
    if group_id is not None:
        rows = rows.filter(_in_groups(actor, [_group(actor, group_id)]))
    if search:
        rows = rows.filter(_found_by(search[:MAX_SEARCH_LENGTH]))
    return paginate(rows, page, order_by=["name", "id"])


def get_device(actor: Actor, device_id: UUID) -> Device:
    """One device with its state."""
    require(actor, VIEW_DEVICES)
    found = find_device(actor.organization_id, device_id)
    if found is None:
        raise NotFound
    return found


def list_devices_by_id(actor: Actor, device_ids: Collection[UUID]) -> list[Device]:
    """Those of these devices that the organization has, with their state."""
    require(actor, VIEW_DEVICES)
    rows = Device.objects.for_org(actor.organization_id).select_related("state")
    return list(rows.filter(id__in=device_ids))


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


def count_devices(actor: Actor) -> dict[tuple[str, str], int]:
    """How many devices are in each (lifecycle, connectivity), without counting them.

    The kept totals are right while the sweep for deadlines runs. Where it has not run lately,
    devices whose deadline has passed are moved to offline here.
    """
    require(actor, VIEW_DEVICES)
    rows = DeviceCount.objects.for_org(actor.organization_id)
    counts = {(r.lifecycle, r.connectivity): r.count for r in rows}
    if not _swept_lately(actor.organization_id):
        for (lifecycle, connectivity), late in _overdue(actor.organization_id).items():
            offline = (lifecycle, Connectivity.OFFLINE.value)
            counts[lifecycle, connectivity] = counts.get((lifecycle, connectivity), 0) - late
            counts[offline] = counts.get(offline, 0) + late
    return counts


def count_installed_versions(actor: Actor, *, limit: int) -> list[InstalledCount]:
    """The most common installed versions, decommissioned devices left out; up to 30 s old.

    It reads every device, so pages that are asked again each second share one answer.
    """
    require(actor, VIEW_DEVICES)
    key = f"devices:versions:{actor.organization_id}:{limit}"
    found: list[InstalledCount] | None = _cached(key)
    if found is None:
        with connection.cursor() as cursor:
            cursor.execute(_VERSIONS, [actor.organization_id, Lifecycle.DECOMMISSIONED, limit])
            found = [InstalledCount(*row) for row in cursor.fetchall()]
        _cache(key, found)
    return found


def list_device_groups(actor: Actor, page: PageRequest, *, search: str = "") -> Page[DeviceGroup]:
    """The organization's groups by name."""
    require(actor, VIEW_DEVICE_GROUPS)
    rows = DeviceGroup.objects.for_org(actor.organization_id)
    if search:
        rows = rows.filter(name__icontains=_clean(search))
    return paginate(rows, page, order_by=["name", "id"])


def get_device_group(actor: Actor, group_id: UUID) -> DeviceGroup:
    """One group."""
    require(actor, VIEW_DEVICE_GROUPS)
    return _group(actor, group_id)


def count_group_devices(actor: Actor, group_ids: Collection[UUID]) -> dict[UUID, int]:
    """How many devices each of these groups has, those taken out excepted."""
    require(actor, VIEW_DEVICE_GROUPS)
    groups = DeviceGroup.objects.for_org(actor.organization_id).filter(id__in=group_ids)
    members = (
        GroupMember.objects.for_org(actor.organization_id)
        .filter(group_id__in=group_ids)
        .exclude(device__lifecycle=Lifecycle.DECOMMISSIONED)
    )
    chosen = dict(members.values_list("group_id").annotate(n=Count("id")))
    tagged = _count_tagged(actor.organization_id, [g.tag for g in groups if not g.is_static])
    return {g.id: chosen.get(g.id, 0) if g.is_static else tagged.get(g.tag, 0) for g in groups}


def group_ids_of(actor: Actor, device_ids: Collection[UUID]) -> dict[UUID, list[UUID]]:
    """The groups that each of these devices is in, by choice or by tag."""
    require(actor, VIEW_DEVICE_GROUPS)
    found: dict[UUID, list[UUID]] = {device_id: [] for device_id in device_ids}
    members = GroupMember.objects.for_org(actor.organization_id).filter(device_id__in=device_ids)
    for device_id, group_id in members.order_by("group_id").values_list("device_id", "group_id"):
        found[device_id].append(group_id)
    by_tag = _groups_by_tag(actor.organization_id)
    if by_tag:
        devices = Device.objects.for_org(actor.organization_id).filter(id__in=device_ids)
        for device_id, tags in devices.values_list("id", "tags"):
            found[device_id] += [g for tag in tags for g in by_tag[tag]]
    return found


def resolve_target(
    actor: Actor,
    *,
    device_ids: Sequence[UUID] = (),
    tags: Sequence[str] = (),
    group_ids: Sequence[UUID] = (),
) -> QuerySet[Device]:
    """The active devices that are named, have one of the tags, or are in one of the groups.

    With nothing given: every active device. Raises `NotFound` where a named device or group is
    missing or of another organization, `InvalidRequest` for what cannot be a tag.
    """
    require(actor, VIEW_DEVICES)
    rows: QuerySet[Device] = Device.objects.for_org(actor.organization_id)
    if device_ids and rows.filter(id__in=device_ids).count() != len(set(device_ids)):
        raise NotFound("There is no such device.")
    groups = list(DeviceGroup.objects.for_org(actor.organization_id).filter(id__in=group_ids))
    if len(groups) != len(set(group_ids)):
        raise NotFound("There is no such device group.")
    wanted = Q()
    if device_ids:
        wanted |= Q(id__in=list(device_ids))
    if tags:
        wanted |= Q(tags__overlap=tag_rules.checked(tags, field="tags"))
    if groups:
        wanted |= _in_groups(actor, groups)
    return rows.filter(wanted, lifecycle=Lifecycle.ACTIVE)


def sweep_stamp(organization_id: UUID) -> str:
    """The cache key that exists while the organization's deadlines have been swept lately."""
    return f"devices:swept:{organization_id}"


def _one_of(states: type[Lifecycle] | type[Connectivity], field: str, value: str) -> str:
    if value not in list(states):
        known = ", ".join(states)
        raise invalid(field, f"unknown_{field}", f"{field} is one of {known}.")
    return value


def _is(wanted: Connectivity, now: datetime) -> Q:
    """Devices whose connectivity is this one, deadline and all."""
    if wanted is Connectivity.NEVER_SEEN:
        return Q(state__connectivity=wanted.value)
    if wanted is Connectivity.OFFLINE:
        silent = Q(state__connectivity__in=CONNECTED, state__offline_at__lte=now)
        return Q(state__connectivity=wanted.value) | silent
    return Q(state__connectivity=wanted.value, state__offline_at__gt=now)


def _found_by(search: str) -> Q:
    text = _clean(search)
    fields = ("name", "hostname", "serial", "hardware_id")
    found = Q()
    for field in fields:
        found |= Q(**{f"{field}__icontains": text})
    return found


def _clean(text: str) -> str:
    """PostgreSQL's texts hold no NUL: what contains one is found nowhere."""
    if "\x00" in text:
        raise invalid("search", "invalid_search", "The search contains a NUL character.")
    return text


def _group(actor: Actor, group_id: UUID) -> DeviceGroup:
    rows = DeviceGroup.objects.for_org(actor.organization_id)
    found: DeviceGroup | None = rows.filter(id=group_id).first()
    if found is None:
        raise NotFound("There is no such device group.")
    return found


def _in_groups(actor: Actor, groups: Sequence[DeviceGroup]) -> Q:
    members = GroupMember.objects.for_org(actor.organization_id).filter(
        group_id__in=[g.id for g in groups if g.is_static]
    )
    found = Q(id__in=members.values("device_id"))
    tags = [g.tag for g in groups if not g.is_static]
    return found | Q(tags__overlap=tags) if tags else found


def _count_tagged(organization_id: UUID, tags: Sequence[str]) -> dict[str, int]:
    """How many devices have each of these tags, in one query."""
    if not tags:
        return {}
    rows = Device.objects.for_org(organization_id).filter(tags__overlap=list(tags))
    living = rows.exclude(lifecycle=Lifecycle.DECOMMISSIONED)
    each = living.annotate(tag=Func(F("tags"), function="unnest")).values_list("tag")
    return dict(each.annotate(n=Count("id", distinct=True)))


def _groups_by_tag(organization_id: UUID) -> dict[str, list[UUID]]:
    found: dict[str, list[UUID]] = defaultdict(list)
    rows = DeviceGroup.objects.for_org(organization_id).exclude(tag="")
    for group_id, tag in rows.order_by("id").values_list("id", "tag"):
        found[tag].append(group_id)
    return found


def _overdue(organization_id: UUID) -> dict[tuple[str, str], int]:
    """Devices stored as reachable whose deadline has passed, by where they are counted."""
    rows = DeviceState.objects.for_org(organization_id).filter(
        connectivity__in=CONNECTED, offline_at__lte=clock.now()
    )
    counted = rows.values_list("device__lifecycle", "connectivity").annotate(n=Count("device_id"))
    return {(lifecycle, connectivity): n for lifecycle, connectivity, n in counted}


def _cached(key: str) -> Any:
    try:
        return cache.get(key)
    except (RedisError, OSError):
        return None


def _cache(key: str, value: Any) -> None:
    try:
        cache.set(key, value, timeout=VERSIONS_KEPT_SECONDS)
    except (RedisError, OSError):
        return


def _swept_lately(organization_id: UUID) -> bool:
    try:
        return cache.get(sweep_stamp(organization_id)) is not None
    except (RedisError, OSError):
        return False
