"""Devices and their groups, as REST and RPC offer them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from apps.core import clock
from apps.core.actors import Actor
from apps.core.errors import invalid
from apps.core.filters.reference import sentence
from apps.core.public import enum_value, enum_word, id_of, ids_of, operation, page_of, timestamp
from apps.devices import access, selectors
from apps.devices.access import AccessGrant, GrantObject
from apps.devices.domain.connectivity import connectivity_of, explain
from apps.devices.filters import DEVICE_FIELDS
from apps.devices.models import Device, DeviceGroup, DeviceState
from apps.devices.permissions import (
    ADD_DEVICES_TO_GROUP,
    APPROVE_DEVICE,
    CREATE_DEVICE_GROUP,
    DECOMMISSION_DEVICE,
    DELETE_DEVICE_GROUP,
    GIVE_GROUP_TO_TEAM,
    GRANT_ACCESS,
    QUARANTINE_DEVICE,
    RELEASE_DEVICE,
    REMOVE_DEVICES_FROM_GROUP,
    REVOKE_ACCESS,
    TAKE_GROUP_FROM_TEAM,
    UPDATE_DEVICE,
    UPDATE_DEVICE_GROUP,
    VIEW_ACCESS_GRANTS,
    VIEW_DEVICE_GROUPS,
    VIEW_DEVICES,
)
from apps.devices.selectors import previews
from apps.devices.selectors.filtering import shown_filters
from apps.devices.services import devices as services
from apps.devices.services import grants, ownership
from apps.devices.services import groups as group_services
from fleetd.pb.public.v1 import fleet_pb2 as pb
from fleetd.pb.public.v1 import organization_pb2 as org_pb


@operation(VIEW_DEVICES, filter=sentence(DEVICE_FIELDS))
def list_devices(actor: Actor, request: pb.ListDevicesRequest) -> pb.ListDevicesResponse:
    """Devices by name, narrowed by whatever is given."""
    page = selectors.list_devices(
        actor,
        page_of(request),
        lifecycle=enum_word(pb.Lifecycle, request.lifecycle),
        connectivity=enum_word(pb.Connectivity, request.connectivity),
        tag=request.tag,
        group_id=id_of(request.group_id) if request.group_id else None,
        search=request.search,
        filter=request.filter,
    )
    return pb.ListDevicesResponse(
        items=device_messages(actor, page.items), next_page_token=page.next_page_token
    )


@operation(VIEW_DEVICES)
def get_device(actor: Actor, request: pb.GetDeviceRequest) -> pb.GetDeviceResponse:
    """One device with its live state."""
    device = selectors.get_device(actor, id_of(request.id))
    return pb.GetDeviceResponse(device=_message(actor, device))


@operation(UPDATE_DEVICE)
def update_device(actor: Actor, request: pb.UpdateDeviceRequest) -> pb.UpdateDeviceResponse:
    """Renames a device, adds tags and removes tags."""
    device = services.update_device(
        actor,
        id_of(request.id),
        name=request.name if request.HasField("name") else None,
        add_tags=list(request.add_tags),
        remove_tags=list(request.remove_tags),
    )
    return pb.UpdateDeviceResponse(device=_message(actor, device))


@operation(APPROVE_DEVICE)
def approve_device(actor: Actor, request: pb.ApproveDeviceRequest) -> pb.ApproveDeviceResponse:
    """Lets a pending device in."""
    device = services.approve_device(actor, id_of(request.id))
    return pb.ApproveDeviceResponse(device=_message(actor, device))


@operation(QUARANTINE_DEVICE)
def quarantine_device(
    actor: Actor, request: pb.QuarantineDeviceRequest
) -> pb.QuarantineDeviceResponse:
    """Keeps a device connected but gives it no work."""
    device = services.quarantine_device(actor, id_of(request.id), reason=request.reason)
    return pb.QuarantineDeviceResponse(device=_message(actor, device))


@operation(RELEASE_DEVICE)
def release_device(actor: Actor, request: pb.ReleaseDeviceRequest) -> pb.ReleaseDeviceResponse:
    """Ends a quarantine."""
    device = services.release_device(actor, id_of(request.id))
    return pb.ReleaseDeviceResponse(device=_message(actor, device))


@operation(DECOMMISSION_DEVICE)
def decommission_device(
    actor: Actor, request: pb.DecommissionDeviceRequest
) -> pb.DecommissionDeviceResponse:
    """Takes a device out for good: certificates revoked, streams closed, history kept."""
    device = services.decommission_device(actor, id_of(request.id), reason=request.reason)
    return pb.DecommissionDeviceResponse(device=_message(actor, device))


@operation(VIEW_DEVICE_GROUPS)
def list_device_groups(
    actor: Actor, request: pb.ListDeviceGroupsRequest
) -> pb.ListDeviceGroupsResponse:
    """The organization's device groups by name."""
    page = selectors.list_device_groups(
        actor, page_of(request), team_id=id_of(request.team_id) if request.team_id else None
    )
    return pb.ListDeviceGroupsResponse(
        items=_groups(actor, page.items), next_page_token=page.next_page_token
    )


@operation(VIEW_DEVICE_GROUPS)
def get_device_group(actor: Actor, request: pb.GetDeviceGroupRequest) -> pb.GetDeviceGroupResponse:
    """One device group."""
    group = selectors.get_device_group(actor, id_of(request.id))
    return pb.GetDeviceGroupResponse(device_group=_group_message(actor, group))


@operation(CREATE_DEVICE_GROUP)
def create_device_group(
    actor: Actor, request: pb.CreateDeviceGroupRequest
) -> pb.CreateDeviceGroupResponse:
    """Makes a group of chosen devices, with `tag` of all that have it, or with `filter` of all
    that match it.
    """
    group = group_services.create_device_group(
        actor, name=request.name, tag=request.tag, filter=request.filter
    )
    return pb.CreateDeviceGroupResponse(device_group=_group_message(actor, group))


@operation(UPDATE_DEVICE_GROUP)
def update_device_group(
    actor: Actor, request: pb.UpdateDeviceGroupRequest
) -> pb.UpdateDeviceGroupResponse:
    """Renames a group, and gives a smart group another filter."""
    group = group_services.update_device_group(
        actor,
        id_of(request.id),
        name=request.name if request.HasField("name") else None,
        filter=request.filter if request.HasField("filter") else None,
    )
    return pb.UpdateDeviceGroupResponse(device_group=_group_message(actor, group))


@operation(VIEW_DEVICE_GROUPS, filter=sentence(DEVICE_FIELDS))
def preview_device_group(
    actor: Actor, request: pb.PreviewDeviceGroupRequest
) -> pb.PreviewDeviceGroupResponse:
    """Says which devices a filter has, and who would enter and leave a smart group with it."""
    found = previews.preview_device_group(
        actor, filter=request.filter, group_id=id_of(request.id) if request.id else None
    )
    return pb.PreviewDeviceGroupResponse(
        filter=found.filter.shown,
        device_count=found.device_count,
        entering_count=found.entering_count,
        leaving_count=found.leaving_count,
        entering=device_messages(actor, found.entering),
        leaving=device_messages(actor, found.leaving),
    )


@operation(DELETE_DEVICE_GROUP)
def delete_device_group(
    actor: Actor, request: pb.DeleteDeviceGroupRequest
) -> pb.DeleteDeviceGroupResponse:
    """Deletes a group; its devices stay."""
    group_services.delete_device_group(actor, id_of(request.id))
    return pb.DeleteDeviceGroupResponse()


@operation(ADD_DEVICES_TO_GROUP)
def add_devices_to_group(
    actor: Actor, request: pb.AddDevicesToGroupRequest
) -> pb.AddDevicesToGroupResponse:
    """Puts devices into a static group; those that are in it stay in it."""
    group = group_services.add_devices_to_group(
        actor, id_of(request.id), ids_of(request.device_ids, "device_ids")
    )
    return pb.AddDevicesToGroupResponse(device_group=_group_message(actor, group))


@operation(REMOVE_DEVICES_FROM_GROUP)
def remove_devices_from_group(
    actor: Actor, request: pb.RemoveDevicesFromGroupRequest
) -> pb.RemoveDevicesFromGroupResponse:
    """Takes devices out of a static group."""
    group = group_services.remove_devices_from_group(
        actor, id_of(request.id), ids_of(request.device_ids, "device_ids")
    )
    return pb.RemoveDevicesFromGroupResponse(device_group=_group_message(actor, group))


@operation(GIVE_GROUP_TO_TEAM)
def give_group_to_team(
    actor: Actor, request: pb.GiveGroupToTeamRequest
) -> pb.GiveGroupToTeamResponse:
    """Makes a team the owner of a group: its members act on the group's devices from then on."""
    group = ownership.give_group_to_team(actor, id_of(request.id), id_of(request.team_id))
    return pb.GiveGroupToTeamResponse(device_group=_group_message(actor, group))


@operation(TAKE_GROUP_FROM_TEAM)
def take_group_from_team(
    actor: Actor, request: pb.TakeGroupFromTeamRequest
) -> pb.TakeGroupFromTeamResponse:
    """Makes a group nobody's: only rights in the organization or on the group reach it."""
    group = ownership.take_group_from_team(actor, id_of(request.id))
    return pb.TakeGroupFromTeamResponse(device_group=_group_message(actor, group))


@operation(VIEW_ACCESS_GRANTS)
def list_access_grants(
    actor: Actor, request: org_pb.ListAccessGrantsRequest
) -> org_pb.ListAccessGrantsResponse:
    """What people were given on the organization, on teams and on device groups."""
    is_about_one = request.team_id or request.device_group_id
    page = access.list_access_grants(
        actor,
        page_of(request),
        user_id=id_of(request.user_id) if request.user_id else None,
        on=_grant_object(actor, request) if is_about_one else None,
    )
    return org_pb.ListAccessGrantsResponse(
        items=[_grant(grant) for grant in page.items], next_page_token=page.next_page_token
    )


@operation(GRANT_ACCESS)
def grant_access(actor: Actor, request: org_pb.GrantAccessRequest) -> org_pb.GrantAccessResponse:
    """Gives a member rights on a team, a device group or the organization, beside their roles."""
    grant = grants.grant_access(
        actor,
        user_id=id_of(request.user_id),
        on=_grant_object(actor, request),
        permissions=list(request.permissions),
        role=request.role,
        custom_role_id=request.custom_role_id or None,
    )
    return org_pb.GrantAccessResponse(access_grant=_grant(grant))


@operation(REVOKE_ACCESS)
def revoke_access(actor: Actor, request: org_pb.RevokeAccessRequest) -> org_pb.RevokeAccessResponse:
    """Takes rights on one object back from somebody, or all that they have on it."""
    grants.revoke_access(
        actor,
        user_id=id_of(request.user_id),
        on=_grant_object(actor, request),
        permissions=list(request.permissions),
    )
    return org_pb.RevokeAccessResponse()


def device_messages(actor: Actor, devices: Sequence[Device]) -> list[pb.Device]:
    """Devices with their groups, of which the actor sees only those that it may see."""
    groups: dict[UUID, list[UUID]] = {}
    if devices and actor.may_somewhere(VIEW_DEVICE_GROUPS.name):
        groups = selectors.list_group_ids(actor, devices)
    now = clock.now()
    return [_device(device, groups.get(device.id, []), now) for device in devices]


def _message(actor: Actor, device: Device) -> pb.Device:
    return device_messages(actor, [device])[0]


def _device(device: Device, group_ids: Sequence[UUID], now: datetime) -> pb.Device:
    state = device.state
    return pb.Device(
        id=str(device.id),
        name=device.name,
        lifecycle=enum_value(pb.Lifecycle, device.lifecycle),
        connectivity=enum_value(pb.Connectivity, connectivity_of(state, now).value),
        connectivity_reason=explain(state, now),
        hardware_id=device.hardware_id,
        serial=device.serial,
        model=device.model,
        architecture=device.architecture,
        os_name=device.os_name,
        os_version=device.os_version,
        kernel=device.kernel,
        agent_version=device.agent_version,
        hostname=device.hostname,
        tags=device.tags,
        group_ids=[str(group_id) for group_id in group_ids],
        created_at=timestamp(device.created_at),
        last_seen_at=timestamp(state.last_seen_at),
        state=_state(state),
        installed={str(name): str(version) for name, version in device.installed.items()},
    )


def _state(state: DeviceState) -> pb.DeviceState:
    return pb.DeviceState(
        cpu_ratio=state.cpu_ratio,
        memory_ratio=state.memory_ratio,
        disk_ratio=state.disk_ratio,
        temperature_celsius=state.temperature_celsius,
        uptime_seconds=state.uptime_seconds,
        # Stored as the device's clock minus ours.
        clock_skew_seconds=-state.clock_skew_seconds,
        ip_address=state.ip_address,
    )


def _group_message(actor: Actor, group: DeviceGroup) -> pb.DeviceGroup:
    return _groups(actor, [group])[0]


def _groups(actor: Actor, groups: Sequence[DeviceGroup]) -> list[pb.DeviceGroup]:
    """Groups with their sizes, as far as the actor may see them and their devices."""
    counts: dict[UUID, int] = {}
    if actor.may_somewhere(VIEW_DEVICE_GROUPS.name):
        counts = selectors.count_group_devices(actor, [group.id for group in groups])
    filters = shown_filters(actor.organization_id, groups)
    return [_group(each, counts.get(each.id, 0), filters.get(each.id, "")) for each in groups]


def _group(group: DeviceGroup, device_count: int, filter: str) -> pb.DeviceGroup:
    return pb.DeviceGroup(
        id=str(group.id),
        name=group.name,
        tag=group.tag,
        team_id=str(group.team_id or ""),
        device_count=device_count,
        created_at=timestamp(group.created_at),
        filter=filter,
    )


def _grant_object(
    actor: Actor,
    request: org_pb.ListAccessGrantsRequest
    | org_pb.GrantAccessRequest
    | org_pb.RevokeAccessRequest,
) -> GrantObject:
    """What a request is about: a team, a device group, or with neither the organization."""
    if request.team_id and request.device_group_id:
        raise invalid("device_group_id", "one_object", "Name a team or a device group, not both.")
    if request.team_id:
        return GrantObject("team", id_of(request.team_id))
    if request.device_group_id:
        return GrantObject("device_group", id_of(request.device_group_id))
    return GrantObject("organization", actor.organization_id)


def _grant(grant: AccessGrant) -> org_pb.AccessGrant:
    return org_pb.AccessGrant(
        user_id=str(grant.user_id),
        email=grant.email,
        name=grant.name,
        object_kind=grant.kind,
        object_id=str(grant.object_id),
        object_name=grant.object_name,
        permissions=grant.permissions,
    )
