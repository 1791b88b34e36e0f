"""How devices behaved lately: what a forecast is made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from operator import mul

HOUR = 3600.0
# Whoever was watched for less than this says nothing about when devices are online.
LEAST_WATCHED = 900.0
DAY = 24 * HOUR
WEEK = 7 * DAY
WEEK_HOURS = 168
# A device varies by the hour of the week where this share of its variation is left within hours.
RHYTHM = 0.67
NO_VARIATION = 0.01
# So many devices on either side in the order of habits count as alike.
NEIGHBOURS = 8
# What is remembered of the whole fleet, for devices without figures of their own.
MAXIMUM_SAMPLES = 10_000
# What is assumed about failures beforehand weighs as much as so many past updates.
PRIOR_ATTEMPTS = 25.0


@dataclass(frozen=True, slots=True)
class DeviceHistory:
    """One device lately.

    `online` are Unix times in seconds, rising, in turn of coming online and of leaving, within
    `observed_from` to `observed_to`: its check-in gaps, its offline hours of the week and its
    outages in one. `attempts` and `failures` are its past updates, `bytes_per_second` and
    `install_seconds` figures of its past downloads and installations, `check_in_gaps` the
    seconds between check-ins while online. What a device does not know is taken from others.
    """

    device_id: str
    online: Sequence[float] = ()
    observed_from: float = 0.0
    observed_to: float = 0.0
    check_in_gaps: Sequence[float] = ()
    attempts: int = 0
    failures: int = 0
    bytes_per_second: Sequence[float] = ()
    install_seconds: Sequence[float] = ()
    time_zone: str = ""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What is taken where no device has any history: the caller's own figures."""

    check_in_gap: float = 30.0
    bytes_per_second: float = 1_000_000.0
    install_seconds: float = 60.0
    failure_rate: float = 0.02


@dataclass(frozen=True, slots=True)
class Past:
    """When a device was online while it was observed; Unix times as in `DeviceHistory`.

    One with a rhythm is online at some hours of the week much more often than at others.
    """

    online: Sequence[float]
    observed_from: float
    observed_to: float
    has_rhythm: bool


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One device as the simulation takes it, where nothing is missing.

    `pasts` are its own, first, and those of devices like it. It fails `risk` times as often as the
    fleet.
    """

    pasts: Sequence[Past]
    check_in_gaps: Sequence[float]
    bytes_per_second: Sequence[float]
    install_seconds: Sequence[float]
    risk: float
    time_zone: str


Habit = tuple[bool, int, float]
ALWAYS = Past((), 0.0, 0.0, has_rhythm=False)


def behaviours(devices: Sequence[DeviceHistory], defaults: Defaults) -> list[Behaviour]:
    """The behaviour of each device, with the fleet's figures where it has none of its own."""
    gaps = _pool([d.check_in_gaps for d in devices], defaults.check_in_gap)
    rates = _pool([d.bytes_per_second for d in devices], defaults.bytes_per_second)
    installs = _pool([d.install_seconds for d in devices], defaults.install_seconds)
    mean = failure_rate(devices, defaults.failure_rate)
    return [
        Behaviour(
            pasts=pasts,
            check_in_gaps=device.check_in_gaps or gaps,
            bytes_per_second=device.bytes_per_second or rates,
            install_seconds=device.install_seconds or installs,
            risk=failure_rate([device], mean) / mean,
            time_zone=device.time_zone,
        )
        for device, pasts in zip(devices, _pasts(devices), strict=True)
    ]


def _pasts(devices: Sequence[DeviceHistory]) -> list[Sequence[Past]]:
    """For each device its own past, and those of its neighbours when all are sorted by habit.

    A few weeks of one device do not show what it does rarely; devices like it do. One that was
    not observed gets others only, spread evenly over the fleet.
    """
    known = sorted(
        (_habit(device), place)
        for place, device in enumerate(devices)
        if device.observed_to - device.observed_from >= LEAST_WATCHED
    )
    if not known:
        return [(ALWAYS,) for _ in devices]
    pasts = [_past(devices[place], habit) for habit, place in known]
    found: list[Sequence[Past]] = [
        (pasts[place * 7919 % len(pasts)],) for place in range(len(devices))
    ]
    for rank, (habit, place) in enumerate(known):
        around = range(max(rank - NEIGHBOURS, 0), min(rank + NEIGHBOURS + 1, len(known)))
        near = [n for n in around if n != rank and _are_alike(known[n][0], habit)]
        found[place] = [pasts[rank], *(pasts[n] for n in near)]
    return found


def _past(device: DeviceHistory, habit: Habit) -> Past:
    has_rhythm = habit[0]
    return Past(device.online, device.observed_from, device.observed_to, has_rhythm)


def _habit(device: DeviceHistory) -> Habit:
    """Whether a device has a rhythm, how much it is online, and how long it is usually away.

    The usual time is the median, so that devices which happened to be away for long once or twice
    do not end up among themselves.
    """
    span = device.observed_to - device.observed_from
    share = (sum(device.online[1::2]) - sum(device.online[::2])) / span
    away = [b - a for a, b in zip(device.online[1:-1:2], device.online[2::2], strict=True)]
    usual = sorted(away)[len(away) // 2] if away else 0.0
    return _has_rhythm(device, span / WEEK), round(share * 5), usual


def _are_alike(first: Habit, second: Habit) -> bool:
    longer, shorter = max(first[2], second[2]), min(first[2], second[2])
    return first[:2] == second[:2] and longer <= 2 * shorter + HOUR


def _has_rhythm(device: DeviceHistory, weeks: float) -> bool:
    """Whether the hour of the week says much about being online.

    Within the hours of the week being online varies by p (1-p), p its share in that hour; over all
    hours together by the same of the whole share. By chance alone the first would be nearly as
    much, less one part in as many weeks as there are.
    """
    changes = [0] * (WEEK_HOURS + 1)
    for begins, ends in zip(device.online[::2], device.online[1::2], strict=True):
        first, last = round(begins / HOUR), round(ends / HOUR)
        whole, rest = divmod(last - first, WEEK_HOURS)
        changes[0] += whole
        start = first % WEEK_HOURS
        changes[start] += 1
        changes[min(start + rest, WEEK_HOURS)] -= 1
        if start + rest > WEEK_HOURS:
            changes[0] += 1
            changes[start + rest - WEEK_HOURS] -= 1
    most = max(weeks, 1.0)
    hours = list(accumulate(changes[:WEEK_HOURS]))
    mean = sum(hours) / most / WEEK_HOURS
    within = mean - sum(map(mul, hours, hours)) / most / most / WEEK_HOURS
    total = mean * (1 - mean)
    return total > NO_VARIATION and within <= total * RHYTHM * (1 - 1 / most)


def failure_rate(devices: Sequence[DeviceHistory], expected: float) -> float:
    """The share of past updates that failed, drawn towards `expected` as by 25 outcomes."""
    attempts = sum(device.attempts for device in devices)
    failures = sum(device.failures for device in devices)
    return (failures + PRIOR_ATTEMPTS * expected) / (attempts + PRIOR_ATTEMPTS)


def _pool(figures: Sequence[Sequence[float]], default: float) -> Sequence[float]:
    """All figures of the fleet, evenly thinned; the default where there are none."""
    values = list(chain.from_iterable(figures))
    return values[:: len(values) // MAXIMUM_SAMPLES + 1] or [default]
