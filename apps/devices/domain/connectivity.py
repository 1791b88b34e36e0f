"""Whether a device can be reached, and why: pure functions of its stored state and the clock.

Stored connectivity changes on transitions only. It is always read together with the deadline, so
that a device whose gateway died is offline in time, whether or not anybody swept.
"""

from datetime import datetime, timedelta
from typing import Protocol

from apps.devices.domain.states import CONNECTED, Connectivity

MISSED_ALLOWED = 3
MIN_GRACE_SECONDS = 10
MAX_CLOCK_SKEW_SECONDS = 300
FULL_DISK_RATIO = 0.95


class LiveState(Protocol):
    """What is stored of a device's live state."""

    connectivity: str
    connected_at: datetime | None
    disconnected_at: datetime | None
    disconnect_reason: str
    last_seen_at: datetime | None
    offline_at: datetime | None
    heartbeat_seconds: int
    clock_skew_seconds: float
    disk_ratio: float


def grace(heartbeat_seconds: int) -> timedelta:
    """How long after its last message a device counts as reachable."""
    return timedelta(seconds=max(MISSED_ALLOWED * heartbeat_seconds, MIN_GRACE_SECONDS))


def connectivity_of(state: LiveState, now: datetime) -> Connectivity:
    """Connectivity at `now`: what is stored, unless the deadline has passed since."""
    stored = Connectivity(state.connectivity)
    passed = state.offline_at is None or state.offline_at <= now
    return Connectivity.OFFLINE if stored in CONNECTED and passed else stored


def connected_as(clock_skew_seconds: float, disk_ratio: float) -> Connectivity:
    """What a device is that can be reached: online, or degraded where something is wrong."""
    wrong = complaints(clock_skew_seconds, disk_ratio)
    return Connectivity.DEGRADED if wrong else Connectivity.ONLINE


def complaints(clock_skew_seconds: float, disk_ratio: float) -> list[str]:
    """What makes a reachable device degraded, in words; empty for a healthy one."""
    found = []
    if abs(clock_skew_seconds) > MAX_CLOCK_SKEW_SECONDS:
        side = "ahead" if clock_skew_seconds > 0 else "behind"
        found.append(f"clock is {abs(clock_skew_seconds):.0f} s {side}")
    if disk_ratio >= FULL_DISK_RATIO:
        found.append(f"disk is {disk_ratio:.0%} full")
    return found


def missed_beats(state: LiveState, now: datetime) -> int:
    """How many heartbeats have not come since the last message."""
    if state.last_seen_at is None or state.heartbeat_seconds <= 0:
        return 0
    return max(0, int((now - state.last_seen_at).total_seconds() // state.heartbeat_seconds))


def silence(state: LiveState, now: datetime) -> str:
    """Why a device that went silent counts as offline, as it is kept with the transition."""
    seen = _time(state.last_seen_at, now)
    missed = missed_beats(state, now)
    text = f"no heartbeat since {seen}, expected every {state.heartbeat_seconds} s, missed {missed}"
    return f"{text} ({state.disconnect_reason})" if state.disconnect_reason else text


def explain(state: LiveState, now: datetime) -> str:
    """One sentence that says what the connectivity is, since when, and why. Times are UTC."""
    match connectivity_of(state, now):
        case Connectivity.NEVER_SEEN:
            return "Never seen: the device has not connected yet"
        case Connectivity.ONLINE:
            every = f"expected every {state.heartbeat_seconds} s"
            return f"Online since {_time(state.connected_at, now)} · {every}"
        case Connectivity.DEGRADED:
            wrong = complaints(state.clock_skew_seconds, state.disk_ratio)
            since = _time(state.connected_at, now)
            return f"Connected since {since}, but degraded: {' and '.join(wrong)}"
        case Connectivity.OFFLINE:
            return _explain_offline(state, now)


def _explain_offline(state: LiveState, now: datetime) -> str:
    ended_on_purpose = state.offline_at is not None and state.offline_at == state.disconnected_at
    if ended_on_purpose:
        return f"Offline since {_time(state.disconnected_at, now)} · {state.disconnect_reason}"
    parts = [
        f"Offline since {_time(state.last_seen_at, now)}",
        f"expected every {state.heartbeat_seconds} s",
        f"missed {missed_beats(state, now)}",
    ]
    if state.disconnected_at is not None and state.disconnect_reason:
        parts.append(state.disconnect_reason)
    return " · ".join(parts)


def _time(at: datetime | None, now: datetime) -> str:
    """The time of day, with the date where it is another day."""
    if at is None:
        return "an unknown time"
    return f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M:%S}"
