"""REST addresses of devices and groups."""

from apps.core.rest.views import creates, does, reads, removes, resource
from apps.devices import public

urlpatterns = [
    *resource("devices", "devices", get=reads(public.list_devices)),
    *resource(
        "device",
        "devices/<ident:id>",
        get=reads(public.get_device),
        patch=does(public.update_device),
    ),
    *resource("device-approve", "devices/<ident:id>:approve", post=does(public.approve_device)),
    *resource(
        "device-quarantine", "devices/<ident:id>:quarantine", post=does(public.quarantine_device)
    ),
    *resource("device-release", "devices/<ident:id>:release", post=does(public.release_device)),
    *resource(
        "device-decommission",
        "devices/<ident:id>:decommission",
        post=does(public.decommission_device),
    ),
    *resource(
        "device-groups",
        "device-groups",
        get=reads(public.list_device_groups),
        post=creates(public.create_device_group),
    ),
    *resource(
        "device-group",
        "device-groups/<ident:id>",
        get=reads(public.get_device_group),
        patch=does(public.update_device_group),
        delete=removes(public.delete_device_group),
    ),
    *resource(
        "device-groups-preview", "device-groups:preview", get=reads(public.preview_device_group)
    ),
    *resource(
        "device-group-add-devices",
        "device-groups/<ident:id>:add-devices",
        post=does(public.add_devices_to_group),
    ),
    *resource(
        "device-group-remove-devices",
        "device-groups/<ident:id>:remove-devices",
        post=does(public.remove_devices_from_group),
    ),
    *resource(
        "device-group-give-to-team",
        "device-groups/<ident:id>:give-to-team",
        post=does(public.give_group_to_team),
    ),
    *resource(
        "device-group-take-from-team",
        "device-groups/<ident:id>:take-from-team",
        post=does(public.take_group_from_team),
    ),
    *resource("access-grants", "access-grants", get=reads(public.list_access_grants)),
    *resource("access-grant", "access:grant", post=does(public.grant_access)),
    *resource("access-revoke", "access:revoke", post=does(public.revoke_access)),
]
