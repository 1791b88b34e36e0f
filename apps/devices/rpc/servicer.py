"""RPC methods of devices and groups."""

from apps.core.public import unary
from apps.devices import public
from apps.devices.rpc.events import stream_device_events


class DevicesServicer:
    """The part of FleetService that is about devices and groups."""

    list_devices = unary(public.list_devices)
    get_device = unary(public.get_device)
    update_device = unary(public.update_device)
    approve_device = unary(public.approve_device)
    quarantine_device = unary(public.quarantine_device)
    release_device = unary(public.release_device)
    decommission_device = unary(public.decommission_device)
    stream_device_events = stream_device_events
    list_device_groups = unary(public.list_device_groups)
    get_device_group = unary(public.get_device_group)
    create_device_group = unary(public.create_device_group)
    update_device_group = unary(public.update_device_group)
    preview_device_group = unary(public.preview_device_group)
    delete_device_group = unary(public.delete_device_group)
    add_devices_to_group = unary(public.add_devices_to_group)
    remove_devices_from_group = unary(public.remove_devices_from_group)
    give_group_to_team = unary(public.give_group_to_team)
    take_group_from_team = unary(public.take_group_from_team)


class GrantsServicer:
    """The part of OrganizationService that is about rights on single objects."""

    list_access_grants = unary(public.list_access_grants)
    grant_access = unary(public.grant_access)
    revoke_access = unary(public.revoke_access)
