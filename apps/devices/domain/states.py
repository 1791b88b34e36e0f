"""The states of a device, and every legal step of its life."""

from enum import StrEnum


class Lifecycle(StrEnum):
    """Where a device is between asking to join and being taken out."""

    PENDING = "pending"
    ACTIVE = "active"
    QUARANTINED = "quarantined"
    DECOMMISSIONED = "decommissioned"


class Connectivity(StrEnum):
    """Whether a device can be reached, as of its last message and its deadline."""

    NEVER_SEEN = "never_seen"
    ONLINE = "online"
    DEGRADED = "degraded"
    OFFLINE = "offline"


# One machine is one such device at a time.
ENROLLED = (Lifecycle.ACTIVE, Lifecycle.QUARANTINED)
CONNECTED = (Connectivity.ONLINE, Connectivity.DEGRADED)

# A device that is taken out never comes back: its machine enrolls again as a new device.
NEXT: dict[Lifecycle, frozenset[Lifecycle]] = {
    Lifecycle.PENDING: frozenset({Lifecycle.ACTIVE, Lifecycle.DECOMMISSIONED}),
    Lifecycle.ACTIVE: frozenset({Lifecycle.QUARANTINED, Lifecycle.DECOMMISSIONED}),
    Lifecycle.QUARANTINED: frozenset({Lifecycle.ACTIVE, Lifecycle.DECOMMISSIONED}),
    Lifecycle.DECOMMISSIONED: frozenset(),
}


def may_follow(before: Lifecycle, after: Lifecycle) -> bool:
    """Whether a device's life can go from `before` to `after` in one step."""
    return after in NEXT[before]
