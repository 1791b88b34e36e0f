"""What can go wrong with devices and groups."""

from apps.core.errors import FleetdError, Kind


class DeviceNotPending(FleetdError):
    kind, code = Kind.STATE, "device_not_pending"
    default_message = "The device is not waiting for approval."


class DeviceNotActive(FleetdError):
    kind, code = Kind.STATE, "device_not_active"
    default_message = "The device is not active."


class DeviceIsDecommissioned(FleetdError):
    kind, code = Kind.STATE, "device_decommissioned"
    default_message = "The device has been decommissioned. It can enroll again as a new device."


class HardwareIdInUse(FleetdError):
    kind, code = Kind.STATE, "hardware_id_in_use"
    default_message = "Another device has this hardware identity. Decommission that one first."


class DeviceGroupNameTaken(FleetdError):
    kind, code = Kind.CONFLICT, "device_group_name_taken"
    default_message = "There is a group with this name already."


class DeviceGroupFollowsTag(FleetdError):
    kind, code = Kind.STATE, "device_group_follows_tag"
    default_message = "This group is all devices with its tag: tag the device instead."


class DeviceGroupFollowsFilter(FleetdError):
    kind, code = Kind.STATE, "device_group_follows_filter"
    default_message = "This group is all devices that match its filter: nobody is put into it."


class DeviceGroupNotSmart(FleetdError):
    kind, code = Kind.STATE, "device_group_not_smart"
    default_message = "This group has no filter, and a group never becomes one of another kind."


class DeviceGroupInUse(FleetdError):
    """`data["groups"]` names those that lead to it."""

    kind, code = Kind.STATE, "device_group_in_use"
    default_message = "The filters of other groups speak of this one. Change these first."


class SmartGroupGivesNoRights(FleetdError):
    """Devices report facts about themselves: these must not decide who has rights on them."""

    kind, code = Kind.STATE, "smart_group_gives_no_rights"
    default_message = "Rights cannot hold in a smart group: what devices say would decide on them."
