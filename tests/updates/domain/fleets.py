"""Fleets of which the truth is known: what they show of themselves, and what then happens.

This knows nothing of the forecast: devices live in continuous time, each with hidden habits of its
own, and the rollout is worked through event by event by a plain strict or Wald gate.
"""

from dataclasses import dataclass, field
from math import inf
from random import Random

from apps.updates.domain.forecast import DeviceHistory

HOUR = 3600.0
DAY = 24 * HOUR
WEEK = 7 * DAY
HISTORY_WEEKS = 4
SPAN = (HISTORY_WEEKS + 6) * WEEK


@dataclass
class Machine:
    """One device: when it is online, from its first week on, and how it updates."""

    spells: list[tuple[float, float]]
    check_in: float
    rate: float
    install: float
    failure_rate: float
    past: list[bool] = field(default_factory=list)


def always_on(chance: Random) -> list[tuple[float, float]]:
    """A server: online but for rare short outages."""
    return _alternating(chance, chance.uniform(3, 20) * DAY, chance.uniform(0.1, 2) * HOUR)


def flaky(chance: Random) -> list[tuple[float, float]]:
    """A device with a bad connection: hours on, hours off, whatever the time."""
    return _alternating(chance, chance.uniform(3, 30) * HOUR, chance.uniform(1, 12) * HOUR)


def office(chance: Random) -> list[tuple[float, float]]:
    """A computer that is on at work, at its person's hours, and sometimes not at all."""
    begins, length = chance.gauss(8, 0.7), chance.gauss(9, 1)
    absent = chance.uniform(0, 0.15)
    spells = []
    for day in range(int(SPAN / DAY)):
        if day % 7 < 5 and chance.random() >= absent:
            start = day * DAY + (begins + chance.gauss(0, 0.3)) * HOUR
            spells.append((start, start + (length + chance.gauss(0, 0.5)) * HOUR))
    return spells


def _alternating(chance: Random, on: float, off: float) -> list[tuple[float, float]]:
    at = -chance.expovariate(1 / on) if chance.random() < on / (on + off) else 0.0
    spells = []
    while at < SPAN:
        end = at + chance.expovariate(1 / on)
        spells.append((max(at, 0.0), end))
        at = end + chance.expovariate(1 / off)
    return [spell for spell in spells if spell[1] > 0]


def fleet(chance: Random, size: int) -> list[Machine]:
    """A fleet with a mixture, a speed and a health of its own."""
    shares = [chance.random() + 0.1 for _ in range(3)]
    speed = chance.uniform(0.2e6, 3e6)
    health = chance.uniform(0, 0.002)
    return [_machine(chance, shares, speed, health) for _ in range(size)]


def _machine(chance: Random, shares: list[float], speed: float, health: float) -> Machine:
    kind = chance.choices((always_on, flaky, office), shares)[0]
    machine = Machine(
        spells=kind(chance),
        check_in=chance.uniform(10, 300),
        rate=speed * chance.lognormvariate(0, 0.5),
        install=chance.uniform(20, 200),
        failure_rate=health * chance.uniform(0.5, 1.5),
    )
    machine.past = [chance.random() < machine.failure_rate for _ in range(chance.randrange(6))]
    return machine


def shown(number: int, machine: Machine, chance: Random, monday: float) -> DeviceHistory:
    """What four weeks from the Unix time `monday` show of a device: spells and noisy figures."""
    end = HISTORY_WEEKS * WEEK
    seen = [(a, min(b, end)) for a, b in machine.spells if a < end]
    tries = len(machine.past)
    return DeviceHistory(
        device_id=f"device-{number}",
        online=[monday + moment for spell in seen for moment in spell],
        observed_from=monday,
        observed_to=monday + end,
        check_in_gaps=[machine.check_in * chance.uniform(0.9, 1.1) for _ in range(3)],
        attempts=tries,
        failures=sum(machine.past),
        bytes_per_second=[machine.rate * chance.lognormvariate(0, 0.1) for _ in range(tries)],
        install_seconds=[machine.install * chance.uniform(0.8, 1.2) for _ in range(tries)],
    )


def truth(
    phases: list[list[Machine]],
    begins: float,
    size: int,
    timeout: float,
    chance: Random,
) -> float:
    """Seconds until the last phase has passed a strict gate; infinite where one failed."""
    at = begins
    for phase in phases:
        outcomes = [_update(machine, at, size, timeout, chance) for machine in phase]
        if not all(succeeded for _, succeeded in outcomes):
            return inf
        at = max(end for end, _ in outcomes)
    return at - begins


def _update(
    machine: Machine, opened: float, size: int, timeout: float, chance: Random
) -> tuple[float, bool]:
    """When one device is through, and whether it succeeded."""
    work = size / machine.rate + machine.install
    started = inf
    for begin, end in machine.spells:
        at = max(begin, opened)
        if at >= end:
            continue
        if started == inf:
            at += chance.uniform(0, machine.check_in)
            if at >= end:
                continue
            started = at
        if at + work <= end:
            if at + work > started + timeout:
                break
            return at + work, chance.random() >= machine.failure_rate
        work -= end - at
    return started + timeout, False
