"""Whether a device can be reached, as a function of its state and the clock."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.devices.domain.connectivity import (
    complaints,
    connected_as,
    connectivity_of,
    explain,
    grace,
    missed_beats,
)
from apps.devices.domain.states import Connectivity

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass
class State:
    """A device's stored state."""

    connectivity: str = "online"
    connected_at: datetime | None = NOON
    disconnected_at: datetime | None = None
    disconnect_reason: str = ""
    last_seen_at: datetime | None = NOON
    offline_at: datetime | None = NOON + timedelta(seconds=180)
    heartbeat_seconds: int = 60
    clock_skew_seconds: float = 0.0
    disk_ratio: float = 0.0


@given(st.integers(0, 86_400), st.integers(0, 10**6))
def test_a_device_is_reachable_exactly_until_its_deadline(beat: int, passed: int) -> None:
    state = State(offline_at=NOON + grace(beat), heartbeat_seconds=beat)
    now = NOON + timedelta(seconds=passed)
    is_online = connectivity_of(state, now) is Connectivity.ONLINE
    assert is_online == (passed < max(3 * beat, 10))


@given(st.sampled_from(Connectivity), st.integers(-500, 500), st.integers(0, 10**6))
def test_every_state_has_a_sentence(stored: Connectivity, skew: int, passed: int) -> None:
    state = State(connectivity=stored.value, clock_skew_seconds=skew)
    sentence = explain(state, NOON + timedelta(seconds=passed))
    assert sentence[0].isupper()
    assert "None" not in sentence


@given(st.floats(-1e6, 1e6), st.floats(0, 1))
def test_degraded_always_says_why(skew: float, disk: float) -> None:
    is_degraded = connected_as(skew, disk) is Connectivity.DEGRADED
    assert is_degraded == bool(complaints(skew, disk))
    assert is_degraded == (abs(skew) > 300 or disk >= 0.95)


@pytest.mark.parametrize(
    ("state", "passed", "sentence"),
    [
        (State(connectivity="never_seen"), 0, "Never seen: the device has not connected yet"),
        (State(), 5, "Online since 12:00:00 · expected every 60 s"),
        (
            State(connectivity="degraded", disk_ratio=0.96),
            5,
            "Connected since 12:00:00, but degraded: disk is 96% full",
        ),
        (State(), 190, "Offline since 12:00:00 · expected every 60 s · missed 3"),
        (
            State(disconnected_at=NOON, disconnect_reason="reset by peer"),
            190,
            "Offline since 12:00:00 · expected every 60 s · missed 3 · reset by peer",
        ),
        (
            State(
                connectivity="offline",
                offline_at=NOON,
                disconnected_at=NOON,
                disconnect_reason="said goodbye: reboot",
            ),
            600,
            "Offline since 12:00:00 · said goodbye: reboot",
        ),
        (State(), 86_400, "Offline since 2026-03-01 12:00:00 · expected every 60 s · missed 1440"),
    ],
)
def test_the_sentences(state: State, passed: int, sentence: str) -> None:
    assert explain(state, NOON + timedelta(seconds=passed)) == sentence


def test_a_clock_that_goes_back_misses_nothing() -> None:
    assert missed_beats(State(), NOON - timedelta(hours=1)) == 0
