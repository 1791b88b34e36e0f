"""Rights on devices and their groups."""

from apps.core.authz import ADMINS, AUDITORS, OPERATORS, READERS, declare

VIEW_DEVICES = declare(
    "devices.view_devices", "see devices and their state", READERS, per_group=True
)
UPDATE_DEVICE = declare(
    "devices.update_device", "rename and tag devices", OPERATORS, per_group=True
)
APPROVE_DEVICE = declare(
    "devices.approve_device", "let waiting devices in", OPERATORS, per_group=True
)
QUARANTINE_DEVICE = declare(
    "devices.quarantine_device", "put devices in quarantine", OPERATORS, per_group=True
)
RELEASE_DEVICE = declare(
    "devices.release_device", "release devices from quarantine", OPERATORS, per_group=True
)
DECOMMISSION_DEVICE = declare(
    "devices.decommission_device", "take devices out for good", OPERATORS, per_group=True
)
VIEW_DEVICE_GROUPS = declare(
    "devices.view_device_groups", "see device groups", READERS, per_group=True
)
CREATE_DEVICE_GROUP = declare("devices.create_device_group", "make device groups", OPERATORS)
UPDATE_DEVICE_GROUP = declare(
    "devices.update_device_group",
    "rename device groups and change their filters",
    OPERATORS,
    per_group=True,
)
DELETE_DEVICE_GROUP = declare(
    "devices.delete_device_group", "delete device groups", OPERATORS, per_group=True
)
ADD_DEVICES_TO_GROUP = declare(
    "devices.add_devices_to_group", "put devices into groups", OPERATORS, per_group=True
)
REMOVE_DEVICES_FROM_GROUP = declare(
    "devices.remove_devices_from_group", "take devices out of groups", OPERATORS, per_group=True
)
# Whose a group is, and who is given what on it, is the organization's decision.
GIVE_GROUP_TO_TEAM = declare("devices.give_group_to_team", "give device groups to teams", ADMINS)
TAKE_GROUP_FROM_TEAM = declare(
    "devices.take_group_from_team", "take device groups from teams", ADMINS
)
VIEW_ACCESS_GRANTS = declare(
    "devices.view_access_grants", "see what people were given on single objects", AUDITORS
)
GRANT_ACCESS = declare("devices.grant_access", "give people rights on single objects", ADMINS)
REVOKE_ACCESS = declare("devices.revoke_access", "take such rights back", ADMINS)
# No role holds these: they are the platform's own and each device's, for itself.
REGISTER_DEVICE = declare("devices.register_device", "register a device that enrolls", ())
REPORT_STATE = declare("devices.report_state", "report a device's own state and facts", ())
