"""Where devices and groups stand, and which of them somebody's right reaches.

The rule is `apps.core.rights.decide`; this is the same rule for lists, in SQL. A device stands in
the groups that it was put into and in those whose tag it has; a group stands in itself and in the
team that owns it. Whoever holds a right in the whole organization gets lists as they are: for them
nothing here asks the database. Everything that others see of devices goes through `within`.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection
from django.db.models import Model, Q, QuerySet

from apps.core.actors import Actor, ActorHere
from apps.core.authz import Permission, require
from apps.core.errors import NotFound
from apps.core.rights import NOWHERE, Place
from apps.devices.models import Device, DeviceGroup
from apps.devices.permissions import VIEW_DEVICE_GROUPS, VIEW_DEVICES

M = TypeVar("M", bound=Model)

_REACHED = """
    SELECT id, tag FROM devices_device_group
    WHERE organization_id = %s AND (id = ANY(%s::uuid[]) OR team_id = ANY(%s::uuid[])) ORDER BY id
"""


@dataclass(frozen=True, slots=True)
class GroupsInReach:
    """What a limited right covers."""

    groups: tuple[tuple[UUID, str], ...] = ()
    """Each with its tag, empty for a static one."""

    @property
    def static_ids(self) -> tuple[UUID, ...]:
        """The groups of chosen devices."""
        return tuple(group_id for group_id, tag in self.groups if not tag)

    @property
    def tags(self) -> tuple[str, ...]:
        """What the other groups follow."""
        return tuple(sorted({tag for _, tag in self.groups if tag}))

    def __bool__(self) -> bool:
        return bool(self.groups)

    def condition(self, via: str = "") -> Q:
        """Devices that stand in one of the groups; `via` is the link that leads to the device.

        Both sides are arrays of the device with an index and statistics of their own, compared
        with arrays that are known beforehand: no subquery runs for each row.
        """
        prefix, found = f"{via}__" if via else "", Q()
        static_ids, tags = list(self.static_ids), list(self.tags)
        if static_ids:
            found |= Q(**{f"{prefix}group_ids__overlap": static_ids})
        if tags:
            found |= Q(**{f"{prefix}tags__overlap": tags})
        return found


def place_of(device: Device) -> Place:
    """Where one device stands now."""
    return places_of(device.organization_id, [device.id])[device.id]


def places_of(organization_id: UUID, device_ids: Collection[UUID]) -> dict[UUID, Place]:
    """Where these devices stand now, by id; one that is missing stands nowhere."""
    found = dict.fromkeys(device_ids, NOWHERE)
    devices = Device.objects.for_org(organization_id).filter(id__in=device_ids)
    rows = list(devices.values_list("id", "group_ids", "tags"))
    ids = {group_id for _, group_ids, _ in rows for group_id in group_ids}
    tags = {tag for _, _, tags in rows for tag in tags}
    groups = list(_groups_of(organization_id, ids, tags)) if ids or tags else []
    for device_id, group_ids, device_tags in rows:
        own = [g for g in groups if g.id in group_ids or (g.tag and g.tag in device_tags)]
        found[device_id] = _place(own)
    return found


def place_of_group(group: DeviceGroup) -> Place:
    """Where a group stands: in itself, and in the team that owns it."""
    return _place([group])


def within(actor: Actor, permission: Permission, rows: QuerySet[M], *, via: str = "") -> Any:
    """Those of `rows` whose device the actor's right reaches: `decide` as a condition.

    `rows` are devices, or with `via` rows of another table whose link of that name leads to one.
    """
    reached = groups_in_reach(actor, permission)
    if reached is None:
        return rows
    return rows.filter(reached.condition(via)) if reached else rows.none()


def groups_within(actor: Actor, permission: Permission, rows: QuerySet[M], *, via: str = "") -> Any:
    """Those of `rows` whose device group the actor's right reaches; `via` as for `within`."""
    reach = actor.reach(permission.name)
    if reach is None:
        return rows
    prefix = f"{via}__" if via else ""
    by_id = Q(**{f"{prefix}id__in": reach.group_ids})
    return rows.filter(by_id | Q(**{f"{prefix}team_id__in": reach.team_ids}))


def groups_in_reach(actor: Actor, permission: Permission) -> GroupsInReach | None:
    """The groups that a right is limited to, None for everywhere: `groups_within` for lists.

    It comes before every list of theirs, so it is one short statement without Django's ado.
    """
    reach = actor.reach(permission.name)
    if reach is None:
        return None
    named: list[Any] = [actor.organization_id, list(reach.group_ids), list(reach.team_ids)]
    with connection.cursor() as cursor:
        cursor.execute(_REACHED, named)
        return GroupsInReach(tuple(cursor.fetchall()))


def group_ids_in_reach(actor: Actor, permission: Permission) -> list[UUID] | None:
    """The ids of all groups, static or by tag, that a right is limited to; None for everywhere."""
    reached = groups_in_reach(actor, permission)
    return None if reached is None else [group_id for group_id, _ in reached.groups]


def reaches_groups(actor: Actor, permission: Permission, group_ids: Collection[UUID]) -> bool:
    """Whether the right reaches each of these groups, and there is at least one."""
    reached = group_ids_in_reach(actor, permission)
    return reached is None or (bool(group_ids) and set(group_ids) <= set(reached))


def require_either(actor: Actor, permission: Permission, sight: Permission) -> None:
    """Refuses, before anything is looked up, whoever holds the right nowhere and sees nothing."""
    if not actor.may_somewhere(permission.name) and not actor.may_somewhere(sight.name):
        require(actor, permission)


def require_where(
    actor: Actor,
    permission: Permission,
    *,
    sight: Permission,
    holds: Callable[[Permission], bool],
    missing: str = "",
) -> None:
    """Whether the actor may do something to an object that exists.

    What is in sight is refused by the name of the missing right; what is not answers as if it were
    missing. `holds` says whether a right reaches the object.
    """
    if actor.has_perm(permission.name) or holds(permission):
        return
    if holds(sight):
        require(actor, permission)
    raise NotFound(missing)


def require_on_devices(actor: Actor, permission: Permission, device_ids: Collection[UUID]) -> None:
    """The right to do something to each of these devices, which exist."""
    if actor.has_perm(permission.name) or not device_ids:
        return
    places = places_of(actor.organization_id, device_ids)
    require_where(
        actor,
        permission,
        sight=VIEW_DEVICES,
        holds=lambda right: all(actor.may(right.name, place) for place in places.values()),
        missing="There is no such device.",
    )


def require_on_group(actor: Actor, permission: Permission, group: DeviceGroup) -> None:
    """The right to do something to a group, which exists."""
    place = place_of_group(group)
    require_where(
        actor,
        permission,
        sight=VIEW_DEVICE_GROUPS,
        holds=lambda right: actor.may(right.name, place),
        missing="There is no such device group.",
    )


def seen_device_ids(actor: Actor, device_ids: Collection[UUID]) -> set[UUID]:
    """Those of these devices that the actor may see; none for one who sees no device anywhere."""
    rows = Device.objects.for_org(actor.organization_id).filter(id__in=device_ids)
    return set(within(actor, VIEW_DEVICES, rows).values_list("id", flat=True))


def list_groups_granted(actor: Actor) -> list[DeviceGroup]:
    """The groups in which the actor holds any right that it does not hold everywhere."""
    group_ids = {grant.group_id for grant in actor.grants if grant.group_id}
    team_ids = {grant.team_id for grant in actor.grants if grant.team_id}
    rows = DeviceGroup.objects.for_org(actor.organization_id)
    wanted = Q(id__in=group_ids) | Q(team_id__in=team_ids)
    return list(rows.filter(wanted).order_by("id"))


def actor_at(actor: Actor, device: Device) -> ActorHere:
    """The actor for the page of one device: buttons ask what it may do to this one."""
    place = place_of(device) if actor.grants else NOWHERE
    return ActorHere(actor, lambda name: actor.may(name, place))


def actor_at_group(actor: Actor, group: DeviceGroup) -> ActorHere:
    """The same for the page of one group."""
    place = place_of_group(group)
    return ActorHere(actor, lambda name: actor.may(name, place))


def groups_of(organization_id: UUID, devices: Sequence[Device]) -> QuerySet[DeviceGroup]:
    """The groups that any of these devices is in, by choice or by tag."""
    ids = {group_id for device in devices for group_id in device.group_ids}
    tags = {tag for device in devices for tag in device.tags}
    return _groups_of(organization_id, ids, tags)


def list_groups_of(organization_id: UUID, devices: Sequence[Device]) -> list[DeviceGroup]:
    """The same, in order: for one who is asked about them, whoever may see them."""
    return list(groups_of(organization_id, devices).order_by("id"))


def list_tag_groups(organization_id: UUID, tags: Collection[str]) -> list[DeviceGroup]:
    """The groups that follow one of these tags."""
    rows = DeviceGroup.objects.for_org(organization_id).filter(tag__in=[t for t in tags if t])
    return list(rows.order_by("id"))


def _groups_of(
    organization_id: UUID, group_ids: Collection[UUID], tags: Collection[str]
) -> QuerySet[DeviceGroup]:
    rows = DeviceGroup.objects.for_org(organization_id)
    wanted = Q(id__in=group_ids, tag="") | Q(tag__in=[tag for tag in tags if tag])
    found: QuerySet[DeviceGroup] = rows.filter(wanted)
    return found


def _place(groups: Sequence[DeviceGroup]) -> Place:
    teams = (group.team_id for group in groups)
    return Place(frozenset(group.id for group in groups), frozenset(team for team in teams if team))
