"""When windows are open: time zones, clock changes, midnight, blackout dates."""

from datetime import UTC, datetime, timedelta

import pytest
from fleetd_agent.failures import StepFailed
from fleetd_agent.policy import InstallPolicy, Window
from hypothesis import given, settings
from hypothesis import strategies as st

OSLO = "Europe/Oslo"
NIGHT = Window((), 120, 240)  # 02:00 to 04:00
OVER_MIDNIGHT = Window((5,), 22 * 60, 2 * 60)  # Friday 22:00 to Saturday 02:00


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def policy(*windows: Window, zone: str = OSLO, blackout: tuple[str, ...] = ()) -> InstallPolicy:
    return InstallPolicy(windows=windows, time_zone=zone, blackout_dates=blackout)


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-11-27 20:59", False),  # Friday 21:59 in Oslo
        ("2026-11-27 21:00", True),
        ("2026-11-28 00:59", True),  # Saturday 01:59: the window of Friday
        ("2026-11-28 01:00", False),
        ("2026-11-28 21:30", False),  # Saturday evening has no window of its own
        ("2026-11-27 00:30", False),  # nor has the night before Friday
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins(
    moment: str, is_open: bool
) -> None:
    assert policy(OVER_MIDNIGHT).is_open(utc(moment)) is is_open


def test_summer_and_winter_time_are_those_of_the_zone() -> None:
    assert policy(NIGHT).is_open(utc("2026-07-01 00:30"))  # 02:30, two hours ahead
    assert not policy(NIGHT).is_open(utc("2026-12-01 00:30"))  # 01:30, one hour ahead
    assert policy(NIGHT, zone="UTC").is_open(utc("2026-12-01 02:30"))


def test_the_hour_that_comes_twice_is_open_twice() -> None:
    window = policy(Window((), 150, 170))  # 02:30 to 02:50
    assert window.is_open(utc("2026-10-25 00:40"))  # 02:40 in summer time
    assert window.is_open(utc("2026-10-25 01:40"))  # 02:40 in winter time
    assert not window.is_open(utc("2026-10-25 01:10"))


def test_a_window_in_the_hour_that_is_left_out_opens_on_the_next_day() -> None:
    window = policy(Window((), 135, 165))  # 02:15 to 02:45, which 2026-03-29 does not have
    opening = window.next_opening(utc("2026-03-28 12:00"))
    assert opening == utc("2026-03-30 00:15")


def test_a_window_that_begins_in_the_hour_that_is_left_out_opens_when_the_clocks_change() -> None:
    window = policy(Window((), 150, 240))  # 02:30 to 04:00
    assert window.next_opening(utc("2026-03-28 12:00")) == utc("2026-03-29 01:00")


def test_a_blackout_date_closes_its_day_and_nothing_else() -> None:
    window = policy(OVER_MIDNIGHT, blackout=("2026-11-27",))
    assert not window.is_open(utc("2026-11-27 22:00"))
    assert window.is_open(utc("2026-11-28 00:00"))  # Saturday 01:00
    assert window.next_opening(utc("2026-11-27 12:00")) == utc("2026-11-27 23:00")


def test_without_windows_only_blackout_dates_are_closed() -> None:
    always = policy(blackout=("2026-12-24",))
    assert always.is_open(utc("2026-12-23 12:00"))
    assert always.next_opening(utc("2026-12-24 12:00")) == utc("2026-12-24 23:00")


def test_a_zone_that_nobody_knows_is_an_error_of_the_offer() -> None:
    with pytest.raises(StepFailed, match="Mars/Base"):
        policy(NIGHT, zone="Mars/Base").is_open(utc("2026-01-01 00:00"))


def test_a_policy_without_a_zone_means_the_devices_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    assert policy(NIGHT, zone="").is_open(utc("2026-11-27 21:00"))  # 02:30 there


windows = st.builds(
    Window,
    st.lists(st.integers(1, 7), max_size=3).map(tuple),
    st.integers(0, 1439),
    st.integers(0, 1440),
)


@settings(max_examples=40, deadline=None)
@given(
    windows,
    st.sampled_from([OSLO, "America/New_York", "Australia/Lord_Howe", "UTC"]),
    st.integers(0, 365 * 1440),
)
def test_the_next_opening_is_the_first_open_minute(window: Window, zone: str, minute: int) -> None:
    about = policy(window, zone=zone)
    start = utc("2026-01-01 00:00") + timedelta(minutes=minute)
    opening = about.next_opening(start)
    assert opening is not None
    assert about.is_open(opening)
    minutes = min(int((opening - start) / timedelta(minutes=1)), 3 * 1440)
    assert not any(about.is_open(start + timedelta(minutes=n)) for n in range(0, minutes, 7))
    if opening > start:
        assert not about.is_open(opening - timedelta(minutes=1))
