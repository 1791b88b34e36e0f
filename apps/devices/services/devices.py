"""What people and the platform do with devices."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor, ActorKind
from apps.core.authz import Permission, require
from apps.core.errors import NotFound, PermissionDenied, invalid
from apps.devices.domain import facts as fact_rules
from apps.devices.domain import tags as tag_rules
from apps.devices.domain.states import CONNECTED, ENROLLED, Connectivity, Lifecycle, may_follow
from apps.devices.errors import (
    DeviceIsDecommissioned,
    DeviceNotActive,
    DeviceNotPending,
    HardwareIdInUse,
)
from apps.devices.models import Device, DeviceGroup, DeviceState, GroupMember
from apps.devices.permissions import (
    ADD_DEVICES_TO_GROUP,
    APPROVE_DEVICE,
    DECOMMISSION_DEVICE,
    QUARANTINE_DEVICE,
    REGISTER_DEVICE,
    RELEASE_DEVICE,
    REMOVE_DEVICES_FROM_GROUP,
    REPORT_STATE,
    UPDATE_DEVICE,
    VIEW_DEVICES,
)
from apps.devices.selectors import find_enrolled_device
from apps.devices.selectors.places import (
    list_tag_groups,
    place_of,
    place_of_group,
    require_either,
    require_on_devices,
)
from apps.devices.services.counts import count_moves
from apps.devices.services.presence import end_presence
from apps.devices.types import (
    DeviceApproved,
    DeviceDecommissioned,
    DeviceQuarantined,
    DeviceRegistered,
    DeviceReleased,
    DeviceUpdated,
    Facts,
    NewDevice,
)
from apps.events.services.outbox import publish
from apps.organizations.services.quotas import require_room

MAX_NAME_LENGTH = 200
MAX_REASON_LENGTH = 200
FACT_FIELDS = {
    "os_name": 200,
    "os_version": 200,
    "kernel": 200,
    "architecture": 64,
    "model": 200,
    "serial": 200,
    "hostname": 253,
}


# What else ends when a device is released; the apps above this one say so in `ready()`.
_RELEASES: list[Callable[[Actor, Device], Any]] = []


def on_release(function: Callable[[Actor, Device], Any]) -> None:
    """Registers what else ends when somebody releases a device, whose row is locked then."""
    _RELEASES.append(function)


def update_device(
    actor: Actor,
    device_id: UUID,
    *,
    name: str | None = None,
    add_tags: Sequence[str] = (),
    remove_tags: Sequence[str] = (),
) -> Device:
    """Renames a device and changes its tags. Repeating it changes nothing.

    A tag that a group follows puts the device into that group, or takes it out: that needs the
    right to do so, on the group and on the device. Raises `InvalidRequest` for a bad name or tag,
    `DeviceIsDecommissioned`.
    """
    device = _locked(actor, device_id, UPDATE_DEVICE)
    before = {"name": device.name, "tags": list(device.tags)}
    if name is not None:
        device.name = _checked_name(name)
    device.tags = _checked_tags(before["tags"], add=add_tags, remove=remove_tags)
    _require_moves(actor, device, before["tags"])
    changes = {
        f: [old, getattr(device, f)] for f, old in before.items() if old != getattr(device, f)
    }
    if not changes:
        return device
    if device.lifecycle == Lifecycle.DECOMMISSIONED:
        raise DeviceIsDecommissioned
    device.save(update_fields=sorted(changes))
    record(actor, UPDATE_DEVICE.name, device, changes=changes)
    publish(actor, DeviceUpdated(device_id=device.id))
    return device


def approve_device(actor: Actor, device_id: UUID) -> Device:
    """Lets a waiting device in; it gets its certificate when it asks next.

    Approving an active device changes nothing. Raises `DeviceNotPending`, and `HardwareIdInUse`
    while another device with the same hardware identity has not been decommissioned.
    """
    device = _locked(actor, device_id, APPROVE_DEVICE)
    if device.lifecycle == Lifecycle.ACTIVE:
        return device
    if device.lifecycle != Lifecycle.PENDING:
        raise DeviceNotPending
    other = find_enrolled_device(actor.organization_id, device.hardware_id)
    if other is not None:
        raise _in_use(other)
    device.approved_at = clock.now()
    _move(actor, device, Lifecycle.ACTIVE, fields=["approved_at"])
    record(actor, APPROVE_DEVICE.name, device, changes={"lifecycle": ["pending", "active"]})
    publish(actor, DeviceApproved(device_id=device.id))
    return device


def quarantine_device(actor: Actor, device_id: UUID, *, reason: str) -> Device:
    """Keeps a device from getting any work; it stays connected, so that one can look at it.

    Repeating it changes nothing. Raises `DeviceNotActive`, `DeviceIsDecommissioned`.
    """
    device = _locked(actor, device_id, QUARANTINE_DEVICE)
    if device.lifecycle == Lifecycle.QUARANTINED:
        return device
    _require_life(device)
    if device.lifecycle != Lifecycle.ACTIVE:
        raise DeviceNotActive
    reason = _checked_reason(reason)
    _move(actor, device, Lifecycle.QUARANTINED, reason=reason)
    changes = {"lifecycle": ["active", "quarantined"], "reason": reason}
    record(actor, QUARANTINE_DEVICE.name, device, changes=changes)
    publish(actor, DeviceQuarantined(device_id=device.id, reason=reason))
    return device


def release_device(actor: Actor, device_id: UUID) -> Device:
    """Ends a quarantine, a person's and one that followed failures. Releasing a device that is in
    none changes nothing.

    Raises `DeviceNotActive` for a waiting one, `DeviceIsDecommissioned`.
    """
    device = _locked(actor, device_id, RELEASE_DEVICE)
    if device.lifecycle in ENROLLED:
        for release in _RELEASES:
            release(actor, device)
    if device.lifecycle == Lifecycle.ACTIVE:
        return device
    _require_life(device)
    if device.lifecycle != Lifecycle.QUARANTINED:
        raise DeviceNotActive("The device is not in quarantine.")
    _move(actor, device, Lifecycle.ACTIVE)
    record(actor, RELEASE_DEVICE.name, device, changes={"lifecycle": ["quarantined", "active"]})
    publish(actor, DeviceReleased(device_id=device.id))
    return device


def decommission_device(actor: Actor, device_id: UUID, *, reason: str) -> Device:
    """Takes a device out for good: its certificates end, its stream is closed, its history stays.

    Also refuses a waiting device. Its machine can enroll again, as a new device. Repeating it
    changes nothing.
    """
    device = _locked(actor, device_id, DECOMMISSION_DEVICE)
    if device.lifecycle == Lifecycle.DECOMMISSIONED:
        return device
    reason = _checked_reason(reason)
    before = device.lifecycle
    device.decommissioned_at = clock.now()
    _move(actor, device, Lifecycle.DECOMMISSIONED, reason=reason, fields=["decommissioned_at"])
    changes = {"lifecycle": [before, "decommissioned"], "reason": reason}
    record(actor, DECOMMISSION_DEVICE.name, device, changes=changes)
    publish(actor, DeviceDecommissioned(device_id=device.id, reason=reason))
    return device


def register_device(actor: Actor, new: NewDevice) -> Device:
    """Makes a device that enrolls, in its groups, active or waiting for approval.

    Not idempotent: enrollment finds out who asks again. Raises `HardwareIdInUse` where an
    enrolled device has this hardware identity already, `QuotaExceeded` where there is no room.
    """
    require(actor, REGISTER_DEVICE)
    require_room(actor, "devices")
    at = clock.now()
    values = _fact_values(new.facts)
    lifecycle = Lifecycle.PENDING if new.is_pending else Lifecycle.ACTIVE
    groups = list(DeviceGroup.objects.for_org(actor.organization_id).filter(id__in=new.group_ids))
    device = Device(
        organization_id=actor.organization_id,
        name=_first_name(values["hostname"], new.hardware_id),
        lifecycle=lifecycle.value,
        lifecycle_reason=new.reason[:MAX_REASON_LENGTH],
        hardware_id=new.hardware_id,
        agent_version=fact_rules.clean_text(new.agent_version, 64),
        tags=tag_rules.changed(new.tags, add=[g.tag for g in groups if g.tag], remove=()),
        created_at=at,
        approved_at=None if new.is_pending else at,
        **values,
    )
    _insert(device)
    _join(device, [g for g in groups if g.is_static])
    count_moves(actor, [(None, (lifecycle.value, Connectivity.NEVER_SEEN.value))])
    record(actor, REGISTER_DEVICE.name, device, changes={"lifecycle": lifecycle.value})
    publish(
        actor, DeviceRegistered(device_id=device.id, name=device.name, lifecycle=lifecycle.value)
    )
    return device


def record_inventory(actor: Actor, device_id: UUID, facts: Facts) -> Device:
    """Stores what a device says about itself. The same facts again change nothing.

    Not audited: it is the device's own report, not somebody's act. A device can only report for
    itself. Raises `NotFound`, `PermissionDenied`.
    """
    require_own(actor, device_id)
    device = _locked(actor, device_id, REPORT_STATE)
    values = _fact_values(facts)
    changed = [name for name, value in values.items() if getattr(device, name) != value]
    if changed and device.lifecycle != Lifecycle.DECOMMISSIONED:
        for name in changed:
            setattr(device, name, values[name])
        device.save(update_fields=changed)
        publish(actor, DeviceUpdated(device_id=device.id))
    return device


def require_own(actor: Actor, device_id: UUID) -> None:
    """A device may speak for itself only."""
    require(actor, REPORT_STATE)
    if actor.kind is ActorKind.DEVICE and actor.id != device_id:
        raise PermissionDenied("A device can speak for itself only.")


def _locked(actor: Actor, device_id: UUID, permission: Permission) -> Device:
    """The device, for an actor who may do this to it; one out of sight is not found."""
    require_either(actor, permission, VIEW_DEVICES)
    rows = Device.objects.for_org(actor.organization_id).select_for_update(no_key=True)
    device: Device | None = rows.filter(id=device_id).first()
    if device is None:
        raise NotFound("There is no such device.")
    require_on_devices(actor, permission, [device.id])
    return device


def _require_moves(actor: Actor, device: Device, tags_before: Sequence[str]) -> None:
    """The rights to what changed tags do: nobody gains or hides a device by tagging it."""
    entered, left = set(device.tags) - set(tags_before), set(tags_before) - set(device.tags)
    for permission, tags in ((ADD_DEVICES_TO_GROUP, entered), (REMOVE_DEVICES_FROM_GROUP, left)):
        if not tags or actor.has_perm(permission.name):
            continue
        groups = list_tag_groups(actor.organization_id, tags)
        if groups:
            require(actor, permission, place_of(device))
        for group in groups:
            require(actor, permission, place_of_group(group))


def _move(
    actor: Actor, device: Device, after: Lifecycle, *, reason: str = "", fields: Iterable[str] = ()
) -> None:
    """One step of a device's life, and the totals. The device's row is locked already."""
    before = Lifecycle(device.lifecycle)
    if not may_follow(before, after):
        raise RuntimeError(f"no step from {before} to {after}")
    states = DeviceState.objects.for_org(actor.organization_id).select_for_update(no_key=True)
    state = states.get(device_id=device.id)
    was = state.connectivity
    device.lifecycle, device.lifecycle_reason = after.value, reason
    device.save(update_fields=["lifecycle", "lifecycle_reason", *fields])
    if after is Lifecycle.DECOMMISSIONED:
        _disconnect(state, clock.now())
    count_moves(actor, [((before.value, was), (after.value, state.connectivity))])


def _disconnect(state: DeviceState, at: datetime) -> None:
    """Ends a device's session, so that whatever still comes from it is ignored."""
    state.session_id = None
    if state.connectivity in CONNECTED:
        state.connectivity = Connectivity.OFFLINE.value
        state.offline_at = state.disconnected_at = at
        state.disconnect_reason = "decommissioned"
    state.save(
        update_fields=[
            *("session_id", "connectivity", "offline_at", "disconnected_at", "disconnect_reason")
        ]
    )
    end_presence(state.organization_id, [state.device_id])


def _insert(device: Device) -> None:
    try:
        with transaction.atomic():
            device.save(force_insert=True)
    except IntegrityError as error:
        other = find_enrolled_device(device.organization_id, device.hardware_id)
        if other is None:
            raise
        raise _in_use(other) from error
    DeviceState(device=device, organization_id=device.organization_id).save(force_insert=True)


def _join(device: Device, groups: Sequence[DeviceGroup]) -> None:
    GroupMember.objects.for_org(device.organization_id).bulk_create(
        [
            GroupMember(organization_id=device.organization_id, group=group, device=device)
            for group in groups
        ]
    )


def _in_use(other: Device) -> HardwareIdInUse:
    return HardwareIdInUse(
        f"The device {other.name} has this hardware identity. Decommission it first.",
        data={"device_id": str(other.id)},
    )


def _require_life(device: Device) -> None:
    if device.lifecycle == Lifecycle.DECOMMISSIONED:
        raise DeviceIsDecommissioned


def _first_name(hostname: str, hardware_id: str) -> str:
    name = "".join(c for c in hostname or hardware_id if c.isprintable()).strip()
    return name[:MAX_NAME_LENGTH] or "device"


def _fact_values(facts: Facts) -> dict[str, Any]:
    """The columns that facts fill."""
    texts = {n: fact_rules.clean_text(getattr(facts, n), size) for n, size in FACT_FIELDS.items()}
    return {
        **texts,
        "inventory": fact_rules.clean_details(facts.details),
        "installed": fact_rules.clean_details(facts.installed),
    }


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise invalid("name", "invalid_name", "A name has 1 to 200 printable characters.")
    return name


def _checked_reason(reason: str) -> str:
    reason = reason.strip()
    if len(reason) > MAX_REASON_LENGTH or not reason.isprintable():
        raise invalid("reason", "invalid_reason", "A reason has at most 200 printable characters.")
    return reason


def _checked_tags(
    present: Sequence[str], *, add: Sequence[str], remove: Sequence[str]
) -> list[str]:
    added = tag_rules.checked(add, field="add_tags")
    removed = [tag_rules.normalized(tag) or tag for tag in remove]
    tags = tag_rules.changed(present, add=added, remove=removed)
    if len(tags) > tag_rules.MAX_TAGS:
        raise invalid("add_tags", "too_many_tags", "A device has at most 50 tags.")
    return tags
