"""The whole reducer against a small model of it that knows no events (hypothesis).

The model keeps one state per device and one word per phase and works out what a person would expect
from the documentation. It begins with a draft that people edit, submit, approve and reject; gates
are strict or sequential, with soak, approvals and an end time. The log is cut, stored, restored and
replayed at every event boundary. FLEETD_BAR_EXAMPLES=500 for the whole bar, which has to draw every
event that the engine knows.
"""

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import log as ln
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from apps.updates.domain import engine
from apps.updates.domain.engine import (
    IllegalTransition,
    LogEvent,
    Observations,
    decide,
    dump,
    reduce,
    replay,
    restore,
    state_hash,
)
from apps.updates.domain.gate import Counts
from apps.updates.domain.gates import Arm, GateKind, GatePolicy, MetricArms, OnExhausted
from apps.updates.domain.states import ROLLOUT_TRANSITIONS, PhaseState

EXAMPLES = int(os.environ.get("FLEETD_BAR_EXAMPLES") or 120)
START = datetime(2026, 11, 23, 12, tzinfo=UTC)
P0, P1, ALPHA, BETA = 0.05, 0.8, 0.05, 0.05
# Added to how a device ended that was left out afterwards.
OUT = ", left out"
FINAL = {"completed", "cancelled", "rolled_back"}
ENDED = ["succeeded", "succeeded", "failed", "skipped"]
KINDS = set(engine._HANDLERS)
# In which states what changes no state may be written at all.
WRITTEN_IN = {
    engine.SUPERSEDED: {"running", "paused", "halted"},
    engine.EXCLUDED: {"running", "paused", "halted"},
    engine.CLOSED: {"running", "paused"},
    engine.JOINED: {"running"},
    engine.PHASE_OPENED: {"running"},
}
# So many examples cannot but draw everything.
MANY = 500
# What people do with a draft: (state, what they do) -> state. Whatever is not here is refused.
DRAFTING = {
    ("draft", "submit for approval"): "pending_approval",
    ("draft", "submit"): "scheduled",
    ("draft", engine.EDITED): "draft",
    ("pending_approval", engine.APPROVED): "scheduled",
    ("pending_approval", engine.REJECTED): "draft",
    ("pending_approval", engine.EDITED): "draft",
    ("scheduled", engine.EDITED): "draft",
}
DRAFTED = [
    "submit for approval",
    "submit",
    engine.EDITED,
    engine.APPROVED,
    engine.REJECTED,
    engine.PAUSED,
    engine.HALTED,
    engine.EXCLUDED,
    engine.SUPERSEDED,
    engine.ROLLBACK_STARTED,
]


@dataclass
class Gate:
    """What the model knows of a gate."""

    kind: str
    soak: int
    promotes_if_clean: bool

    @property
    def policy(self) -> GatePolicy:
        exhausted = OnExhausted.PROMOTE_IF_CLEAN if self.promotes_if_clean else OnExhausted.HOLD
        return GatePolicy(
            GateKind(self.kind),
            acceptable_rate=Decimal(str(P0)),
            unacceptable_rate=Decimal(str(P1)),
            minimum_soak_seconds=self.soak,
            on_exhausted=exhausted,
        )

    def says(self, devices: list[str], seconds: int) -> str:
        """promote, hold or halt."""
        if not devices:
            return "promote"
        good, bad = devices.count("succeeded"), devices.count("failed")
        to_go = devices.count("waiting") + devices.count("active")
        if self.kind == "strict":
            done = "halt" if bad else "hold" if to_go else "promote"
        else:
            ratio = bad * ln(P1 / P0) + good * ln((1 - P1) / (1 - P0))
            if ratio >= ln((1 - BETA) / ALPHA):
                return "halt"
            is_clean = not to_go and not bad and self.promotes_if_clean
            is_sure = ratio <= ln(BETA / (1 - ALPHA))
            done = "promote" if is_sure or is_clean else "hold"
        return "hold" if done == "promote" and seconds < self.soak else done


@dataclass
class Model:
    """A rollout as the documentation tells it."""

    gates: list[Gate]
    needs: list[bool]
    devices: list[list[str]]
    end: datetime | None
    is_open: bool = False
    state: str = "draft"
    phases: list[str] = field(default_factory=list)
    opened: dict[int, datetime] = field(default_factory=dict)
    approved: set[int] = field(default_factory=set)

    @property
    def open(self) -> int:
        return max(self.opened)

    @property
    def entry(self) -> int:
        """The first phase that is not passed, else the last."""
        waits = [i for i, word in enumerate(self.phases) if word != "promoted"]
        return min([*waits, len(self.phases) - 1])

    def takes(self, now: datetime) -> bool:
        """Whether devices may come in."""
        return self.is_open and not (self.end and now >= self.end)

    def look(self, now: datetime) -> None:
        """What the scheduler does."""
        while self.state in ("running", "paused") and self._step(now):
            pass

    def _step(self, now: datetime) -> bool:
        verdicts = {i: self._says(i, now) for i in self.opened}
        to_go = sum(each in ("waiting", "active") for phase in self.devices for each in phase)
        if "halt" in verdicts.values() or (self.end and now >= self.end and to_go):
            self.state = "halted"
        elif self.state == "paused":
            return False
        elif self.phases[self.open] == "open":
            if verdicts[self.open] != "promote":
                return False
            self.phases[self.open] = "promoted"
        elif self.open + 1 < len(self.phases):
            if self.needs[self.open + 1] and self.open + 1 not in self.approved:
                return False
            self.phases[self.open + 1] = "open"
            self.opened[self.open + 1] = now
        elif to_go or self.takes(now):
            return False
        else:
            self.state = "completed"
        return True

    def _says(self, index: int, now: datetime) -> str:
        seconds = int((now - self.opened[index]).total_seconds())
        return self.gates[index].says(self.devices[index], seconds)


GATES = st.builds(
    Gate, st.sampled_from(["strict", "sequential"]), st.sampled_from([0, 0, 30]), st.booleans()
)


class EngineMachine(RuleBasedStateMachine):
    """Devices, people, the clock and a scheduler that may die between any two events."""

    drawn: ClassVar[set[str]] = set()

    @initialize(
        phases=st.lists(st.tuples(GATES, st.booleans(), st.integers(0, 5)), min_size=1, max_size=3),
        minutes=st.sampled_from([None, None, 2]),
        is_dynamic=st.booleans(),
        before=st.lists(st.sampled_from(DRAFTED), max_size=5),
    )
    def start(
        self,
        phases: list[tuple[Gate, bool, int]],
        minutes: int | None,
        is_dynamic: bool,
        before: list[str],
    ) -> None:
        self.now = START
        self.looked_at: dict[int, Arm] = {}
        end = START + timedelta(minutes=minutes) if minutes else None
        needs = [index > 0 and need for index, (_, need, _) in enumerate(phases)]
        sizes = [size for _, _, size in phases]
        self.model = Model(
            [gate for gate, _, _ in phases],
            needs,
            [["waiting"] * n for n in sizes],
            end,
            is_dynamic,
        )
        self.model.phases = ["open", *["waiting"] * (len(phases) - 1)]
        self.model.opened = {0: START}
        plan = {
            "plan_hash": "ab",
            "percents": [*range(10, 10 * len(phases), 10), 100],
            "gates": [gate.policy.dump() for gate, _, _ in phases],
            "approvals": needs,
            **({"end_at": end.isoformat()} if end else {}),
            **({"is_dynamic": True} if is_dynamic else {}),
        }
        self.log, self.stored = [], replay([])
        self._append(LogEvent(engine.CREATED, START, plan))
        for what in before:
            self._draft(what, plan)
        if self.model.state == "pending_approval":
            self._draft(engine.APPROVED, plan)
        self._append(
            LogEvent(engine.STARTED, START, {"sizes": sizes}),
            LogEvent(engine.PHASE_OPENED, START, {"index": 0}),
        )
        self.model.state = "running"

    def _draft(self, what: str, plan: dict[str, object]) -> None:
        """Somebody does something before the start, which is refused or changes the draft."""
        is_submitted = what.startswith("submit")
        data: dict[str, object] = (
            {"requires_approval": "approval" in what} if is_submitted else plan
        )
        event = LogEvent(engine.SUBMITTED if is_submitted else what, START, data)
        after = DRAFTING.get((self.model.state, what))
        if after is None:
            with pytest.raises(IllegalTransition):
                reduce(self.stored, event)
            return
        self._append(event)
        self.model.state = after
        assert self.stored.state.value == after
        was_approved = what == engine.APPROVED
        assert self.stored.approved_hash == ("ab" if was_approved else "")

    def _seen(self) -> Observations:
        names = ("waiting", "active", "succeeded", "failed", "skipped", "cancelled")
        told = [[each.removesuffix(OUT) for each in phase] for phase in self.model.devices]
        left_out = {
            index: Arm(phase.count(f"succeeded{OUT}"), phase.count(f"failed{OUT}"))
            for index, phase in enumerate(self.model.devices)
        }
        counts = tuple(Counts(**{n: phase.count(n) for n in names}) for phase in told)
        metrics = {index: (MetricArms(arm, arm, 1),) for index, arm in self.looked_at.items()}
        return Observations(counts, self.looked_at, metrics, left_out)

    def _append(self, *events: LogEvent) -> None:
        """As the services do: from the stored state on."""
        self.stored = restore(dump(replay(events, self.stored)))
        self.log += events
        self.drawn.update(event.type for event in events)

    @rule(data=st.data(), number=st.integers(1, 3))
    def devices_begin(self, data: st.DataObject, number: int) -> None:
        if self.model.state == "running":
            phase = self.model.devices[data.draw(st.integers(0, self.model.open))]
            for _ in range(min(number, phase.count("waiting"))):
                phase[phase.index("waiting")] = "active"

    @rule(data=st.data(), end=st.sampled_from(ENDED))
    def a_device_ends(self, data: st.DataObject, end: str) -> None:
        phase = data.draw(st.sampled_from(self.model.devices))
        if "active" in phase:
            phase[phase.index("active")] = end

    @precondition(lambda self: self.model.open > 0)
    @rule()
    def devices_of_passed_phases_fail_late(self) -> None:
        for phase in self.model.devices[: self.model.open]:
            phase[:] = ["failed" if each in ("waiting", "active") else each for each in phase]

    @precondition(lambda self: self.model.state == "running" and self.model.takes(self.now))
    @rule(numbers=st.lists(st.integers(0, 3), min_size=3, max_size=3))
    def devices_join(self, numbers: list[int]) -> None:
        came = {
            index: number
            for index, number in enumerate(numbers[: len(self.model.phases)])
            if number and index >= self.model.entry
        }
        for index, number in came.items():
            self.model.devices[index] += ["waiting"] * number
        if came:
            data = {"joined": {str(index): number for index, number in came.items()}}
            self._append(LogEvent(engine.JOINED, self.now, data))

    @precondition(lambda self: self.model.state in ("running", "paused", "halted"))
    @rule(data=st.data(), number=st.integers(1, 4))
    def a_newer_rollout_takes_its_place(self, data: st.DataObject, number: int) -> None:
        left = 0
        for phase in data.draw(st.permutations(self.model.devices)):
            while "waiting" in phase and left < number:
                phase[phase.index("waiting")] = "cancelled"
                left += 1
        if left:
            seen = engine.differences(self.stored, self._seen())
            told = {"by": "newer", "release": "app 2", "number": left}
            self._append(LogEvent(engine.SUPERSEDED, self.now, told | seen))

    @precondition(lambda self: self.model.is_open)
    @rule()
    def somebody_closes(self) -> None:
        if self.model.state in ("running", "paused"):
            self.model.is_open = False
            self._append(LogEvent(engine.CLOSED, self.now))

    @rule()
    def an_attempt_fails_and_is_queued_again(self) -> None:
        for phase in self.model.devices:
            if "active" in phase and self.model.state == "running":
                phase[phase.index("active")] = "waiting"

    @rule(data=st.data(), good=st.integers(0, 3), bad=st.integers(0, 3))
    def what_gates_could_compare_with_changes(
        self, data: st.DataObject, good: int, bad: int
    ) -> None:
        """It is noted in the log; these gates do not ask it."""
        self.looked_at[data.draw(st.integers(0, len(self.model.phases) - 1))] = Arm(good, bad)

    @rule(seconds=st.sampled_from([1, 29, 60]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(data=st.data())
    def the_scheduler_looks_and_may_die(self, data: st.DataObject) -> None:
        events = decide(self.stored, self._seen(), self.now)
        reached = state_hash(replay(events, self.stored))
        for cut in range(len(events) + 1):
            halfway = restore(dump(replay(events[:cut], self.stored)))
            assert state_hash(replay(events[cut:], halfway)) == reached
            rest = decide(halfway, self._seen(), self.now)
            assert state_hash(replay(rest, halfway)) == reached
        if data.draw(st.sampled_from([False, False, True]), label="dies before it stores anything"):
            return
        self._append(*events)
        self.model.look(self.now)

    @precondition(lambda self: self.model.state == "running")
    @rule(ends=st.lists(st.sampled_from(ENDED), min_size=1, max_size=4), data=st.data())
    def a_day_goes_by(self, ends: list[str], data: st.DataObject) -> None:
        """All devices of the open phases update; without such days few rollouts get far."""
        for phase in self.model.devices[: self.model.open + 1]:
            for place, each in enumerate(phase):
                if each in ("waiting", "active"):
                    phase[place] = ends[place % len(ends)]
        self.now += timedelta(seconds=60)
        self.the_scheduler_looks_and_may_die(data)

    @precondition(lambda self: self.model.state == "running")
    @rule()
    def somebody_pauses(self) -> None:
        self.model.state = "paused"
        self._append(LogEvent(engine.PAUSED, self.now))

    @precondition(lambda self: self.model.state == "paused")
    @rule()
    def somebody_resumes(self) -> None:
        self.model.state = "running"
        self._append(LogEvent(engine.RESUMED, self.now))

    @precondition(lambda self: self.stored.awaits_approval)
    @rule()
    def somebody_approves_the_next_phase(self) -> None:
        index = self.stored.open_phase + 1
        assert self.model.needs[index]
        self.model.approved.add(index)
        self._append(LogEvent(engine.PHASE_APPROVED, self.now, {"index": index}))

    @precondition(lambda self: self.model.state == "running")
    @rule()
    def somebody_passes_a_gate(self) -> None:
        if self.model.phases[self.model.open] == "open":
            data = {"index": self.model.open, "reason": "by hand"}
            self.model.phases[self.model.open] = "promoted"
            self._append(LogEvent(engine.PHASE_PROMOTED, self.now, data))

    @precondition(lambda self: self.model.state in ("running", "paused") and len(self.log) > 7)
    @rule()
    def somebody_halts(self) -> None:
        self.model.state = "halted"
        self._append(LogEvent(engine.HALTED, self.now, {"reason": "it smells"}))

    @precondition(lambda self: self.model.state not in FINAL and len(self.log) > 9)
    @rule()
    def somebody_cancels(self) -> None:
        if self.model.state != "rolling_back":
            self.model.state = "cancelled"
            self._append(LogEvent(engine.CANCELLED, self.now))

    @precondition(lambda self: self.model.state in ("running", "paused", "halted"))
    @rule(numbers=st.lists(st.integers(0, 14), max_size=6))
    def somebody_goes_on_without_some_devices(self, numbers: list[int]) -> None:
        places = [(i, j) for i, phase in enumerate(self.model.devices) for j in range(len(phase))]
        for i, j in (places[number] for number in numbers if number < len(places)):
            phase = self.model.devices[i]
            if phase[j] in ("succeeded", "failed"):
                phase[j] += OUT
            elif phase[j] == "waiting":
                phase[j] = "skipped"
        data = {
            "attribute": "model",
            "value": str(len(self.log)),
            "reason": "these fail",
            **engine.differences(self.stored, self._seen()),
        }
        if self.model.state == "halted":
            self.model.state = "running"
            if self.stored.phases[self.model.open].state is PhaseState.HALTED:
                self.model.phases[self.model.open] = "open"
        self._append(LogEvent(engine.EXCLUDED, self.now, data))

    @precondition(lambda self: self.model.state in ("halted", "completed"))
    @rule()
    def somebody_rolls_back(self) -> None:
        self.model.state = "rolling_back"
        self._append(LogEvent(engine.ROLLBACK_STARTED, self.now))

    @precondition(lambda self: self.model.state == "rolling_back")
    @rule(is_done=st.booleans())
    def the_roll_back_ends(self, is_done: bool) -> None:
        self.model.state = "rolled_back" if is_done else "halted"
        kind = engine.ROLLED_BACK if is_done else engine.ROLLBACK_HALTED
        self._append(LogEvent(kind, self.now))

    @invariant()
    def engine_and_model_agree(self) -> None:
        assert self.stored.state.value == self.model.state
        assert self.stored.open_phase == self.model.open
        for index, phase in enumerate(self.stored.phases):
            if phase.state.value != "halted":
                assert phase.state.value == self.model.phases[index]
            assert phase.opened_at == self.model.opened.get(index)

    @invariant()
    def devices_join_where_the_model_lets_them_and_nowhere_else(self) -> None:
        takes = self.model.state == "running" and self.model.takes(self.now)
        for index in range(len(self.model.phases)):
            event = LogEvent(engine.JOINED, self.now, {"joined": {str(index): 1}})
            try:
                reduce(self.stored, event)
            except IllegalTransition:
                assert not takes or index < self.model.entry
            else:
                assert takes
                assert index >= self.model.entry

    @invariant()
    def the_log_alone_gives_the_stored_state(self) -> None:
        assert state_hash(replay(self.log)) == state_hash(self.stored)

    @invariant()
    def deciding_again_changes_nothing(self) -> None:
        once = replay(decide(self.stored, self._seen(), self.now), self.stored)
        assert decide(once, self._seen(), self.now) == []

    @invariant()
    def the_log_takes_no_step_that_the_table_does_not_know(self) -> None:
        before = self.stored.state
        for event in self._anything():
            try:
                after = reduce(self.stored, event).state
            except IllegalTransition:
                continue
            assert after is before or after in ROLLOUT_TRANSITIONS[before]
            assert before.value in WRITTEN_IN.get(event.type, {before.value})

    def _anything(self) -> list[LogEvent]:
        """Each event that the engine knows, as if somebody wrote it now."""
        index = max(self.stored.open_phase, 0)
        data = {
            "plan_hash": "cd",
            "percents": [100],
            "sizes": [1] * len(self.stored.phases),
            "requires_approval": False,
            "index": index,
            "reason": "",
            "attribute": "model",
            "value": "x",
            "joined": {str(index): 1},
        }
        return [LogEvent(kind, self.now, data) for kind in KINDS]


class TestEngineMachine(EngineMachine.TestCase):
    """A small number of examples in the ordinary suite."""

    settings = settings(max_examples=EXAMPLES, stateful_step_count=40, deadline=None)

    def runTest(self) -> None:  # noqa: N802 - unittest's name
        EngineMachine.drawn.clear()
        super().runTest()
        assert EXAMPLES < MANY or not KINDS - EngineMachine.drawn
