"""A forecast: many runs of the rollout's own engine on a virtual clock, and what they say.

Each run draws a failure rate for the release and a visit for every device, then looks at the
growing counts with `decide` and `replay`, the functions that also run the real rollout. Devices
are drawn one by one, never in bulk, because the last device decides when a phase is over. So the
time of a run grows with the number of devices, and large fleets, whose runs differ less, get
fewer of them. The time between looks grows with the number of outcomes, so that a phase costs a
hundred decisions at most, not one for each device.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from math import inf
from random import Random
from zoneinfo import ZoneInfo

from apps.updates.domain.engine import Observations, PhaseStatus, RolloutStatus, decide, replay
from apps.updates.domain.forecast.history import (
    PRIOR_ATTEMPTS,
    Defaults,
    DeviceHistory,
    behaviours,
    failure_rate,
)
from apps.updates.domain.forecast.phases import Fleet, Track, peak_bytes_per_second
from apps.updates.domain.forecast.presence import HORIZON, Job, Openings
from apps.updates.domain.gate import Counts
from apps.updates.domain.plan import Plan
from apps.updates.domain.schedule import Schedule, device_zone
from apps.updates.domain.states import PhaseState, RolloutState

# Visits of all runs together: more devices mean fewer runs, which differ less then.
MAXIMUM_VISITS = 120_000
LEAST_RUNS = 10
# Past updates are of other releases: they say no more about a new one than so many outcomes.
MAXIMUM_ATTEMPTS = 200
MAXIMUM_AT_RISK = 100
# Devices are named that are late in more than this share of runs.
AT_RISK = 0.5


@dataclass(frozen=True, slots=True)
class Spread:
    """In 10, 50 and 90 of 100 runs the figure was at most this; None is "never"."""

    p10: float | None
    p50: float | None
    p90: float | None


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is forecast: a plan, the devices of each of its phases, and what they have to do.

    `timeout_seconds` is how long a device may take from its start to its end. The organization's
    `time_zone` counts for devices that do not say where they are.
    """

    plan: Plan
    phases: Sequence[Sequence[DeviceHistory]]
    size_bytes: int
    timeout_seconds: int
    time_zone: str = "UTC"
    defaults: Defaults = Defaults()


@dataclass(frozen=True, slots=True)
class Forecast:
    """What may be expected; times are seconds after the beginning.

    `phases` are the moments at which each phase's gate let the rollout go on. `completed` and
    `halted` are shares of runs; the others were left waiting for a person or for devices. `missed`
    counts the devices that were not through at the end time (or, without one, in four weeks) in
    runs that were not halted; `at_risk` are those of which that was true in most such runs, the
    likeliest first, at most a hundred.
    """

    runs: int
    finish: Spread
    phases: tuple[Spread, ...]
    failures: Spread
    peak_mbit: Spread
    missed: Spread
    at_risk: tuple[str, ...]
    completed: float
    halted: float


@dataclass(frozen=True, slots=True)
class Run:
    """One run: how it ended, and when each phase was promoted (infinite: never).

    `late` has for each phase the places of the devices that were late; `peak` are bytes per
    second.
    """

    state: RolloutState
    finish: float
    phases: Sequence[float]
    failures: int
    late: Sequence[Sequence[int]]
    peak: float


def forecast(
    started: RolloutStatus,
    at: datetime,
    scenario: Scenario,
    *,
    seed: int,
    runs: int = 200,
    before_run: Callable[[], None] = lambda: None,
) -> Forecast:
    """What a rollout that begins at `at` may be expected to do.

    `started` is the engine's state right after the start, its first phase open. The same
    arguments give the same answer. Runs are fewer than asked for where there are many devices.
    `before_run` is called before each run, and may raise where it takes too long.
    """
    devices = list(chain.from_iterable(scenario.phases))
    fleet = _fleet(scenario, devices, at)
    chance = Random(seed)  # noqa: S311 - a simulation, no secret
    number = runs_of(len(devices), runs)
    rates = [_failure_rate(devices, scenario.defaults, chance) for _ in range(number)]
    done = []
    for rate in rates:
        before_run()
        done.append(_run(started, at, fleet, rate, Random(chance.random())))  # noqa: S311
    return _answer(done, scenario)


def runs_of(devices: int, runs: int) -> int:
    """How many runs of so many devices there are where `runs` are asked for."""
    return min(runs, max(LEAST_RUNS, MAXIMUM_VISITS // max(devices, 1)))


def _fleet(scenario: Scenario, devices: list[DeviceHistory], at: datetime) -> Fleet:
    known = iter(behaviours(devices, scenario.defaults))
    schedule, rules = scenario.plan.schedule, scenario.plan.installation
    zones = set() if schedule.is_always_open else {device.time_zone for device in devices}
    return Fleet(
        plan=scenario.plan,
        phases=[[next(known) for _ in phase] for phase in scenario.phases],
        job=Job(
            size_bytes=scenario.size_bytes,
            maximum_rate=rules.maximum_bytes_per_second or inf,
            openings={
                name: _openings(schedule, at, device_zone(name or scenario.time_zone))
                for name in zones
            },
        ),
        timeout_seconds=scenario.timeout_seconds,
        begins=at.timestamp(),
        ends=(schedule.end_at - at).total_seconds() if schedule.end_at else HORIZON,
    )


def _openings(schedule: Schedule, at: datetime, zone: ZoneInfo) -> Openings:
    """The windows of a time zone, from a moment on, as far as the forecast goes.

    To its end twice: a device of a late phase looks as far ahead as one of the first.
    """
    until = at + timedelta(seconds=2 * HORIZON)
    found = schedule.openings(at, until, schedule.zone(zone))
    return Openings(
        [begins.timestamp() for begins, _ in found], [ends.timestamp() for _, ends in found]
    )


def _failure_rate(devices: list[DeviceHistory], defaults: Defaults, chance: Random) -> float:
    """One failure rate that the new release may have, drawn from what past ones had."""
    mean = failure_rate(devices, defaults.failure_rate)
    weight = PRIOR_ATTEMPTS + min(sum(d.attempts for d in devices), MAXIMUM_ATTEMPTS)
    return chance.betavariate(max(mean * weight, 1e-6), max((1 - mean) * weight, 1e-6))


def _run(started: RolloutStatus, at: datetime, fleet: Fleet, rate: float, chance: Random) -> Run:
    """One run, from the opening of the first phase until nothing happens any more."""
    state, now = started, 0.0
    tracks: list[Track] = []
    # The engine halts at the end time; somebody has to look then.
    moments = {fleet.ends}
    while state.state is RolloutState.RUNNING:
        while len(tracks) <= state.open_phase:
            opened = fleet.track(len(tracks), now, rate, chance)
            soak = state.phases[len(tracks)].gate.minimum_soak_seconds
            moments |= {*opened.looks(), now, now + soak}
            tracks.append(opened)
        before, later = state.open_phase, sorted(m for m in moments if m >= now)
        for moment in later:
            state, now = _look(state, at, fleet, tracks, moment), moment
            if state.state is not RolloutState.RUNNING or state.open_phase != before:
                break
        else:
            break
    return _ended(state, at, fleet, tracks, now)


def _look(
    state: RolloutStatus, at: datetime, fleet: Fleet, tracks: Sequence[Track], moment: float
) -> RolloutStatus:
    """What the engine makes of the counts at a moment."""
    counts = [track.counts(moment) for track in tracks]
    counts += [Counts(waiting=len(phase)) for phase in fleet.phases[len(tracks) :]]
    events = decide(state, Observations(tuple(counts)), at + timedelta(seconds=moment))
    return replay(events, state)


def _ended(
    state: RolloutStatus, at: datetime, fleet: Fleet, tracks: Sequence[Track], now: float
) -> Run:
    finish = inf
    if state.state is RolloutState.COMPLETED and state.finished_at:
        finish = (state.finished_at - at).total_seconds()
    # Until the end of the run: what is under way when a rollout halts goes on to finish.
    failures = sum(track.counts(max(now, HORIZON)).failed for track in tracks)
    return Run(
        state=state.state,
        finish=finish,
        phases=[_promoted(phase, at) for phase in state.phases],
        failures=failures,
        late=[*(t.late for t in tracks), *(range(len(p)) for p in fleet.phases[len(tracks) :])],
        peak=peak_bytes_per_second([d for t in tracks for d in t.downloads]),
    )


def _promoted(phase: PhaseStatus, at: datetime) -> float:
    if phase.state is not PhaseState.PROMOTED or phase.decided_at is None:
        return inf
    return (phase.decided_at - at).total_seconds()


def _answer(done: Sequence[Run], scenario: Scenario) -> Forecast:
    going = [run for run in done if run.state is not RolloutState.HALTED]
    return Forecast(
        runs=len(done),
        finish=_spread([run.finish for run in done]),
        phases=tuple(
            _spread([run.phases[index] for run in done]) for index in range(len(scenario.phases))
        ),
        failures=_spread([run.failures for run in done]),
        peak_mbit=_spread([run.peak * 8 / 1_000_000 for run in done]),
        missed=_spread([sum(len(late) for late in run.late) for run in going]),
        at_risk=_at_risk(going, scenario),
        completed=_share(done, RolloutState.COMPLETED),
        halted=_share(done, RolloutState.HALTED),
    )


def _at_risk(going: Sequence[Run], scenario: Scenario) -> tuple[str, ...]:
    """The devices that were late in most runs."""
    times = Counter(
        (index, place) for run in going for index, late in enumerate(run.late) for place in late
    )
    found = sorted(
        (-number, scenario.phases[index][place].device_id)
        for (index, place), number in times.items()
        if number > AT_RISK * len(going)
    )
    return tuple(device_id for _, device_id in found[:MAXIMUM_AT_RISK])


def _share(done: Sequence[Run], state: RolloutState) -> float:
    return sum(run.state is state for run in done) / len(done)


def _spread(values: Sequence[float]) -> Spread:
    """The 10th, 50th and 90th percentile by rank: values that did occur.

    The next of n + 1 equal draws lies outside of ranks r and n + 1 - r with a chance of
    2 r / (n + 1), so the outer ranks are rounded outwards: one in five at most.
    """
    ordered, number = sorted(values), len(values)
    if not ordered:
        return Spread(None, None, None)
    outer = max((number + 1) // 10, 1)
    ranks = (outer, (number + 1) // 2, number + 1 - outer)
    p10, p50, p90 = (ordered[r - 1] if ordered[r - 1] < inf else None for r in ranks)
    return Spread(p10, p50, p90)
