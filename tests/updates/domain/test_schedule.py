"""Windows as clocks show them: midnight, blackout dates, and the days when clocks are changed."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from fleetd_agent.policy import InstallPolicy
from fleetd_agent.policy import Window as DeviceWindow
from hypothesis import given
from hypothesis import strategies as st

from apps.updates.domain import schedule as schedules
from apps.updates.domain.problems import BadPlan
from apps.updates.domain.schedule import Schedule, Window, device_zone, zone_named

OSLO = ZoneInfo("Europe/Oslo")
KATHMANDU = ZoneInfo("Asia/Kathmandu")
MINUTE = timedelta(minutes=1)
MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


def at(zone: ZoneInfo, *when: int, fold: int = 0) -> datetime:
    return datetime(*when, tzinfo=zone, fold=fold).astimezone(UTC)


def test_without_windows_any_time_is_good() -> None:
    assert Schedule().is_always_open
    assert Schedule().is_open(MONDAY, OSLO)


def test_a_window_holds_its_start_and_not_its_end() -> None:
    schedule = Schedule(windows=(Window(60, 120),))
    assert not schedule.is_open(at(OSLO, 2026, 11, 23, 0, 59), OSLO)
    assert schedule.is_open(at(OSLO, 2026, 11, 23, 1, 0), OSLO)
    assert schedule.is_open(at(OSLO, 2026, 11, 23, 1, 59), OSLO)
    assert not schedule.is_open(at(OSLO, 2026, 11, 23, 2, 0), OSLO)


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    schedule = Schedule(windows=(Window(22 * 60, 4 * 60, (5,)),))  # Fridays
    assert schedule.is_open(at(OSLO, 2026, 11, 27, 23, 0), OSLO)
    assert schedule.is_open(at(OSLO, 2026, 11, 28, 3, 59), OSLO)
    assert not schedule.is_open(at(OSLO, 2026, 11, 28, 23, 0), OSLO)
    assert not schedule.is_open(at(OSLO, 2026, 11, 27, 3, 0), OSLO)


def test_zones_that_are_not_whole_hours_away() -> None:
    schedule = Schedule(windows=(Window(0, 60),))
    assert schedule.opens_at(MONDAY, KATHMANDU) == MONDAY + timedelta(hours=18, minutes=15)


def test_a_fixed_zone_wins_over_the_devices() -> None:
    schedule = Schedule(windows=(Window(0, 60),), time_zone="Asia/Kathmandu")
    assert schedule.zone(OSLO) == KATHMANDU


def test_nothing_is_open_on_a_blackout_date_not_even_the_night_before() -> None:
    eve = Schedule(windows=(Window(22 * 60, 4 * 60),), blackout_dates=(date(2026, 12, 25),))
    assert eve.is_open(at(OSLO, 2026, 12, 24, 23, 59), OSLO)
    assert not eve.is_open(at(OSLO, 2026, 12, 25, 0, 0), OSLO)
    assert not eve.is_open(at(OSLO, 2026, 12, 25, 23, 0), OSLO)
    assert not eve.is_open(at(OSLO, 2026, 12, 26, 3, 0), OSLO)
    assert eve.is_open(at(OSLO, 2026, 12, 26, 22, 0), OSLO)


def test_in_spring_a_window_inside_the_hour_that_is_left_out_does_not_open() -> None:
    schedule = Schedule(windows=(Window(2 * 60, 3 * 60),))  # 2027-03-28 goes from 02:00 to 03:00
    day = [at(OSLO, 2027, 3, 28, 0, 0) + n * MINUTE for n in range(23 * 60)]
    assert not any(schedule.is_open(moment, OSLO) for moment in day)


def test_in_spring_a_window_that_begins_in_the_missing_hour_opens_when_clocks_jump() -> None:
    schedule = Schedule(windows=(Window(2 * 60 + 30, 3 * 60 + 30),))
    opens = schedule.opens_at(at(OSLO, 2027, 3, 28, 1, 0), OSLO)
    assert opens == at(OSLO, 2027, 3, 28, 3, 0)
    assert schedule.closes_at(opens, OSLO) == at(OSLO, 2027, 3, 28, 3, 30)


def test_in_spring_a_window_that_ends_in_the_missing_hour_closes_when_clocks_jump() -> None:
    schedule = Schedule(windows=(Window(60, 2 * 60 + 30),))
    assert schedule.closes_at(at(OSLO, 2027, 3, 28, 1, 30), OSLO) == at(OSLO, 2027, 3, 28, 3, 0)


def test_in_autumn_an_hour_that_comes_twice_is_in_its_window_twice() -> None:
    schedule = Schedule(windows=(Window(2 * 60, 3 * 60),))  # 2027-10-31 goes from 03:00 to 02:00
    for fold in (0, 1):
        assert schedule.is_open(at(OSLO, 2027, 10, 31, 2, 30, fold=fold), OSLO)
    assert not schedule.is_open(at(OSLO, 2027, 10, 31, 3, 0), OSLO)


def test_a_window_that_never_opens_is_refused() -> None:
    never = Schedule(windows=(Window(60, 120, (1,)),), end_at=MONDAY + timedelta(minutes=30))
    with pytest.raises(BadPlan, match="No window"):
        never.check_opens(MONDAY, ZoneInfo("UTC"))
    blocked = Schedule(blackout_dates=tuple(date(2026, 11, 22) + timedelta(n) for n in range(400)))
    with pytest.raises(BadPlan):
        blocked.check_opens(MONDAY, OSLO)


@pytest.mark.parametrize("name", ["Mars/Olympus", "../../etc/passwd", "Europe", "", "\0"])
def test_zones_that_do_not_exist_are_refused_in_plans_and_taken_for_utc_from_devices(
    name: str,
) -> None:
    assert device_zone(name) == ZoneInfo("UTC")
    if name:
        with pytest.raises(BadPlan):
            zone_named(name)


MINUTES = st.integers(0, 1439)
DAYS = st.sets(st.integers(1, 7), min_size=1).map(lambda days: tuple(sorted(days)))
# Whole hours of the year 2027, in a zone that changes its clocks.
TIMES = st.integers(0, 365 * 24 * 4).map(
    lambda n: datetime(2027, 1, 1, tzinfo=UTC) + n * timedelta(minutes=15)
)


@given(MINUTES, MINUTES, DAYS, TIMES, st.booleans())
def test_platform_and_device_read_a_window_alike(
    start: int, end: int, weekdays: tuple[int, ...], moment: datetime, is_black: bool
) -> None:
    """Except in the hours around a change of clocks, where a window may be cut differently."""
    off = (moment.astimezone(OSLO).date(),) if is_black else ()
    mine = Schedule(windows=(Window(start, end, weekdays),), blackout_dates=off)
    theirs = InstallPolicy(
        windows=(DeviceWindow(weekdays, start, end),),
        blackout_dates=tuple(day.isoformat() for day in off),
        time_zone="Europe/Oslo",
    )
    changed = {moment.astimezone(OSLO).utcoffset()} | {
        (moment + timedelta(hours=n)).astimezone(OSLO).utcoffset() for n in (-24, 24)
    }
    if len(changed) == 1:
        assert mine.is_open(moment, OSLO) == theirs.is_open(moment)


@given(MINUTES, MINUTES, DAYS, TIMES)
def test_it_is_open_when_it_says_that_it_opens_and_shut_when_it_closes(
    start: int, end: int, weekdays: tuple[int, ...], moment: datetime
) -> None:
    schedule = Schedule(windows=(Window(start, end, weekdays),))
    opens = schedule.opens_at(moment, OSLO)
    if opens is None:
        return
    assert opens >= moment
    assert schedule.is_open(opens, OSLO)
    closes = schedule.closes_at(opens, OSLO)
    assert closes is not None
    assert closes > opens
    assert schedule.is_open(closes - MINUTE, OSLO) or closes - opens < MINUTE


@given(st.lists(st.builds(Window, MINUTES, MINUTES, DAYS), max_size=4), TIMES, st.integers(1, 20))
def test_all_openings_are_those_that_it_says_one_after_the_other(
    windows: list[Window], moment: datetime, days: int
) -> None:
    schedule = Schedule(windows=tuple(windows), blackout_dates=(moment.date(),))
    until = moment + timedelta(days=days)
    found = schedule.openings(moment, until, OSLO)
    assert all(a[1] < b[0] for a, b in pairwise(found))
    for begins, ends in found:
        assert schedule.opens_at(begins, OSLO) == begins
        if ends < until:
            assert schedule.closes_at(ends - timedelta(microseconds=1), OSLO) == ends
    for gap in (moment, *(ends for _, ends in found)):
        following = next((b for b, e in found if e > gap), None)
        opens = schedule.opens_at(gap, OSLO)
        if following or opens is None or opens < until:
            assert opens == (following and max(following, gap))


def test_the_openings_of_weeks_are_found_without_looking_a_year_ahead_for_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever plans many windows would keep a worker busy for minutes."""
    looked = []
    moment_of = schedules._moment_of
    monkeypatch.setattr(
        schedules, "_moment_of", lambda *asked: looked.append(asked) or moment_of(*asked)
    )
    windows = tuple(Window(number * 40, number * 40 + 1) for number in range(21))
    schedule = Schedule(windows=windows)
    assert len(schedule.openings(MONDAY, MONDAY + timedelta(days=56), OSLO)) == 21 * 56
    assert len(looked) < 3000


def test_a_schedule_survives_being_stored() -> None:
    schedule = Schedule(
        start_at=MONDAY,
        end_at=MONDAY + timedelta(days=1),
        windows=(Window(60, 120, (1, 7)),),
        blackout_dates=(date(2026, 12, 24),),
        time_zone="Europe/Oslo",
    )
    assert Schedule.restore(schedule.dump()) == schedule


@pytest.mark.parametrize("year", [1, 1969, 2201, 9999])
def test_times_beyond_all_calendars_are_refused(year: int) -> None:
    far = datetime(year, 12, 31, 23, 59, tzinfo=UTC)
    for schedule in (Schedule(start_at=far), Schedule(end_at=far)):
        with pytest.raises(BadPlan):
            schedule.check()
