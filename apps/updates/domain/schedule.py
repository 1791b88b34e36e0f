"""When a rollout may work: its start and end, and maintenance windows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from apps.updates.domain.problems import BadPlan

MAX_WINDOWS = 21
MAX_BLACKOUT_DATES = 366
MINUTES_A_DAY = 24 * 60
EVERY_DAY = (1, 2, 3, 4, 5, 6, 7)
# How far ahead the next opening is looked for: a year of blackout dates, and a week.
LOOK_AHEAD_DAYS = 373
SOON_DAYS = 9
# Clocks and time zones know their way between these.
FIRST_YEAR, LAST_YEAR = 1970, 2200
UNKNOWN_ZONE = ZoneInfo("UTC")
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the day in which devices may start: minutes since midnight, the end excluded.

    Weekdays are 1 (Monday) to 7. An end at or before the start means the next day; the window
    belongs to the day on which it begins.
    """

    start_minute: int
    end_minute: int
    weekdays: tuple[int, ...] = EVERY_DAY


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a rollout starts and ends, and when its devices may begin.

    Windows and blackout dates are local times: of the device where `time_zone` is empty (of the
    organization where the device has not told its own), else of the zone that it names. Without
    windows any time is good. On a blackout date nothing is open: a window from the evening before
    ends at midnight.
    """

    start_at: datetime | None = None
    end_at: datetime | None = None
    windows: tuple[Window, ...] = ()
    blackout_dates: tuple[date, ...] = ()
    time_zone: str = ""

    @property
    def is_always_open(self) -> bool:
        """Whether no device ever has to wait for the time."""
        return not self.windows and not self.blackout_dates

    def check(self) -> None:
        """Raises `BadPlan` for a schedule that is contradictory or never lets a device begin."""
        for name in ("start_at", "end_at"):
            moment: datetime | None = getattr(self, name)
            if moment and not FIRST_YEAR <= moment.year <= LAST_YEAR:
                message = f"This is a time from {FIRST_YEAR} to {LAST_YEAR}."
                raise BadPlan(f"schedule.{name}", message)
        if self.start_at and self.end_at and self.end_at <= self.start_at:
            raise BadPlan("schedule.end_at", "The end must come after the start.")
        if len(self.windows) > MAX_WINDOWS:
            raise BadPlan("schedule.windows", f"A schedule has at most {MAX_WINDOWS} windows.")
        if len(self.blackout_dates) > MAX_BLACKOUT_DATES:
            message = f"A schedule has at most {MAX_BLACKOUT_DATES} blackout dates."
            raise BadPlan("schedule.blackout_dates", message)
        for place, window in enumerate(self.windows):
            _check_window(f"schedule.windows.{place}", window)
        if self.time_zone:
            zone_named(self.time_zone)

    def is_open(self, now: datetime, zone: ZoneInfo) -> bool:
        """Whether a device whose clock shows this zone's time may begin now."""
        return self.closes_at(now, zone) is not None

    def closes_at(self, now: datetime, zone: ZoneInfo) -> datetime | None:
        """When the window that is open now closes; None where none is open.

        Without windows a day closes at the next blackout date's midnight, or after a year.
        """
        return max(
            (end for start, end in self._openings(now, zone, days=2) if start <= now < end),
            default=None,
        )

    def opens_at(self, now: datetime, zone: ZoneInfo) -> datetime | None:
        """When a device may begin next: now where a window is open, None where none ever opens."""
        if self.is_open(now, zone):
            return now
        for days in (SOON_DAYS, LOOK_AHEAD_DAYS):  # mostly soon, which takes a fortieth of the time
            openings = self._openings(now, zone, days=days)
            if later := [start for start, _ in openings if start > now]:
                return min(later)
        return None

    def openings(
        self, begin: datetime, until: datetime, zone: ZoneInfo
    ) -> list[tuple[datetime, datetime]]:
        """All times from `begin` to `until` in which a device may begin, in order, none touching
        another; the first one after `until` where there is none before."""
        found: list[tuple[datetime, datetime]] = []
        for start, end in sorted(self._openings(begin, zone, days=(until - begin).days + 2)):
            if end <= begin or start >= until:
                continue
            if found and start <= found[-1][1]:
                found[-1] = (found[-1][0], max(end, found[-1][1]))
            else:
                found.append((max(start, begin), end))
        if not found and (opens := self.opens_at(begin, zone)):
            found.append((opens, self.closes_at(opens, zone) or opens + MINUTE))
        return found

    def check_opens(self, now: datetime, zone: ZoneInfo) -> None:
        """Raises `BadPlan` where no window opens between now (or the start) and the end."""
        begin = max(now, self.start_at) if self.start_at else now
        if self.end_at and self.end_at <= begin:
            raise BadPlan("schedule.end_at", "The end has passed already.")
        opening = self.opens_at(begin, self.zone(zone))
        if opening is None or (self.end_at and opening >= self.end_at):
            raise BadPlan("schedule.windows", "No window opens before the end.")

    def zone(self, device_zone: ZoneInfo) -> ZoneInfo:
        """The zone whose time counts for a device that lives in `device_zone`."""
        return ZoneInfo(self.time_zone) if self.time_zone else device_zone

    def dump(self) -> dict[str, Any]:
        """The schedule as JSON can hold it."""
        return {
            "start_at": self.start_at and self.start_at.isoformat(),
            "end_at": self.end_at and self.end_at.isoformat(),
            "windows": [
                {
                    "start_minute": w.start_minute,
                    "end_minute": w.end_minute,
                    "weekdays": list(w.weekdays),
                }
                for w in self.windows
            ],
            "blackout_dates": [day.isoformat() for day in self.blackout_dates],
            "time_zone": self.time_zone,
        }

    @classmethod
    def restore(cls, dumped: Mapping[str, Any]) -> "Schedule":
        """The schedule that `dump` was given."""
        return cls(
            start_at=_moment(dumped["start_at"]),
            end_at=_moment(dumped["end_at"]),
            windows=tuple(
                Window(w["start_minute"], w["end_minute"], tuple(w["weekdays"]))
                for w in dumped["windows"]
            ),
            blackout_dates=tuple(date.fromisoformat(day) for day in dumped["blackout_dates"]),
            time_zone=dumped["time_zone"],
        )

    def _openings(
        self, now: datetime, zone: ZoneInfo, *, days: int
    ) -> list[tuple[datetime, datetime]]:
        """Windows that begin on one of so many days around now, as moments."""
        today = now.astimezone(zone).date()
        windows = self.windows or (Window(0, MINUTES_A_DAY),)
        openings = []
        for offset in range(-1, days):
            day = today + timedelta(days=offset)
            if day in self.blackout_dates:
                continue
            openings += [
                self._moments(day, window, zone)
                for window in windows
                if day.isoweekday() in window.weekdays
            ]
        return openings

    def _moments(self, day: date, window: Window, zone: ZoneInfo) -> tuple[datetime, datetime]:
        """When a window opens and closes on a day, as the clocks of the zone show it."""
        start = _moment_of(day, window.start_minute, zone)
        if window.end_minute > window.start_minute:
            return start, _moment_of(day, window.end_minute, zone)
        tomorrow = day + timedelta(days=1)
        minute = 0 if tomorrow in self.blackout_dates else window.end_minute
        return start, _moment_of(tomorrow, minute, zone)


def zone_named(name: str) -> ZoneInfo:
    """The time zone with this name. Raises `BadPlan`."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadPlan("schedule.time_zone", f"There is no time zone {name[:64]!r}.") from error


def device_zone(name: str, default: ZoneInfo = UNKNOWN_ZONE) -> ZoneInfo:
    """The zone that a device says it lives in; the default (the organization's) where it says
    none, or one that is unknown."""
    try:
        return zone_named(name) if name else default
    except BadPlan:
        return default


def _moment_of(day: date, minute: int, zone: ZoneInfo) -> datetime:
    """When the clocks show this time first; where they leave it out, when they jump over it."""
    local = datetime.combine(day, time.min) + timedelta(minutes=minute)
    moment = local.replace(tzinfo=zone).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) != local:
        while (moment - MINUTE).astimezone(zone).replace(tzinfo=None) > local:
            moment -= MINUTE
    return moment


def _check_window(place: str, window: Window) -> None:
    if not 0 <= window.start_minute < MINUTES_A_DAY:
        raise BadPlan(f"{place}.start_minute", "A window starts at a minute from 0 to 1439.")
    if not 0 <= window.end_minute <= MINUTES_A_DAY:
        raise BadPlan(f"{place}.end_minute", "A window ends at a minute from 0 to 1440.")
    if not window.weekdays or not set(window.weekdays) <= set(EVERY_DAY):
        raise BadPlan(f"{place}.weekdays", "Weekdays are 1 (Monday) to 7 (Sunday).")
    if len(set(window.weekdays)) != len(window.weekdays):
        raise BadPlan(f"{place}.weekdays", "A weekday is named twice.")


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
