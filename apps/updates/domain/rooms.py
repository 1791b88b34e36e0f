"""How many devices of an open phase may start at a moment."""

from dataclasses import dataclass
from datetime import datetime

from apps.updates.domain.plan import PhasePlan


@dataclass(frozen=True, slots=True)
class Room:
    """What is left of a phase's limits; None for as many devices as want to.

    `minute` is the one since the phase opened to which the rate's number belongs. `site` is what is
    left of the limits of the device's own site, if the plan has such.
    """

    in_flight: int | None = None
    rate: int | None = None
    minute: int | None = None
    site: "SiteRoom | None" = None

    @property
    def devices(self) -> int | None:
        """How many devices may start now."""
        site = self.site.devices if self.site else None
        limits = [limit for limit in (self.in_flight, self.rate, site) if limit is not None]
        return min(limits, default=None)


@dataclass(frozen=True, slots=True)
class SiteRoom:
    """How many devices of a site may start; `shares` says that they share its bandwidth."""

    name: str
    devices: int
    shares: bool = False


@dataclass(frozen=True, slots=True)
class Use:
    """How much of a phase's limits is used: devices at work, and those that started in the last
    minute in which any did."""

    active: int
    opened_at: datetime | None
    rate_minute: int
    rate_started: int


def room_of(phase: PhasePlan, use: Use, now: datetime) -> Room:
    """The room in a phase, as claims take it and as it is explained."""
    in_flight = phase.maximum_in_flight - use.active if phase.maximum_in_flight else None
    if phase.rate is None or use.opened_at is None:
        return Room(in_flight)
    minute = max(int((now - use.opened_at).total_seconds() // 60), 0)
    started = use.rate_started if use.rate_minute == minute else 0
    return Room(in_flight, phase.rate.allowed(minute) - started, minute)
