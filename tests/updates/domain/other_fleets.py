"""Fleets whose devices behave by another process than those that the forecast was tuned on.

Nothing of `fleets` is used but the record of a device. Gaps have heavy tails (Weibull, Pareto,
log-normal) instead of exponential ones, days have jitter and half-days, devices wake by a timer,
vehicles drive, and sites lose their connection for all of their devices at once. Downloads are
slower or faster each time, installations too, and the past that is shown may be short.
"""

from dataclasses import dataclass
from math import inf
from random import Random

from apps.updates.domain.forecast import DeviceHistory
from tests.updates.domain.fleets import DAY, HOUR, WEEK

MINUTE = 60.0
Spells = list[tuple[float, float]]


@dataclass
class Thing:
    """One device: when it is online, and how it updates."""

    spells: Spells
    poll: float
    rate: float
    install: float
    noise: float
    failure_rate: float
    updates: int


@dataclass
class World:
    """A fleet with its past, its future, and what has to be installed."""

    things: list[Thing]
    begins: float
    watched: float
    size: int
    timeout: float


def world(chance: Random, number: int, weeks: float = 6.0) -> World:
    """A fleet of a mixture, at a moment after a past of four days to five weeks."""
    begins = 5 * WEEK + chance.uniform(0, WEEK)
    span = begins + weeks * WEEK
    sites = [_outages(chance, span) for _ in range(chance.randint(1, 4))]
    kinds = chance.sample((mains, shop, timer, vehicle, mobile), k=chance.randint(1, 4))
    speed, noise = chance.lognormvariate(13.5, 1.0), chance.uniform(0.05, 0.4)
    health = chance.choice((0.0, 0.0, 0.0005, 0.002))
    things = []
    for _ in range(number):
        spells = _without(chance.choice(kinds)(chance, span), chance.choice(sites))
        things.append(
            Thing(
                spells=spells,
                poll=chance.uniform(0.5, 3),
                rate=speed * chance.lognormvariate(0, 0.7),
                install=chance.lognormvariate(4, 0.8),
                noise=noise,
                failure_rate=health,
                updates=chance.choice((0, 0, 1, 3, 6)),
            )
        )
    watched = min(chance.uniform(4 * DAY, 5 * WEEK), begins)
    size = int(chance.lognormvariate(16.5, 1.0))
    return World(things, begins, watched, size, 2 * WEEK)


def mains(chance: Random, span: float) -> Spells:
    """Always on, but for restarts and rare outages with a heavy tail."""
    mean, spells, at = chance.uniform(2, 15) * DAY, [], 0.0
    while at < span:
        end = at + mean * chance.weibullvariate(1, 0.7)
        spells.append((at, end))
        at = end + 2 * MINUTE * chance.paretovariate(1.1)
    return spells


def shop(chance: Random, span: float) -> Spells:
    """Opening hours with jitter, a shorter Saturday, closed days."""
    opens, hours, closed = chance.uniform(5, 12), chance.uniform(5, 13), chance.uniform(0, 0.08)
    saturday, spells = chance.random() < 0.6, []
    for day in range(int(span / DAY)):
        weekday = day % 7
        if weekday == 6 or (weekday == 5 and not saturday) or chance.random() < closed:
            continue
        start = day * DAY + (opens + chance.triangular(-0.8, 1.5, 0)) * HOUR
        length = hours * (0.5 if weekday == 5 else 1.0) * chance.uniform(0.8, 1.1)
        spells.append((start, start + length * HOUR))
    return spells


def timer(chance: Random, span: float) -> Spells:
    """Sleeps, wakes every so many hours for some minutes, and misses a wake now and then."""
    every, awake = chance.uniform(1, 24) * HOUR, chance.uniform(5, 40) * MINUTE
    drift, missed = chance.uniform(0, 0.1), chance.uniform(0, 0.15)
    at, spells = chance.uniform(0, every), []
    while at < span:
        if chance.random() >= missed:
            spells.append((at, at + awake * chance.uniform(0.7, 1.3)))
        at += every * (1 + chance.gauss(0, drift))
        if spells and at <= spells[-1][1]:
            at = spells[-1][1] + MINUTE
    return spells


def vehicle(chance: Random, span: float) -> Spells:
    """Trips of log-normal length, most by day, some days none."""
    trips, idle, spells = chance.uniform(1, 6), chance.uniform(0, 0.3), []
    for day in range(int(span / DAY)):
        if chance.random() < idle:
            continue
        starts = sorted(chance.gauss(13, 3.5) for _ in range(max(1, round(chance.gauss(trips, 1)))))
        for hour in starts:
            begin = max(day * DAY + hour * HOUR, spells[-1][1] + MINUTE if spells else 0.0)
            spells.append((begin, begin + 35 * MINUTE * chance.lognormvariate(0, 0.8)))
    return spells


def mobile(chance: Random, span: float) -> Spells:
    """Coverage that comes and goes, in bursts, with a heavy tail of absences."""
    on, off, tail = chance.uniform(0.3, 8), chance.uniform(0.1, 4), chance.uniform(1.2, 2.5)
    at, spells = 0.0, []
    while at < span:
        end = at + on * HOUR * chance.gammavariate(0.6, 1 / 0.6)
        spells.append((at, max(end, at + 5)))
        at = spells[-1][1] + min(off * HOUR * chance.paretovariate(tail), 5 * DAY)
    return spells


def _outages(chance: Random, span: float) -> Spells:
    """When a site's connection is down, for everything there."""
    at, found = chance.expovariate(1 / (3 * WEEK)), []
    while at < span:
        end = at + chance.lognormvariate(1, 1) * HOUR
        found.append((at, end))
        at = end + chance.expovariate(1 / (3 * WEEK))
    return found


def _without(spells: Spells, outages: Spells) -> Spells:
    for begin, end in outages:
        cut: Spells = []
        for a, b in spells:
            cut += [(a, min(b, begin))] if a < begin else []
            cut += [(max(a, end), b)] if b > end else []
        spells = [(a, b) for a, b in cut if b > a]
    return spells


def shown(number: int, thing: Thing, chance: Random, now: World, monday: float) -> DeviceHistory:
    """What a platform that has watched for a while has seen of a device."""
    since, to = now.begins - now.watched, now.begins
    seen = [(max(a, since), min(b, to)) for a, b in thing.spells if b > since and a < to]
    failures = sum(chance.random() < thing.failure_rate for _ in range(thing.updates))
    return DeviceHistory(
        device_id=f"thing-{number}",
        online=[monday + moment for spell in seen for moment in spell],
        observed_from=monday + since,
        observed_to=monday + to,
        check_in_gaps=(0.5, 1.0, 2.0),
        attempts=thing.updates,
        failures=failures,
        bytes_per_second=[_noisy(thing.rate, thing, chance) for _ in range(thing.updates)],
        install_seconds=[_noisy(thing.install, thing, chance) for _ in range(thing.updates)],
    )


def truth(phases: list[list[Thing]], now: World, chance: Random) -> float:
    """Seconds until all phases have passed a strict gate; infinite where a device failed."""
    at = now.begins
    for phase in phases:
        ends = [_update(thing, at, now, chance) for thing in phase]
        at = max(ends)
        if at == inf:
            return inf
    return at - now.begins


def _update(thing: Thing, opened: float, now: World, chance: Random) -> float:
    """When a device is through; infinite where it failed or was too late."""
    work = now.size / _noisy(thing.rate, thing, chance) + _noisy(thing.install, thing, chance)
    started = inf
    for begin, end in thing.spells:
        at = max(begin, opened)
        if started == inf:
            at += chance.uniform(0, thing.poll)
        if at >= end:
            continue
        started = min(started, at)
        if at + work <= end:
            in_time = at + work <= started + now.timeout
            return at + work if in_time and chance.random() >= thing.failure_rate else inf
        work -= end - at
    return inf


def _noisy(value: float, thing: Thing, chance: Random) -> float:
    return value * chance.lognormvariate(0, thing.noise)
