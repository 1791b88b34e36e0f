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
