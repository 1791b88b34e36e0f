"""Making groups and choosing their devices."""

from collections.abc import Collection, Mapping
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
    DeviceGroupFollowsTag,
    DeviceGroupNameTaken,
    DeviceIsDecommissioned,
)
from apps.devices.models import Device, DeviceGroup, GroupMember
from apps.devices.permissions import (
    ADD_DEVICES_TO_GROUP,
    CREATE_DEVICE_GROUP,
    DELETE_DEVICE_GROUP,
    REMOVE_DEVICES_FROM_GROUP,
    VIEW_DEVICE_GROUPS,
)
from apps.devices.selectors.places import require_either, require_on_devices, require_on_group
from apps.devices.types import DeviceGroupChanged
from apps.events.services.outbox import publish

MAX_NAME_LENGTH = 100


def create_device_group(actor: Actor, *, name: str, tag: str = "") -> DeviceGroup:
    """Makes a group: of chosen devices, or with `tag` of all devices that have it.

    Not idempotent. Raises `DeviceGroupNameTaken`, `InvalidRequest`.
    """
    require(actor, CREATE_DEVICE_GROUP)
    group = DeviceGroup(
        organization_id=actor.organization_id,
        name=_checked_name(name),
        tag=_checked_tag(tag),
        created_at=clock.now(),
    )
    try:
        with transaction.atomic():
            group.save(force_insert=True)
    except IntegrityError as error:
        raise DeviceGroupNameTaken from error
    changes = {"name": group.name, "tag": group.tag}
    _announce(actor, CREATE_DEVICE_GROUP, group, changes)
    return group


def delete_device_group(actor: Actor, group_id: UUID) -> None:
    """Deletes a group; its devices stay. Rollouts that were made for it keep their devices."""
    group = _locked(actor, group_id, DELETE_DEVICE_GROUP)
    members = Device.objects.for_org(actor.organization_id).filter(group_ids__contains=[group_id])
    list(_in_order(members).values_list("id"))
    _announce(actor, DELETE_DEVICE_GROUP, group, {"name": [group.name, None]})
    GroupMember.objects.for_org(actor.organization_id).filter(group_id=group_id).delete()
    DeviceGroup.objects.for_org(actor.organization_id).filter(id=group_id).delete()


def add_devices_to_group(actor: Actor, group_id: UUID, device_ids: Collection[UUID]) -> DeviceGroup:
    """Puts devices into a static group. Those that are in it stay in it.

    It needs the right on the group and on each device: nobody fetches a device into reach. Raises
    `NotFound` where one of them is missing, `DeviceGroupFollowsTag`, `DeviceIsDecommissioned`; then
    nothing changes.
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
    missing, `DeviceGroupFollowsTag`.
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
        raise DeviceGroupFollowsTag
    return group


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise invalid("name", "invalid_name", "A name has 1 to 100 printable characters.")
    return name


def _checked_tag(tag: str) -> str:
    return tag_rules.checked([tag], field="tag")[0] if tag else ""
