"""Where other gates would have promoted or halted, and what nobody can know."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from apps.updates.domain import engine
from apps.updates.domain.engine import LogEvent, Observations, RolloutStatus, decide, replay
from apps.updates.domain.gate import Counts
from apps.updates.domain.gates import (
    Arm,
    Comparison,
    GateKind,
    GatePolicy,
    Metric,
    MetricArms,
    MetricCondition,
    OnExhausted,
)
from apps.updates.domain.states import GateDecision
from apps.updates.domain.whatif import Unknown, what_if

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
STRICT = GatePolicy()
# Two clean devices promote, two failed ones halt.
QUICK = GatePolicy(
    GateKind.SEQUENTIAL, acceptable_rate=Decimal("0.05"), unacceptable_rate=Decimal("0.8")
)
PROMOTE, HALT = GateDecision.PROMOTE, GateDecision.HALT


def log(gate: GatePolicy, *seen: tuple[Counts, ...]) -> list[LogEvent]:
    """What the engine writes when it sees these counts, one look a minute."""
    sizes = [counts.total for counts in seen[0]]
    data = {"plan_hash": "ab", "percents": [50, 100], "gates": [gate.dump()] * 2}
    events = [
        LogEvent(engine.CREATED, START, data),
        LogEvent(engine.STARTED, START, {"sizes": sizes}),
        LogEvent(engine.PHASE_OPENED, START, {"index": 0}),
    ]
    for minute, counts in enumerate(seen):
        state: RolloutStatus = replay(events)
        events += decide(state, Observations(counts), START + timedelta(minutes=minute))
    return events


# One device of the first phase fails after three succeeded; strict halts there.
HALTED = log(
    STRICT,
    (Counts(waiting=4), Counts(waiting=4)),
    (Counts(waiting=1, active=3), Counts(waiting=4)),
    (Counts(waiting=1, succeeded=3), Counts(waiting=4)),
    (Counts(succeeded=3, failed=1), Counts(waiting=4)),
)
# Two clean devices promote the first; of the second two fail, and then all.
DRAGGED = log(
    QUICK,
    (Counts(waiting=2, active=2), Counts(waiting=4)),
    (Counts(waiting=2, succeeded=2), Counts(waiting=4)),
    (Counts(active=1, succeeded=3), Counts(active=3, failed=1)),
    (Counts(succeeded=4), Counts(active=2, failed=2)),
    (Counts(succeeded=4), Counts(failed=4)),
)


@pytest.mark.parametrize(("events", "gate"), [(HALTED, STRICT), (DRAGGED, QUICK)])
def test_the_same_gates_decide_what_was_decided(events: list[LogEvent], gate: GatePolicy) -> None:
    found = what_if(events, [gate])
    kinds = [(d.index, d.decision, d.time, d.ended) for d in found.decisions]
    assert kinds == [(d.index, d.decision, d.time, d.ended) for d in found.actual]


def test_a_stricter_gate_halts_earlier_and_spares_devices() -> None:
    events = DRAGGED
    found = what_if(events, [QUICK, STRICT])
    assert found.halted is not None
    assert (found.halted.index, found.halted.ended) == (1, 1)
    assert found.halted.time == START + timedelta(minutes=2)
    assert replay(events[: found.halted.event]).phases[1].counts.failed == 1
    assert found.gaps == ()
    assert found.spared == 0  # all four were at work already
    assert found.actual[-1].time > found.halted.time


def test_devices_that_began_after_the_halt_would_have_been_spared() -> None:
    # The same gate, and one that a failure among the first two devices would have halted.
    events = log(
        QUICK,
        (Counts(waiting=8), Counts(waiting=2)),
        (Counts(waiting=6, active=1, failed=1), Counts(waiting=2)),
        (Counts(active=7, failed=1), Counts(waiting=2)),
    )
    found = what_if(events, [STRICT])
    assert found.halted is not None
    assert (found.halted.begun, found.begun, found.spared) == (2, 8, 6)


def test_where_other_gates_would_have_gone_on_nobody_knows_what_follows() -> None:
    found = what_if(HALTED, [QUICK])
    assert [(d.index, d.decision) for d in found.decisions] == [(0, PROMOTE)]
    assert found.decisions[0].ended == 3
    assert [(gap.index, gap.why) for gap in found.gaps] == [(1, Unknown.NEVER_OPENED)]
    assert found.actual[-1].decision is HALT
    assert found.halted is None


def test_a_gate_that_wants_more_devices_is_undecided() -> None:
    found = what_if(DRAGGED[:6], [GatePolicy(GateKind.SEQUENTIAL)])
    assert found.decisions == ()
    assert [(gap.index, gap.why) for gap in found.gaps] == [(0, Unknown.UNDECIDED)]
    assert found.gaps[0].reason


def test_a_phase_is_not_judged_before_the_other_gates_would_have_come_to_it() -> None:
    """The second phase fails, but a gate that never passes the first would not have opened it."""
    hold = GatePolicy(GateKind.SEQUENTIAL, on_exhausted=OnExhausted.HOLD)
    assert what_if(DRAGGED, [hold, STRICT]).halted is None


def test_soak_time_alone_promotes_between_two_events() -> None:
    events = log(
        STRICT,
        (Counts(active=2), Counts(waiting=2)),
        (Counts(succeeded=2), Counts(waiting=2)),
        (Counts(succeeded=2), Counts(waiting=2)),
        (Counts(succeeded=2), Counts(waiting=1, succeeded=1)),
    )
    found = what_if(events, [GatePolicy(minimum_soak_seconds=90)])
    assert found.decisions[0].time == START + timedelta(seconds=90)
    assert found.actual[0].time == START + timedelta(seconds=60)


def test_samples_that_were_not_taken_are_named() -> None:
    condition = MetricCondition(Metric.TEMPERATURE_CELSIUS, Decimal(80))
    found = what_if(HALTED, [GatePolicy(conditions=(condition,))])
    assert Unknown.NO_SAMPLES in {gap.why for gap in found.gaps}
    with_control = what_if(HALTED, [GatePolicy(has_control=True)])
    assert Unknown.NO_SAMPLES in {gap.why for gap in with_control.gaps}


def test_there_is_one_gate_or_one_for_each_phase() -> None:
    with pytest.raises(ValueError, match="2 phases"):
        what_if(HALTED, [STRICT] * 3)


def test_a_rollout_that_was_not_started_has_nothing_to_judge() -> None:
    found = what_if(HALTED[:1], [STRICT])
    assert (found.decisions, found.actual, found.begun) == ((), (), 0)
    assert [(gap.index, gap.why) for gap in found.gaps] == [(0, Unknown.NEVER_OPENED)]


def hot(acceptable: str, unacceptable: str, **more: object) -> GatePolicy:
    rates = (Decimal(acceptable), Decimal(unacceptable))
    metric = Metric.TEMPERATURE_CELSIUS
    return GatePolicy(
        conditions=(MetricCondition(metric, Decimal(80), Comparison.ABOVE, *rates),),
        **more,  # type: ignore[arg-type]
    )


def warm_log(gate: GatePolicy) -> list[LogEvent]:
    """Four succeed in the first phase, and two of them run hot."""
    events = log(gate, (Counts(succeeded=4), Counts(waiting=4)))[:3]
    seen = (Counts(succeeded=4), Counts(waiting=4))
    metrics = {0: (MetricArms(Arm(2, 2), Arm(4, 0) if gate.has_control else None),)}
    return events + decide(replay(events), Observations(seen, metrics=metrics), START)


def test_the_samples_of_the_log_are_judged_by_other_rates() -> None:
    tolerant = warm_log(hot("0.3", "0.9"))
    assert what_if(tolerant, [hot("0.3", "0.9")]).halted is None
    strict = what_if(tolerant, [hot("0.001", "0.4")])
    assert strict.halted is not None
    assert "temperature above 80 on 2 of 4 updated devices" in strict.halted.reason
    assert Unknown.NO_SAMPLES not in {gap.why for gap in strict.gaps}


def test_samples_that_were_compared_are_judged_alone_where_the_other_gate_does() -> None:
    compared = warm_log(hot("0.3", "0.9", has_control=True))
    assert what_if(compared, [hot("0.001", "0.4")]).halted is not None


def test_a_person_who_went_on_without_some_devices_would_have_done_so_again() -> None:
    halt = HALTED
    left_out = {"0": {"succeeded": 0, "failed": 1}}
    trait = {"attribute": "model", "value": "pi4", "reason": "they fail", "left_out": left_out}
    again = [*halt, LogEvent(engine.EXCLUDED, START + timedelta(minutes=9), trait)]
    found = what_if(again, [STRICT])
    assert found.halted is None
    assert [each.decision for each in found.decisions] == [PROMOTE]
