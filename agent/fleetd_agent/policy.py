"""When and how a deployment may be installed: what the platform's policy means on this device."""

import os
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fleetd_agent.failures import StepFailed

LOOK_AHEAD_DAYS = 400
LOCAL_TIME = Path("/etc/localtime")


class Mode(StrEnum):
    """Who decides that the installation begins."""

    FORCED = "forced"
    CONFIRMED = "confirmed"
    DOWNLOAD_ONLY = "download_only"


class Reboot(StrEnum):
    """What happens where a component asks for a reboot."""

    NEVER = "never"
    WHEN_NEEDED = "when_needed"
    IN_WINDOW = "in_window"


class Bundle(StrEnum):
    """How the components of one release belong together."""

    ATOMIC = "atomic"
    SEQUENTIAL = "sequential"


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the local day. It belongs to the day on which it begins, also over midnight."""

    weekdays: tuple[int, ...]  # Monday is 1; empty for every day
    start_minute: int
    end_minute: int

    def holds(self, moment: datetime) -> bool:
        """Whether a local time lies in this window."""
        minute = moment.hour * 60 + moment.minute
        today, yesterday = moment.isoweekday(), (moment - timedelta(days=1)).isoweekday()
        if self.start_minute < self.end_minute:
            return self._is_on(today) and self.start_minute <= minute < self.end_minute
        begins_today = self._is_on(today) and minute >= self.start_minute
        return begins_today or (self._is_on(yesterday) and minute < self.end_minute)

    def _is_on(self, weekday: int) -> bool:
        return not self.weekdays or weekday in self.weekdays


@dataclass(frozen=True, slots=True)
class InstallPolicy:
    """What the platform asks for beside the files; the defaults ask for nothing."""

    mode: Mode = Mode.FORCED
    windows: tuple[Window, ...] = ()
    blackout_dates: tuple[str, ...] = ()
    time_zone: str = ""
    maximum_bytes_per_second: int = 0
    reboot: Reboot = Reboot.NEVER
    bundle: Bundle = Bundle.ATOMIC
    step_timeouts: dict[str, int] = field(default_factory=dict)
    allow_downgrade: bool = False
    bundle_sha256: tuple[str, ...] = ()

    @property
    def is_always_open(self) -> bool:
        """Whether the time does not matter."""
        return not self.windows and not self.blackout_dates

    def zone(self) -> tzinfo:
        """The time zone that windows are meant in; raises StepFailed for one nobody knows."""
        try:
            return ZoneInfo(self.time_zone) if self.time_zone else device_zone()
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            message = f"this device does not know the time zone {self.time_zone!r}"
            raise StepFailed("time_zone_unknown", message) from error

    def is_open(self, moment: datetime) -> bool:
        """Whether an installation may begin at this time.

        What counts is the wall clock: an hour that comes twice is in its window twice, and a window
        inside an hour that is left out does not open on that day.
        """
        return self._is_open_at(moment.astimezone(self.zone()))

    def _is_open_at(self, local: datetime) -> bool:
        if local.date().isoformat() in self.blackout_dates:
            return False
        return not self.windows or any(window.holds(local) for window in self.windows)

    def next_opening(self, moment: datetime) -> datetime | None:
        """The first time from `moment` on at which a window is open; None for more than a year."""
        if self.is_open(moment):
            return moment
        zone = self.zone()
        first = moment.astimezone(zone).date()
        for number in range(LOOK_AHEAD_DAYS):
            begins = self._candidates(first + timedelta(days=number), zone)
            open_ones = [b for b in begins if b > moment and self._is_open_at(b.astimezone(zone))]
            if open_ones:
                return min(open_ones)
        return None

    def _candidates(self, day: date, zone: tzinfo) -> list[datetime]:
        """All instants of a local day at which a window can begin to be open."""
        minutes = {0, *(window.start_minute % 1440 for window in self.windows)}
        found = [
            datetime.combine(day, time(minute // 60, minute % 60, fold=fold), zone).astimezone(UTC)
            for minute in minutes
            for fold in (0, 1)
        ]
        changed_at = _clock_change(day, zone)
        return [*found, changed_at] if changed_at else found


def _clock_change(day: date, zone: tzinfo) -> datetime | None:
    """When the clocks are changed on this day, to the minute."""
    low = datetime.combine(day, time(), zone).astimezone(UTC)
    high = datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)
    offset = low.astimezone(zone).utcoffset()
    if high.astimezone(zone).utcoffset() == offset:
        return None
    while high - low > timedelta(minutes=1):
        middle = low + timedelta(minutes=(high - low) // timedelta(minutes=2))
        if middle.astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return high


def device_zone() -> tzinfo:
    """The zone that this device is set to, with its rules; TZ wins, as everywhere."""
    here = datetime.now().astimezone().tzinfo
    try:
        if name := os.environ.get("TZ", "").lstrip(":"):
            return ZoneInfo(name)
        with LOCAL_TIME.open("rb") as stream:
            return ZoneInfo.from_file(stream, key="localtime")
    except (OSError, ValueError, ZoneInfoNotFoundError):
        return here or UTC
