"""Tables of devices."""

from enum import StrEnum
from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q, Value

from apps.core.tenancy import OrgOwnedModel, TenantForeignKey, TenantOneToOneField
from apps.devices.domain.states import ENROLLED, Connectivity, Lifecycle
from apps.teams.models import ObjectGrant, Team


def _choices(states: type[StrEnum]) -> list[tuple[str, str]]:
    return [(s.value, s.value.replace("_", " ").title()) for s in states]


class Device(OrgOwnedModel):
    """One managed machine. What every heartbeat changes is in `DeviceState`."""

    name = models.CharField(max_length=200)
    lifecycle = models.CharField(max_length=20, choices=_choices(Lifecycle))
    lifecycle_reason = models.CharField(max_length=200, blank=True)
    hardware_id = models.CharField(max_length=200)
    hostname = models.CharField(max_length=253, blank=True)
    serial = models.CharField(max_length=200, blank=True)
    model = models.CharField(max_length=200, blank=True)
    architecture = models.CharField(max_length=64, blank=True)
    os_name = models.CharField(max_length=200, blank=True)
    os_version = models.CharField(max_length=200, blank=True)
    kernel = models.CharField(max_length=200, blank=True)
    agent_version = models.CharField(max_length=64, blank=True)
    tags = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    # The static groups that it is in. A trigger on the table of `GroupMember` keeps it: so one look
    # at the device says where it stands, and indexes find the devices within somebody's reach.
    group_ids = ArrayField(
        models.UUIDField(), default=list, db_default=Value([]), blank=True, editable=False
    )
    inventory = models.JSONField(default=dict, blank=True)
    installed = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()
    approved_at = models.DateTimeField(null=True)
    decommissioned_at = models.DateTimeField(null=True)

    class Meta(OrgOwnedModel.Meta):
        db_table = "devices_device"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(lifecycle__in=[s.value for s in Lifecycle]), name="device_lifecycle"
            ),
            models.UniqueConstraint(
                fields=["organization", "hardware_id"],
                condition=Q(lifecycle__in=[s.value for s in ENROLLED]),
                name="device_hardware_once",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["organization", "name", "id"], name="device_by_name"),
            models.Index(fields=["organization", "lifecycle", "name", "id"], name="device_by_life"),
            models.Index(fields=["organization", "hardware_id"], name="device_by_hardware"),
            # Read with every page and changed now and then: no list of changes to look through.
            GinIndex(fields=["tags"], name="device_by_tag", fastupdate=False),
            GinIndex(fields=["group_ids"], name="device_by_group", fastupdate=False),
        ]

    def __str__(self) -> str:
        return self.name


class DeviceState(OrgOwnedModel):
    """The live state of one device: narrow, updated in batches, nothing here is indexed that a
    heartbeat changes. `connectivity` changes on transitions only and is read with `offline_at`."""

    id: Any = None
    device = TenantOneToOneField(Device, primary_key=True, related_name="state")
    connectivity = models.CharField(
        max_length=20, choices=_choices(Connectivity), default=Connectivity.NEVER_SEEN.value
    )
    # What it was before the latest write, so that the statement that writes can tell transitions.
    previous_connectivity = models.CharField(
        max_length=20, choices=_choices(Connectivity), default=Connectivity.NEVER_SEEN.value
    )
    # Which stream of which gateway the device is on: the newest stream wins.
    session_id = models.UUIDField(null=True)
    # Since when it can be reached: its stream's beginning, or its return from silence.
    connected_at = models.DateTimeField(null=True)
    disconnected_at = models.DateTimeField(null=True)
    disconnect_reason = models.CharField(max_length=200, blank=True)
    last_seen_at = models.DateTimeField(null=True)
    offline_at = models.DateTimeField(null=True)
    heartbeat_seconds = models.PositiveIntegerField(default=0)
    ip_address = models.CharField(max_length=45, blank=True)
    boot_id = models.CharField(max_length=64, blank=True)
    clock_skew_seconds = models.FloatField(default=0)
    cpu_ratio = models.FloatField(default=0)
    memory_ratio = models.FloatField(default=0)
    disk_ratio = models.FloatField(default=0)
    temperature_celsius = models.FloatField(null=True)
    uptime_seconds = models.PositiveBigIntegerField(default=0)

    class Meta(OrgOwnedModel.Meta):
        db_table = "devices_device_state"
        indexes: ClassVar = [
            models.Index(fields=["organization", "connectivity"], name="state_by_connectivity"),
        ]

    def __str__(self) -> str:
        return f"{self.device_id}: {self.connectivity}"


class DevicePresence(OrgOwnedModel):
    """One stretch of time in which a device could be reached; without an end it still can.

    Forecasts are made from these. They are written where connectivity changes, never by a
    heartbeat, and kept for some weeks.
    """

    device = TenantForeignKey(Device, models.CASCADE, related_name="+")
    online_at = models.DateTimeField()
    offline_at = models.DateTimeField(null=True)

    class Meta(OrgOwnedModel.Meta):
        db_table = "devices_device_presence"
        verbose_name_plural = "device presence"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization", "device"],
                condition=Q(offline_at=None),
                name="presence_open_once",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["organization", "device", "online_at"], name="presence_by_device"),
            models.Index(fields=["organization", "offline_at"], name="presence_by_end"),
        ]

    def __str__(self) -> str:
        return f"{self.device_id} from {self.online_at}"


class DeviceCount(OrgOwnedModel):
    """How many devices are in one lifecycle and connectivity: totals are kept, not counted."""

    lifecycle = models.CharField(max_length=20, choices=_choices(Lifecycle))
    connectivity = models.CharField(max_length=20, choices=_choices(Connectivity))
    count = models.PositiveIntegerField(default=0)

    class Meta(OrgOwnedModel.Meta):
        db_table = "devices_device_count"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization", "lifecycle", "connectivity"], name="device_count_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.lifecycle}/{self.connectivity}: {self.count}"


class DeviceGroup(OrgOwnedModel):
    """Devices that belong together: chosen ones, all with one tag, or all that match a filter.

    A group may be owned by a team, whose members then have their team roles on its devices. A
    smart one, with a filter, may not: devices report facts about themselves, and what they report
    must not decide who has rights on them.
    """

    name = models.CharField(max_length=100)
    tag = models.CharField(max_length=64, blank=True)
    # Names other groups by id; `filter_group_ids` are these, so that a group in use is found.
    filter = models.TextField(blank=True, default="", db_default="")
    filter_group_ids = ArrayField(
        models.UUIDField(), default=list, db_default=Value([]), blank=True, editable=False
    )
    team = TenantForeignKey(Team, null=True, blank=True, related_name="device_groups")
    created_at = models.DateTimeField()

    class Meta(OrgOwnedModel.Meta):
        db_table = "devices_device_group"
        verbose_name = "device group"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organization", "name"], name="device_group_name"),
            models.CheckConstraint(condition=Q(tag="") | Q(filter=""), name="device_group_kind"),
            models.CheckConstraint(
                condition=Q(filter="") | Q(team__isnull=True), name="device_group_smart_unowned"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_static(self) -> bool:
        """Whether its devices were chosen one by one."""
        return not self.tag and not self.filter

    @property
    def is_smart(self) -> bool:
        """Whether its devices are those that match its filter."""
        return bool(self.filter)


class GroupMember(OrgOwnedModel):
    """One device in one static group."""

    group = TenantForeignKey(DeviceGroup, models.CASCADE, related_name="members")
    device = TenantForeignKey(Device, models.CASCADE, related_name="+")

    class Meta(OrgOwnedModel.Meta):
        db_table = "devices_group_member"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization", "group", "device"], name="group_member_once"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["organization", "device"], name="group_member_by_device"),
        ]

    def __str__(self) -> str:
        return f"{self.device_id} in {self.group_id}"


class DeviceGroupGrant(ObjectGrant):
    """A permission that somebody holds on the devices of one group."""

    content_object = TenantForeignKey(DeviceGroup, models.CASCADE, related_name="grants")

    class Meta(ObjectGrant.Meta):
        db_table = "devices_device_group_grant"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization", "user", "content_object", "permission"],
                name="device_group_grant_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} on group {self.content_object_id}"
