"""Events about devices that rollouts leave alone."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from apps.devices.types import DeviceEvent


@dataclass(frozen=True, kw_only=True)
class DevicePinned(DeviceEvent):
    """A device keeps what it has: no rollout reaches it, until then if there is an end."""

    type: ClassVar[str] = "updates.device.pinned.v1"

    reason: str
    until: str = ""


@dataclass(frozen=True, kw_only=True)
class DeviceUnpinned(DeviceEvent):
    """Rollouts that begin from now on reach the device again."""

    type: ClassVar[str] = "updates.device.unpinned.v1"


@dataclass(frozen=True, kw_only=True)
class DeviceKeptFailing(DeviceEvent):
    """Only roll backs reach a device that failed again and again, until it is released."""

    type: ClassVar[str] = "updates.device.quarantined.v1"

    reason: str


@dataclass(frozen=True, kw_only=True)
class DeviceTrusted(DeviceEvent):
    """A device that had kept failing was released: rollouts reach it again."""

    type: ClassVar[str] = "updates.device.released.v1"


def moment_text(at: datetime | None) -> str:
    """A time as events say it; empty for none."""
    return at.isoformat() if at else ""
