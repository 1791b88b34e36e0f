"""The reducer: what follows what, and that replay and crashes change nothing."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from apps.updates.domain import engine
from apps.updates.domain.engine import (
    IllegalTransition,
    LogEvent,
    Observations,
    RolloutStatus,
    decide,
    dump,
    reduce,
    replay,
    restore,
    state_hash,
)
from apps.updates.domain.gate import Counts
from apps.updates.domain.gates import Arm
from apps.updates.domain.plan import phase_sizes, simple_plan
from apps.updates.domain.states import Bucket, PhaseState, RolloutState

START = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)


def created(percents: tuple[int, ...] = (25, 100)) -> LogEvent:
    return LogEvent(engine.CREATED, START, {"plan_hash": "ab", "percents": list(percents)})


def started(sizes: tuple[int, ...] = (1, 3)) -> list[LogEvent]:
    return [
        created(),
        LogEvent(engine.STARTED, START, {"sizes": list(sizes)}),
        LogEvent(engine.PHASE_OPENED, START, {"index": 0}),
    ]


def kinds(events: list[LogEvent]) -> list[str]:
    return [event.type for event in events]


def test_a_finished_phase_is_promoted_and_the_next_one_opened() -> None:
    state = replay(started())
    events = decide(state, Observations((Counts(succeeded=1), Counts(waiting=3))), START)
    assert kinds(events) == ["counted", "phase_promoted", "phase_opened"]
    after = replay(events, state)
    assert after.open_phase == 1
    assert after.phases[0].reason == "1 of 1 succeeded, none failed"


def test_the_last_promotion_completes_the_rollout() -> None:
    state = replay(started())
    events = decide(state, Observations((Counts(succeeded=1), Counts(succeeded=3))), START)
    assert kinds(events)[-2:] == ["phase_promoted", "completed"]
    assert replay(events, state).finished_at == START


def test_one_failure_halts_at_once_although_others_are_at_work() -> None:
    state = replay(started((4, 12)))
    observed = Observations((Counts(active=3, failed=1), Counts(waiting=12)))
    events = decide(state, observed, START)
    assert kinds(events) == ["counted", "phase_halted", "halted"]
    assert replay(events, state).state is RolloutState.HALTED


def test_a_halted_rollout_goes_on_counting_but_is_never_promoted() -> None:
    state = replay(started((4, 12)))
    failing = Observations((Counts(active=3, failed=1), Counts(waiting=12)))
    state = replay(decide(state, failing, START), state)
    later = Observations((Counts(succeeded=3, failed=1), Counts(waiting=12)))
    events = decide(state, later, START)
    assert kinds(events) == ["counted"]
    assert replay(events, state).state is RolloutState.HALTED


def test_a_paused_rollout_is_not_promoted_until_it_is_resumed() -> None:
    state = reduce(replay(started()), LogEvent(engine.PAUSED, START))
    observed = Observations((Counts(succeeded=1), Counts(waiting=3)))
    state = replay(decide(state, observed, START), state)
    assert state.open_phase == 0
    state = reduce(state, LogEvent(engine.RESUMED, START))
    assert kinds(decide(state, observed, START)) == ["phase_promoted", "phase_opened"]


def test_a_failure_halts_also_while_paused() -> None:
    state = reduce(replay(started()), LogEvent(engine.PAUSED, START))
    events = decide(state, Observations((Counts(failed=1), Counts(waiting=3))), START)
    assert kinds(events) == ["counted", "phase_halted", "halted"]


def excluded(**left_out: dict[str, int]) -> LogEvent:
    phases = {index.removeprefix("phase"): arm for index, arm in left_out.items()}
    trait = {"attribute": "model", "value": "pi4"}
    return LogEvent(engine.EXCLUDED, START, {**trait, "reason": "they fail", "left_out": phases})


def test_a_person_lets_a_halted_rollout_go_on_without_the_devices_that_failed() -> None:
    halted = replay([*started((2, 2))])
    seen = Observations((Counts(succeeded=1, failed=1), Counts(waiting=2)))
    halted = replay(decide(halted, seen, START), halted)
    running = reduce(halted, excluded(phase0={"succeeded": 0, "failed": 1}))
    assert running.state is RolloutState.RUNNING
    assert running.phases[0].state is PhaseState.OPEN
    assert running.exclusions == (("model", "pi4"),)
    assert state_hash(restore(dump(running))) == state_hash(running)
    after = replay(decide(running, seen, START), running)
    assert after.open_phase == 1
    assert after.phases[0].reason == "1 of 1 succeeded, 1 not counted, none failed"


def test_devices_that_remain_still_halt_it() -> None:
    halted = replay(started((3, 2)))
    seen = Observations((Counts(succeeded=1, failed=2), Counts(waiting=2)))
    halted = replay(decide(halted, seen, START), halted)
    running = reduce(halted, excluded(phase0={"succeeded": 0, "failed": 1}))
    assert replay(decide(running, seen, START), running).state is RolloutState.HALTED


def test_who_is_left_out_while_at_work_says_nothing_at_its_end() -> None:
    state = reduce(replay(started((2, 2))), excluded())
    seen = Observations(
        (Counts(succeeded=1, failed=1), Counts(waiting=2)), left_out={0: Arm(failed=1)}
    )
    events = decide(state, seen, START)
    assert kinds(events) == ["counted", "phase_promoted", "phase_opened"]
    assert state_hash(replay(events, state)) == state_hash(restore(dump(replay(events, state))))


def test_a_state_from_before_exclusions_is_dumped_as_it_was() -> None:
    dumped = dump(replay(started()))
    assert "exclusions" not in dumped
    assert "left_out" not in dumped["phases"][0]


def test_resuming_does_not_undo_a_halt() -> None:
    halted = replay([*started(), LogEvent(engine.HALTED, START)])
    with pytest.raises(IllegalTransition):
        reduce(halted, LogEvent(engine.RESUMED, START))


def test_empty_phases_are_passed_at_once() -> None:
    state = replay(started((0, 1)))
    events = decide(state, Observations((Counts(), Counts(waiting=1))), START)
    assert kinds(events) == ["phase_promoted", "phase_opened"]


def test_nothing_is_decided_before_the_start() -> None:
    state = reduce(RolloutStatus(), created())
    assert decide(state, Observations((Counts(), Counts())), START) == []


@pytest.mark.parametrize(
    "events",
    [
        [created(), created()],
        [created(), LogEvent(engine.PAUSED, START)],
        [*started(), LogEvent(engine.STARTED, START, {"sizes": [1, 3]})],
        [*started(), LogEvent(engine.RESUMED, START)],
        [*started(), LogEvent(engine.PAUSED, START), *started()[1:2]],
        [*started(), LogEvent(engine.PHASE_OPENED, START, {"index": 0})],
        [*started(), LogEvent(engine.PHASE_PROMOTED, START, {"index": 1, "reason": ""})],
        [created(), LogEvent(engine.APPROVED, START, {"plan_hash": "ab"})],
        [*started(), LogEvent(engine.CANCELLED, START), LogEvent(engine.CANCELLED, START)],
        [created(), LogEvent("levitated", START)],
    ],
)
def test_events_that_cannot_follow_are_refused(events: list[LogEvent]) -> None:
    before = replay(events[:-1])
    with pytest.raises(IllegalTransition):
        reduce(before, events[-1])


def test_the_state_survives_being_stored_to_the_last_microsecond() -> None:
    state = replay(started())
    assert restore(dump(state)) == state
    assert state_hash(restore(dump(state))) == state_hash(state)


class RolloutMachine(RuleBasedStateMachine):
    """Devices, people and the scheduler act in any order; the scheduler's writes may be cut off.

    `log` is what is stored. A crash drops whatever was decided and not stored, which is all of a
    decision: a transaction stores it whole. A reader may also stop between any two events.
    """

    @initialize(total=st.integers(1, 12), percents=st.sampled_from([(100,), (5, 50, 100)]))
    def start(self, total: int, percents: tuple[int, ...]) -> None:
        self.now = START
        self.rows = [
            Counts(waiting=size) for size in phase_sizes(total, simple_plan(percents).phases)
        ]
        sizes = [counts.total for counts in self.rows]
        self.log = [
            created(percents),
            LogEvent(engine.STARTED, START, {"sizes": sizes}),
            LogEvent(engine.PHASE_OPENED, START, {"index": 0}),
        ]

    @property
    def state(self) -> RolloutStatus:
        return replay(self.log)

    def _move(self, index: int, source: Bucket, target: Bucket) -> None:
        counts = self.rows[index]
        if not counts.of(source):
            return
        values = {b.value: counts.of(b) for b in Bucket}
        values[source.value] -= 1
        values[target.value] += 1
        self.rows[index] = Counts(**values)

    @rule(data=st.data())
    def a_device_starts(self, data: st.DataObject) -> None:
        if self.state.state is RolloutState.RUNNING:
            index = data.draw(st.integers(0, self.state.open_phase))
            self._move(index, Bucket.WAITING, Bucket.ACTIVE)

    @rule(
        data=st.data(),
        end=st.sampled_from(
            [Bucket.SUCCEEDED, Bucket.SUCCEEDED, Bucket.SUCCEEDED, Bucket.FAILED, Bucket.SKIPPED]
        ),
    )
    def a_device_ends(self, data: st.DataObject, end: Bucket) -> None:
        index = data.draw(st.integers(0, len(self.rows) - 1))
        self._move(index, Bucket.ACTIVE, end)

    @rule()
    def the_scheduler_looks(self) -> None:
        self.now += timedelta(microseconds=7)
        self.log += decide(self.state, Observations(tuple(self.rows)), self.now)

    @rule(data=st.data())
    def the_scheduler_crashes_and_another_one_looks(self, data: st.DataObject) -> None:
        before = state_hash(self.state)
        lost = decide(self.state, Observations(tuple(self.rows)), self.now)
        reached = replay(lost, self.state)
        assert state_hash(self.state) == before
        cut = data.draw(st.integers(0, len(lost)))
        halfway = restore(dump(replay(lost[:cut], self.state)))
        assert state_hash(replay(lost[cut:], halfway)) == state_hash(reached)
        again = decide(self.state, Observations(tuple(self.rows)), self.now)
        assert state_hash(replay(again, self.state)) == state_hash(reached)

    @precondition(lambda self: self.state.state is RolloutState.RUNNING)
    @rule()
    def somebody_pauses(self) -> None:
        self.log.append(LogEvent(engine.PAUSED, self.now))

    @precondition(lambda self: self.state.state is RolloutState.PAUSED)
    @rule()
    def somebody_resumes(self) -> None:
        self.log.append(LogEvent(engine.RESUMED, self.now))

    @precondition(lambda self: not self.state.finished_at and len(self.log) > 8)
    @rule()
    def somebody_cancels(self) -> None:
        self.log.append(LogEvent(engine.CANCELLED, self.now))

    def teardown(self) -> None:
        """Replay in two pieces gives the same hash, wherever the log is cut."""
        log = getattr(self, "log", [])  # there is none where nothing began
        whole = state_hash(replay(log))
        for cut in range(len(log) + 1):
            stored = restore(dump(replay(log[:cut])))
            assert state_hash(replay(log[cut:], stored)) == whole

    @invariant()
    def deciding_twice_changes_nothing(self) -> None:
        observed = Observations(tuple(self.rows))
        state = replay(decide(self.state, observed, self.now), self.state)
        assert decide(state, observed, self.now) == []

    @invariant()
    def phases_open_in_order_behind_passed_gates(self) -> None:
        state = self.state
        for index, phase in enumerate(state.phases):
            if index < state.open_phase:
                assert phase.state is PhaseState.PROMOTED
                assert phase.counts.failed == 0
                assert phase.counts.to_go == 0
            if index > state.open_phase:
                assert phase.state is PhaseState.WAITING
                assert phase.counts.active == 0
        if state.state is RolloutState.COMPLETED:
            assert all(p.counts.to_go == 0 and p.counts.failed == 0 for p in state.phases)


TestRolloutMachine = RolloutMachine.TestCase
TestRolloutMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@given(st.permutations([engine.PAUSED, engine.RESUMED, engine.CANCELLED, engine.STARTED]))
def test_the_log_can_hold_only_what_the_table_allows(order: list[str]) -> None:
    state = reduce(RolloutStatus(), created())
    for kind in order:
        event = LogEvent(kind, START, {"sizes": [1, 3]})
        try:
            state = reduce(state, event)
        except IllegalTransition:
            continue
    assert state.state is not RolloutState.DRAFT
