"""Totals: kept ones for those who see every device, counted ones for those who see some.

A number is as good as a list: whoever reaches some devices only is told how many those are, and
never how many there are besides.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.cache import cache
from django.db import connection
from django.db.models import Case, Count, F, Func, QuerySet, Sum, Value, When
from redis.exceptions import RedisError

from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require_somewhere
from apps.devices.domain.states import CONNECTED, Connectivity, Lifecycle
from apps.devices.models import Device, DeviceCount, DeviceGroup, DeviceState, GroupMember
from apps.devices.permissions import VIEW_DEVICE_GROUPS, VIEW_DEVICES
from apps.devices.selectors.filtering import members_of
from apps.devices.selectors.places import GroupsInReach, groups_in_reach, groups_within, within

VERSIONS_KEPT_SECONDS = 30

_VERSIONS = """
    SELECT installed.key, installed.value, count(*)
    FROM devices_device AS device, jsonb_each_text(device.installed) AS installed
    WHERE device.organization_id = %s AND device.lifecycle <> %s{reached}
    GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT %s
"""
_REACHED = " AND (device.group_ids && %s::uuid[] OR device.tags && %s::varchar[])"


@dataclass(frozen=True, slots=True)
class InstalledCount:
    """How many devices have one version of one component."""

    name: str
    version: str
    count: int


def count_for_quota(organization_id: UUID) -> int:
    """How many devices count against the quota: all that are not decommissioned."""
    rows = DeviceCount.objects.for_org(organization_id).exclude(lifecycle=Lifecycle.DECOMMISSIONED)
    return int(rows.aggregate(total=Sum("count"))["total"] or 0)


def count_connected(organization_id: UUID) -> int:
    """How many devices are connected, as the kept totals say."""
    rows = DeviceCount.objects.for_org(organization_id).filter(connectivity__in=CONNECTED)
    return int(rows.aggregate(total=Sum("count"))["total"] or 0)


def count_devices(actor: Actor) -> dict[tuple[str, str], int]:
    """How many devices are in each (lifecycle, connectivity), of those that the actor may see.

    Whoever sees all gets the kept totals, which are right while the sweep for deadlines runs.
    Where it has not run lately, devices whose deadline has passed are moved to offline here.
    """
    require_somewhere(actor, VIEW_DEVICES)
    reached = groups_in_reach(actor, VIEW_DEVICES)
    if reached is not None:
        return _count_in_reach(actor, reached)
    rows = DeviceCount.objects.for_org(actor.organization_id)
    counts = {(r.lifecycle, r.connectivity): r.count for r in rows}
    if not _swept_lately(actor.organization_id):
        for (lifecycle, connectivity), late in _overdue(actor.organization_id).items():
            offline = (lifecycle, Connectivity.OFFLINE.value)
            counts[lifecycle, connectivity] = counts.get((lifecycle, connectivity), 0) - late
            counts[offline] = counts.get(offline, 0) + late
    return counts


def count_pending_devices(actor: Actor) -> int:
    """How many devices wait for somebody's approval, of those that the actor may see."""
    require_somewhere(actor, VIEW_DEVICES)
    if actor.reach(VIEW_DEVICES.name) is None:
        totals = DeviceCount.objects.for_org(actor.organization_id)
        waiting = totals.filter(lifecycle=Lifecycle.PENDING).values_list("count", flat=True)
        return sum(waiting)
    rows = Device.objects.for_org(actor.organization_id).filter(lifecycle=Lifecycle.PENDING)
    return int(within(actor, VIEW_DEVICES, rows).count())


def count_installed_versions(actor: Actor, *, limit: int) -> list[InstalledCount]:
    """The most common installed versions of the devices that the actor may see; up to 30 s old.

    Decommissioned devices are left out. It reads every device, so pages that are asked again each
    second share one answer with all that see the same devices.
    """
    require_somewhere(actor, VIEW_DEVICES)
    reached = groups_in_reach(actor, VIEW_DEVICES)
    key = f"devices:versions:{actor.organization_id}:{limit}:{_digest(reached)}"
    found: list[InstalledCount] | None = _cached(key)
    if found is None:
        found = _installed_versions(actor.organization_id, reached, limit)
        _cache(key, found)
    return found


def count_group_devices(actor: Actor, group_ids: Collection[UUID]) -> dict[UUID, int]:
    """How many devices each of these groups has, those taken out excepted.

    Only groups and devices that the actor may see count; a group out of reach is left out.
    """
    require_somewhere(actor, VIEW_DEVICE_GROUPS)
    rows = DeviceGroup.objects.for_org(actor.organization_id).filter(id__in=group_ids)
    groups = list(groups_within(actor, VIEW_DEVICE_GROUPS, rows))
    found = dict.fromkeys((g.id for g in groups), 0)
    tagged = _count_tagged(actor, [g.tag for g in groups if g.tag])
    found |= {g.id: tagged.get(g.tag, 0) for g in groups if g.tag}
    found |= _count_chosen(actor, [g.id for g in groups if g.is_static])
    return found | _count_matching(actor, [g for g in groups if g.is_smart])


def sweep_stamp(organization_id: UUID) -> str:
    """The cache key that exists while the organization's deadlines have been swept lately."""
    return f"devices:swept:{organization_id}"


def _count_in_reach(actor: Actor, reached: GroupsInReach) -> dict[tuple[str, str], int]:
    """Counts one by one, with the deadline, as the list shows each device."""
    if not reached:
        return {}
    rows = Device.objects.for_org(actor.organization_id).filter(reached.condition())
    silent = When(
        state__connectivity__in=CONNECTED,
        state__offline_at__lte=clock.now(),
        then=Value(Connectivity.OFFLINE.value),
    )
    shown = rows.annotate(shown=Case(silent, default=F("state__connectivity")))
    counted = shown.values_list("lifecycle", "shown").annotate(n=Count("id"))
    return {(lifecycle, connectivity): n for lifecycle, connectivity, n in counted}


def _installed_versions(
    organization_id: UUID, reached: GroupsInReach | None, limit: int
) -> list[InstalledCount]:
    places: list[Any] = []
    if reached is not None:
        places = [list(reached.static_ids), list(reached.tags)]
    statement = _VERSIONS.format(reached=_REACHED if places else "")
    with connection.cursor() as cursor:
        cursor.execute(statement, [organization_id, Lifecycle.DECOMMISSIONED, *places, limit])
        return [InstalledCount(*row) for row in cursor.fetchall()]


def _count_chosen(actor: Actor, group_ids: Sequence[UUID]) -> dict[UUID, int]:
    rows = GroupMember.objects.for_org(actor.organization_id).filter(group_id__in=group_ids)
    living = rows.exclude(device__lifecycle=Lifecycle.DECOMMISSIONED)
    seen = within(actor, VIEW_DEVICES, living, via="device")
    return dict(seen.values_list("group_id").annotate(n=Count("id")))


def _count_tagged(actor: Actor, tags: Sequence[str]) -> dict[str, int]:
    """How many devices have each of these tags, in one query."""
    if not tags:
        return {}
    rows = Device.objects.for_org(actor.organization_id).filter(tags__overlap=list(tags))
    living = rows.exclude(lifecycle=Lifecycle.DECOMMISSIONED)
    seen: QuerySet[Device] = within(actor, VIEW_DEVICES, living)
    each = seen.annotate(tag=Func(F("tags"), function="unnest")).values_list("tag")
    return dict(each.annotate(n=Count("id", distinct=True)))


def _count_matching(actor: Actor, groups: Sequence[DeviceGroup]) -> dict[UUID, int]:
    """How many devices match each smart group's filter, in one pass over the devices."""
    if not groups:
        return {}
    rows = Device.objects.for_org(actor.organization_id).exclude(lifecycle=Lifecycle.DECOMMISSIONED)
    seen: QuerySet[Device] = within(actor, VIEW_DEVICES, rows)
    each = {f"n{at}": Count("id", filter=members_of(g)) for at, g in enumerate(groups)}
    counted = seen.aggregate(**each)
    return {g.id: counted[f"n{at}"] for at, g in enumerate(groups)}


def _overdue(organization_id: UUID) -> dict[tuple[str, str], int]:
    """Devices stored as reachable whose deadline has passed, by where they are counted."""
    rows = DeviceState.objects.for_org(organization_id).filter(
        connectivity__in=CONNECTED, offline_at__lte=clock.now()
    )
    counted = rows.values_list("device__lifecycle", "connectivity").annotate(n=Count("device_id"))
    return {(lifecycle, connectivity): n for lifecycle, connectivity, n in counted}


def _digest(reached: GroupsInReach | None) -> str:
    """A name for what can be seen: those who see the same share a cached answer."""
    if reached is None:
        return "all"
    return hashlib.sha256(repr((reached.static_ids, reached.tags)).encode()).hexdigest()[:32]


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
