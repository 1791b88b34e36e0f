"""The devices of one open phase on the virtual clock, and what is counted of them at any time."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from heapq import heappop, heappush
from itertools import accumulate
from math import inf
from random import Random

from apps.updates.domain.forecast.history import Behaviour
from apps.updates.domain.forecast.presence import Job, Visit, visit
from apps.updates.domain.gate import Counts
from apps.updates.domain.plan import Plan, Rate

# Looks between the first outcomes and the last one: each at a quarter more outcomes than before.
FIRST_LOOKS = 6
GROWTH = 1.25
# The coming weeks are not the past ones: the devices of a phase take between so many times as long
# to come and to work, and up to this share of them has good or bad luck, the better or the worse
# of two visits. Both are drawn for each phase of each run. Without it the band is too narrow,
# because a few weeks do not show all that devices do (tried on fleets whose truth is known).
SLOWNESS = (0.95, 1.05)
MOST_LUCK = 0.9
# In so many phases all devices live through the same time of the past once more, each its own: what
# befell many of them together, such as a site without a connection, does so again.
TOGETHER = 0.5
# Until here a growing rate is followed minute by minute.
RATE_MINUTES = 3000


@dataclass(frozen=True, slots=True)
class Track:
    """One phase in one run: sorted seconds, since the beginning of the forecast.

    `downloads` are (start, end, bytes per second), `late` the devices' places in their phase that
    were not through at the end time.
    """

    size: int
    starts: Sequence[float]
    successes: Sequence[float]
    failures: Sequence[float]
    downloads: Sequence[tuple[float, float, float]]
    late: Sequence[int]

    def counts(self, at: float) -> Counts:
        """The counters of the phase at a moment."""
        started = bisect_right(self.starts, at)
        succeeded, failed = bisect_right(self.successes, at), bisect_right(self.failures, at)
        return Counts(
            waiting=self.size - started,
            active=started - succeeded - failed,
            succeeded=succeeded,
            failed=failed,
        )

    def looks(self) -> list[float]:
        """Moments worth a look: each of the first outcomes and failures, then ever fewer."""
        ends = sorted((*self.successes, *self.failures))
        moments = {ends[place] for place in _places(len(ends))}
        moments |= {self.failures[place] for place in _places(len(self.failures))}
        return sorted(moment for moment in moments if moment < inf)


@dataclass(frozen=True, slots=True)
class Fleet:
    """The devices of all phases, and their plan: what stays the same in every run.

    `begins` is the Unix time of the beginning, `ends` the seconds from there to the end time.
    """

    plan: Plan
    phases: Sequence[Sequence[Behaviour]]
    job: Job
    timeout_seconds: int
    begins: float
    ends: float

    def track(self, phase: int, opened: float, failure_rate: float, chance: Random) -> Track:
        """What the devices of a phase do that opens at `opened`."""
        devices = self.phases[phase]
        visits = self._visits(devices, self.begins + opened, chance)
        order = sorted(range(len(visits)), key=lambda place: visits[place].start)
        starts = self._starts(phase, [visits[place] for place in order], opened)
        good: list[float] = []
        bad: list[float] = []
        downloads, late = [], []
        for start, place in zip(starts, order, strict=True):
            device = visits[place]
            end, is_bad = self._end(start, device, failure_rate * devices[place].risk, chance)
            (bad if is_bad else good).append(end)
            if end > self.ends:
                late.append(place)
            if start < inf:
                downloads.append((start, start + device.download, device.rate))
        return Track(len(visits), starts, sorted(good), sorted(bad), downloads, late)

    def _visits(self, devices: Sequence[Behaviour], opened: float, chance: Random) -> list[Visit]:
        """One visit of each device; of some the better or the worse one of two."""
        luck, slowness = chance.uniform(-MOST_LUCK, MOST_LUCK), chance.uniform(*SLOWNESS)
        choose = min if luck > 0 else max
        then = chance.random() if chance.random() < TOGETHER else None
        visits = [visit(device, opened, self.job, slowness, chance, then) for device in devices]
        if then is not None:
            return visits
        for place, device in enumerate(devices):
            if chance.random() < abs(luck):
                other = visit(device, opened, self.job, slowness, chance)
                visits[place] = choose(visits[place], other, key=lambda v: v.end)
        return visits

    def _end(
        self, start: float, device: Visit, failure_rate: float, chance: Random
    ) -> tuple[float, bool]:
        """When a device that starts then is through, and whether it failed.

        It fails by chance or at its deadline; further attempts follow where the plan has them.
        """
        if start == inf:
            return inf, False
        rules, work = self.plan.installation, device.end - device.start
        step = min(work, self.timeout_seconds)
        end = start + step
        for attempt in range(1, rules.maximum_attempts + 1):
            if work <= self.timeout_seconds and chance.random() >= failure_rate:
                return end, False
            if attempt < rules.maximum_attempts:
                end += rules.backoff(attempt) + step
        return end, True

    def _starts(self, phase: int, visits: Sequence[Visit], opened: float) -> list[float]:
        """When each device starts, in the order in which they are ready: by rate and number."""
        starts = [device.start + opened for device in visits]
        rules = self.plan.phases[phase]
        if rules.rate is not None:
            allowed = _allowed_from(rules.rate, len(starts))
            starts = [max(at, opened + then) for at, then in zip(starts, allowed, strict=True)]
        if rules.maximum_in_flight:
            busy: list[float] = []
            for place, at in enumerate(starts):
                if len(busy) >= rules.maximum_in_flight:
                    starts[place] = max(at, heappop(busy))
                work = visits[place].end - visits[place].start if at < inf else 0.0
                heappush(busy, starts[place] + min(work, self.timeout_seconds))
        return sorted(starts)


@lru_cache(maxsize=64)
def _allowed_from(rate: Rate, number: int) -> Sequence[float]:
    """The seconds after which the first, second … device of a phase may start."""
    moments: list[float] = []
    minute = 0
    while len(moments) < number:
        moments += [minute * 60.0] * (rate.allowed(minute * 60) - len(moments))
        minute += 1
        if minute > RATE_MINUTES:
            # What grows slowly for days goes on as it was: to ask for each minute takes too long.
            last = max(rate.allowed(minute * 60) - len(moments), 1)
            rest = range(number - len(moments))
            moments += [(minute + place // last) * 60.0 for place in rest]
    return moments[:number]


def peak_bytes_per_second(downloads: Sequence[tuple[float, float, float]]) -> float:
    """The greatest sum of the rates of downloads (start, end, rate) at any one moment."""
    changes = [(start, rate) for start, _, rate in downloads]
    # What ends at a moment makes room for what starts then.
    changes += [(end, -rate) for _, end, rate in downloads]
    changes.sort()
    return max(accumulate(rate for _, rate in changes), default=0.0)


def _places(number: int) -> set[int]:
    """Places of a sorted list: the first ones, then growing steps, and the last."""
    places, place = set(range(min(FIRST_LOOKS, number))), float(FIRST_LOOKS)
    while place < number:
        places.add(int(place))
        place *= GROWTH
    return places | ({number - 1} if number else set())
