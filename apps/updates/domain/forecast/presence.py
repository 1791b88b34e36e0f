"""One device on the virtual clock: when it comes, how long it works, when it is through."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor, inf
from random import Random
from typing import TypeVar

from apps.updates.domain.forecast.history import DAY, HOUR, LEAST_WATCHED, WEEK, Behaviour, Past

# A device that has not come within four weeks is one that does not come.
HORIZON = 4 * WEEK
Drawn = TypeVar("Drawn")


@dataclass(frozen=True, slots=True)
class Openings:
    """When updates may start: rising Unix times of windows that open and close."""

    opens: Sequence[float]
    closes: Sequence[float]

    def following(self, at: float) -> float:
        """This moment, or the next at which a window opens; infinite where none does."""
        place = bisect_right(self.closes, at)
        return max(at, self.opens[place]) if place < len(self.opens) else inf


@dataclass(frozen=True, slots=True)
class Job:
    """What a device has to do: bytes to download, at no more than so many a second.

    `openings` are the windows by time zone; empty is always.
    """

    size_bytes: int
    maximum_rate: float
    openings: Mapping[str, Openings]


@dataclass(frozen=True, slots=True)
class Visit:
    """Seconds after the phase was opened: when the device takes its update and is through.

    `download` are seconds of downloading at `rate` bytes per second. Infinite where it never is.
    """

    start: float
    download: float
    end: float
    rate: float


NEVER = Visit(inf, 0.0, inf, 0.0)


def visit(
    device: Behaviour,
    opened: float,
    job: Job,
    slowness: float,
    chance: Random,
    then: float | None = None,
) -> Visit:
    """How one device takes an update from a phase that opens at the Unix time `opened`.

    It starts at its first check-in within the window, and rests while it is offline. Coming and
    working take `slowness` times as long as in the past. With `then`, from 0 to 1, its own past
    begins again there: the same for all devices.
    """
    rate = min(_one_of(device.bytes_per_second, chance), job.maximum_rate)
    download = job.size_bytes / rate
    windows = job.openings.get(device.time_zone)
    work = (download + _one_of(device.install_seconds, chance)) * slowness
    start = inf
    past = _one_of(device.pasts, chance) if then is None else device.pasts[0]
    for begins, ends in _spells(past, opened, chance, then):
        at = begins
        if start == inf:
            at = opened + (begins - opened) * slowness
            at += chance.random() * _one_of(device.check_in_gaps, chance)
            if windows is not None:
                at = windows.following(at)
            if at >= ends:
                continue
            start = at
        if at + work <= ends:
            end = at + work - opened
            start -= opened
            return Visit(start, min(download, end - start), end, rate)
        work -= ends - at
    return NEVER if start == inf else Visit(start - opened, download, inf, rate)


def _spells(
    past: Past, at: float, chance: Random, place_in_past: float | None
) -> Iterator[tuple[float, float]]:
    """When a device with this past is online from a moment on: (begin, end), for four weeks.

    Its past once more, so that habits, outages and their lengths come as they came: from the same
    hour of a past week that is drawn by chance (of a past day where there is less than a week), or
    from any moment where the device does not care about the time. Where the past ends, another
    beginning is drawn.
    """
    limit, online = at + HORIZON, past.online
    span = past.observed_to - past.observed_from
    if span < LEAST_WATCHED:
        yield at, limit
        return
    period = WEEK if span >= WEEK else DAY if span >= DAY else HOUR
    if not past.has_rhythm:
        period = 1.0
    while at < limit:
        least = floor((at - past.observed_to) / period) + 1
        most = max(floor((at - past.observed_from) / period), least)
        drawn = chance.random() if place_in_past is None else place_in_past
        place_in_past = None
        shift = (least + int(drawn * (most - least + 1))) * period
        then = at - shift
        for place in range(bisect_right(online, then) // 2 * 2, len(online) - 1, 2):
            if online[place + 1] > then:
                yield max(online[place], then) + shift, online[place + 1] + shift
        at = past.observed_to + shift


def _one_of(values: Sequence[Drawn], chance: Random) -> Drawn:
    """As `chance.choice`, at a third of its cost: it is most of what a run does."""
    return values[int(chance.random() * len(values))]
