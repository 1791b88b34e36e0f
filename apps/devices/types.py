"""What passes between devices and the rest: events, and what devices say."""

from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import UUID

from apps.events.types import Event


@dataclass(frozen=True, kw_only=True)
class DeviceEvent(Event):
    """Something that happened to one device."""

    device_id: UUID

    def topics(self, organization_id: UUID) -> tuple[str, ...]:
        """The device, the list, and the totals."""
        org = f"org.{organization_id}"
        return (f"device.{self.device_id}", f"{org}.devices", f"{org}.summary")


@dataclass(frozen=True, kw_only=True)
class DeviceRegistered(DeviceEvent):
    """A device enrolled; `lifecycle` says whether it waits for approval."""

    type: ClassVar[str] = "devices.device.registered.v1"

    name: str
    lifecycle: str


@dataclass(frozen=True, kw_only=True)
class DeviceApproved(DeviceEvent):
    """A waiting device was let in."""

    type: ClassVar[str] = "devices.device.approved.v1"


@dataclass(frozen=True, kw_only=True)
class DeviceUpdated(DeviceEvent):
    """A device's name, tags, facts or groups changed."""

    type: ClassVar[str] = "devices.device.updated.v1"


@dataclass(frozen=True, kw_only=True)
class DeviceQuarantined(DeviceEvent):
    """A device was put in quarantine: it stays connected and gets no work."""

    type: ClassVar[str] = "devices.device.quarantined.v1"

    reason: str


@dataclass(frozen=True, kw_only=True)
class DeviceReleased(DeviceEvent):
    """A device came out of quarantine."""

    type: ClassVar[str] = "devices.device.released.v1"


@dataclass(frozen=True, kw_only=True)
class DeviceDecommissioned(DeviceEvent):
    """A device was taken out for good, or refused at the door."""

    type: ClassVar[str] = "devices.device.decommissioned.v1"

    reason: str


@dataclass(frozen=True, kw_only=True)
class DeviceOnline(DeviceEvent):
    """A device became reachable, well ("online") or not quite ("degraded")."""

    type: ClassVar[str] = "devices.device.online.v1"

    connectivity: str


@dataclass(frozen=True, kw_only=True)
class DeviceOffline(DeviceEvent):
    """A device said goodbye, or its deadline passed."""

    type: ClassVar[str] = "devices.device.offline.v1"

    reason: str


@dataclass(frozen=True, kw_only=True)
class DeviceGroupChanged(Event):
    """A group was made, deleted, or got other members."""

    type: ClassVar[str] = "devices.group.changed.v1"

    group_id: UUID

    def topics(self, organization_id: UUID) -> tuple[str, ...]:
        """The list, which shows groups."""
        return (f"org.{organization_id}.devices",)


@dataclass(frozen=True, slots=True)
class Opening:
    """A device's Hello on a new stream. `session_id` is a UUIDv7: a later stream has a larger one.

    `clock_skew_seconds` is the device's clock minus the platform's.
    """

    device_id: UUID
    session_id: UUID
    heartbeat_seconds: int
    ip_address: str = ""
    boot_id: str = ""
    agent_version: str = ""
    clock_skew_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Closing:
    """The end of a stream: after a goodbye (graceful), or because the connection was lost."""

    device_id: UUID
    session_id: UUID
    reason: str
    is_graceful: bool


@dataclass(frozen=True, slots=True)
class Beat:
    """The newest heartbeat of one device on one stream. Ratios are 0 to 1."""

    device_id: UUID
    session_id: UUID
    cpu_ratio: float = 0.0
    memory_ratio: float = 0.0
    disk_ratio: float = 0.0
    temperature_celsius: float | None = None
    uptime_seconds: int = 0
    clock_skew_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What a device says about itself. `details` holds the facts that have no column."""

    os_name: str = ""
    os_version: str = ""
    kernel: str = ""
    architecture: str = ""
    model: str = ""
    serial: str = ""
    hostname: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    installed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewDevice:
    """A machine that enrolls: who it is, what its token gives it, and whether it has to wait."""

    hardware_id: str
    facts: Facts
    agent_version: str = ""
    tags: tuple[str, ...] = ()
    group_ids: tuple[UUID, ...] = ()
    is_pending: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Transition:
    """A device whose connectivity changed."""

    device_id: UUID
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class AccessEvent(Event):
    """Somebody was given rights on one object, or lost them; `object_kind` says of which kind."""

    user_id: UUID
    object_kind: str
    object_id: UUID

    def topics(self, organization_id: UUID) -> tuple[str, ...]:
        """None: pages about people are read again when they are opened."""
        return ()


@dataclass(frozen=True, kw_only=True)
class AccessGranted(AccessEvent):
    """Somebody was given rights on one object."""

    type: ClassVar[str] = "devices.access.granted.v1"


@dataclass(frozen=True, kw_only=True)
class AccessRevoked(AccessEvent):
    """Somebody lost rights on one object."""

    type: ClassVar[str] = "devices.access.revoked.v1"
