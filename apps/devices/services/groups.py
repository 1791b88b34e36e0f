"""Making groups and choosing their devices."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import Permission, require
from apps.core.errors import NotFound, invalid
from apps.devices.domain import tags as tag_rules
from apps.devices.domain.states import Lifecycle
from apps.devices.errors import (
    DeviceGroupFollowsFilter,
    DeviceGroupFollowsTag,
    DeviceGroupInUse,
    DeviceGroupNameTaken,
    DeviceGroupNotSmart,
    DeviceIsDecommissioned,
)
from apps.devices.models import Device, DeviceGroup, GroupMember
from apps.devices.permissions import (
    ADD_DEVICES_TO_GROUP,
    CREATE_DEVICE_GROUP,
    DELETE_DEVICE_GROUP,
    REMOVE_DEVICES_FROM_GROUP,
    UPDATE_DEVICE_GROUP,
    VIEW_DEVICE_GROUPS,
)
from apps.devices.selectors.filtering import read_filter, require_no_cycle
from apps.devices.selectors.places import require_either, require_on_devices, require_on_group
from apps.devices.types import DeviceGroupChanged
from apps.events.services.outbox import publish

MAX_NAME_LENGTH = 100


def create_device_group(actor: Actor, *, name: str, tag: str = "", filter: str = "") -> DeviceGroup:
    """Makes a group: of chosen devices, with `tag` of all that have it, with `filter` of all that
    match it, now and later.

    Not idempotent. Raises `DeviceGroupNameTaken`, `InvalidRequest`, `FilterError`.
    """
    require(actor, CREATE_DEVICE_GROUP)
    if tag and filter:
        raise invalid("filter", "one_kind", "A group follows a tag or a filter, not both.")
    group = DeviceGroup(
        organization_id=actor.organization_id,
        name=_checked_name(name),
        tag=_checked_tag(tag),
        created_at=clock.now(),
    )
    if filter:
        _hold_smart_groups(actor)
        _set_filter(actor, group, filter)
    _save(group, force_insert=True)
    changes = {"name": group.name, "tag": group.tag, "filter": group.filter}
    _announce(actor, CREATE_DEVICE_GROUP, group, changes)
    return group


def update_device_group(
    actor: Actor, group_id: UUID, *, name: str | None = None, filter: str | None = None
) -> DeviceGroup:
    """Renames a group, and gives a smart one another filter: its devices are others at once.

    Filters that speak of the group keep doing so. Idempotent. Raises `DeviceGroupNotSmart`,
    `DeviceGroupNameTaken`, `InvalidRequest`, `FilterError`, also for a filter that leads back.
    """
    if filter is not None:
        require_either(actor, UPDATE_DEVICE_GROUP, VIEW_DEVICE_GROUPS)
        _hold_smart_groups(actor)
    group = _locked(actor, group_id, UPDATE_DEVICE_GROUP)
    before = {"name": group.name, "filter": group.filter}
    if name is not None:
        group.name = _checked_name(name)
    if filter is not None:
        if not group.is_smart:
            raise DeviceGroupNotSmart
        _set_filter(actor, group, filter)
    after = {"name": group.name, "filter": group.filter}
    if after == before:
        return group
    _save(group, update_fields=["name", "filter", "filter_group_ids"])
    changes = {key: [old, after[key]] for key, old in before.items() if old != after[key]}
    _announce(actor, UPDATE_DEVICE_GROUP, group, changes)
    return group


def delete_device_group(actor: Actor, group_id: UUID) -> None:
    """Deletes a group; its devices stay. Rollouts that were made for it keep their devices.

    Raises `DeviceGroupInUse` while another group's filter speaks of it.
    """
    group = _locked(actor, group_id, DELETE_DEVICE_GROUP)
    _require_unused(actor, group)
    members = Device.objects.for_org(actor.organization_id).filter(group_ids__contains=[group_id])
    list(_in_order(members).values_list("id"))
    _announce(actor, DELETE_DEVICE_GROUP, group, {"name": [group.name, None]})
    GroupMember.objects.for_org(actor.organization_id).filter(group_id=group_id).delete()
    DeviceGroup.objects.for_org(actor.organization_id).filter(id=group_id).delete()


def add_devices_to_group(actor: Actor, group_id: UUID, device_ids: Collection[UUID]) -> DeviceGroup:
    """Puts devices into a static group. Those that are in it stay in it.

    It needs the right on the group and on each device: nobody fetches a device into reach. Raises
    `NotFound` where one of them is missing, `DeviceGroupFollowsTag`, `DeviceGroupFollowsFilter`,
    `DeviceIsDecommissioned`; then nothing changes.
    """
    group = _static(actor, group_id, ADD_DEVICES_TO_GROUP)
    wanted = set(device_ids)
    lives = dict(_devices(actor, wanted).values_list("id", "lifecycle"))
    if len(lives) != len(wanted):
        raise NotFound("There is no such device.")
    require_on_devices(actor, ADD_DEVICES_TO_GROUP, wanted)
    if Lifecycle.DECOMMISSIONED in lives.values():
        raise DeviceIsDecommissioned
    members = GroupMember.objects.for_org(actor.organization_id)
    present = set(members.filter(group_id=group.id).values_list("device_id", flat=True))
    added = sorted(wanted - present)
    if added:
        members.bulk_create(
            [
                GroupMember(organization_id=actor.organization_id, group=group, device_id=device_id)
                for device_id in added
            ]
        )
        changes = {"added": [str(device_id) for device_id in added]}
        _announce(actor, ADD_DEVICES_TO_GROUP, group, changes)
    return group


def remove_devices_from_group(
    actor: Actor, group_id: UUID, device_ids: Collection[UUID]
) -> DeviceGroup:
    """Takes devices out of a static group. Those that are not in it change nothing.

    It needs the right on the group and on each device. Raises `NotFound` where one of them is
    missing, `DeviceGroupFollowsTag`, `DeviceGroupFollowsFilter`.
    """
    group = _static(actor, group_id, REMOVE_DEVICES_FROM_GROUP)
    wanted = set(device_ids)
    if len(_devices(actor, wanted)) != len(wanted):
        raise NotFound("There is no such device.")
    require_on_devices(actor, REMOVE_DEVICES_FROM_GROUP, wanted)
    members = GroupMember.objects.for_org(actor.organization_id)
    rows = members.filter(group_id=group.id, device_id__in=wanted)
    removed = sorted(rows.values_list("device_id", flat=True))
    if removed:
        rows.delete()
        changes = {"removed": [str(device_id) for device_id in removed]}
        _announce(actor, REMOVE_DEVICES_FROM_GROUP, group, changes)
    return group


def _announce(
    actor: Actor, permission: Permission, group: DeviceGroup, changes: Mapping[str, object]
) -> None:
    record(actor, permission.name, group, changes=changes)
    publish(actor, DeviceGroupChanged(group_id=group.id))


def _devices(actor: Actor, device_ids: Collection[UUID]) -> QuerySet[Device]:
    """The devices, locked in one order: where they stand must not change meanwhile."""
    rows: QuerySet[Device] = Device.objects.for_org(actor.organization_id)
    return _in_order(rows.filter(id__in=device_ids))


def _in_order(rows: QuerySet[Device]) -> QuerySet[Device]:
    """The same devices, locked as they are read: whoever locks several does it in this order."""
    return rows.order_by("id").select_for_update(no_key=True)


def _save(group: DeviceGroup, **how: Any) -> None:
    try:
        with transaction.atomic():
            group.save(**how)
    except IntegrityError as error:
        raise DeviceGroupNameTaken from error


def _hold_smart_groups(actor: Actor) -> None:
    """Locks all of them, in one order, before anything else: two filters that change at once could
    make a cycle together."""
    rows = DeviceGroup.objects.for_org(actor.organization_id).exclude(filter="")
    list(rows.order_by("id").select_for_update(no_key=True).values_list("id"))


def _set_filter(actor: Actor, group: DeviceGroup, text: str) -> None:
    """Gives a group its filter; what this speaks of is locked, so that it cannot go meanwhile."""
    rows = DeviceGroup.objects.for_org(actor.organization_id)
    wanted = rows.filter(id__in=read_filter(actor, text).group_ids)
    list(wanted.order_by("id").select_for_update(no_key=True).values_list("id"))
    found = read_filter(actor, text)
    require_no_cycle(actor.organization_id, group.id, found.filter)
    group.filter, group.filter_group_ids = str(found), sorted(found.group_ids)


def _require_unused(actor: Actor, group: DeviceGroup) -> None:
    """The group is locked: a filter that is to speak of it waits, and then does not find it."""
    rows = DeviceGroup.objects.for_org(actor.organization_id)
    users = rows.filter(filter_group_ids__contains=[group.id]).order_by("name")[:20]
    names = list(users.values_list("name", flat=True))
    if names:
        text = f"The filters of these groups speak of it: {', '.join(names)}. Change them first."
        raise DeviceGroupInUse(text, data={"groups": names})


def _locked(actor: Actor, group_id: UUID, permission: Permission) -> DeviceGroup:
    require_either(actor, permission, VIEW_DEVICE_GROUPS)
    rows = DeviceGroup.objects.for_org(actor.organization_id).select_for_update(no_key=True)
    group: DeviceGroup | None = rows.filter(id=group_id).first()
    if group is None:
        raise NotFound("There is no such device group.")
    require_on_group(actor, permission, group)
    return group


def _static(actor: Actor, group_id: UUID, permission: Permission) -> DeviceGroup:
    group = _locked(actor, group_id, permission)
    if not group.is_static:
        raise DeviceGroupFollowsFilter if group.is_smart else DeviceGroupFollowsTag
    return group


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise invalid("name", "invalid_name", "A name has 1 to 100 printable characters.")
    return name


def _checked_tag(tag: str) -> str:
    return tag_rules.checked([tag], field="tag")[0] if tag else ""
