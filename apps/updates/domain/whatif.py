"""What if the gates had been others: a rollout's log, judged again.

The log says how many devices of each phase had ended, and when. From that follows where other gates
would have promoted or halted. What devices would have done that never began, nobody can know.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from apps.updates.domain.engine import EXCLUDED, LogEvent, PhaseStatus, RolloutStatus, reduce
from apps.updates.domain.gates import GatePolicy, MetricArms, MetricCondition
from apps.updates.domain.states import GateDecision, PhaseState


class Unknown(StrEnum):
    """Why the log cannot tell how it would have gone on."""

    # Other gates would have gone on where the rollout ended, or had not come to yet.
    NEVER_OPENED = "never_opened"
    # The phase had no decision when the log ended.
    UNDECIDED = "undecided"
    # The gates look at samples that were not taken.
    NO_SAMPLES = "no_samples"


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a phase was decided: after which event, when, and after how many of its devices."""

    index: int
    decision: GateDecision
    reason: str
    event: int
    time: datetime
    ended: int
    # Devices of the whole rollout that had begun by then.
    begun: int


@dataclass(frozen=True, slots=True)
class Gap:
    """What cannot be known of a phase, and why."""

    index: int
    why: Unknown
    reason: str = ""


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What other gates would have decided, beside what was decided.

    `begun` counts the devices that began in truth; where the other gates halt, `spared` is how many
    of them would not have.
    """

    decisions: tuple[Decision, ...]
    actual: tuple[Decision, ...]
    gaps: tuple[Gap, ...]
    begun: int

    @property
    def halted(self) -> Decision | None:
        """Where the other gates would have halted the rollout."""
        last = self.decisions[-1] if self.decisions else None
        return last if last and last.decision is GateDecision.HALT else None

    @property
    def spared(self) -> int:
        """Devices that began after the other gates would have halted."""
        return self.begun - self.halted.begun if self.halted else 0


def what_if(events: Sequence[LogEvent], gates: Sequence[GatePolicy]) -> WhatIf:
    """Judges a log by one gate for all phases, or by one for each.

    Devices are taken to do what they did, whenever their phase would have been opened: a phase is
    judged once the log has opened it and the gates before it would have passed. Raises `ValueError`
    where there are neither one nor as many gates as phases, and `IllegalTransition` for a log that
    cannot be.
    """
    other = _Replay(gates)
    for number, event in enumerate(events, start=1):
        other.take(number, event)
    return other.answer()


class _Replay:
    """Goes through a log once; `open` is the phase that the other gates have come to."""

    def __init__(self, gates: Sequence[GatePolicy]) -> None:
        self.gates = gates
        self.state = RolloutStatus()
        self.open = 0
        self.at = datetime.min.replace(tzinfo=UTC)
        self.decided: dict[int, Decision] = {}
        self.halted: Decision | None = None
        self.actual: list[Decision] = []

    def take(self, number: int, event: LogEvent) -> None:
        """One event: first what the clock alone would have decided before it, then itself."""
        self._soak(number - 1, event.time)
        self.at = event.time
        before, self.state = self.state, reduce(self.state, event)
        if event.type == EXCLUDED:
            # Whoever went on without some devices would have done so with these gates too.
            self.halted = None
        for index, (old, new) in enumerate(zip(before.phases, self.state.phases, strict=False)):
            if old.state is not new.state and new.state in (
                PhaseState.PROMOTED,
                PhaseState.HALTED,
            ):
                decided = self._decided(index, new.decision, new.reason, number, event.time)
                self.actual.append(decided)
        self._judge(number, event.time)

    def answer(self) -> WhatIf:
        """What came of it all."""
        decisions = [*self.decided.values(), *([self.halted] if self.halted else [])]
        return WhatIf(tuple(decisions), tuple(self.actual), tuple(self._gaps()), self._begun())

    def _soak(self, number: int, until: datetime) -> None:
        """A gate that waits for nothing but time passes between two events."""
        phase = self._phase()
        while phase is not None and phase.opened_at is not None:
            seconds = self._gate(self.open).minimum_soak_seconds
            due = max(phase.opened_at + timedelta(seconds=seconds), self.at)
            if due > until or not self._judge(number, due):
                return
            phase = self._phase()

    def _phase(self) -> PhaseStatus | None:
        """The phase that the other gates have come to, once the log has opened it."""
        if self.halted or self.open > self.state.open_phase or self.state.open_phase < 0:
            return None
        return self.state.phases[self.open] if self.open < len(self.state.phases) else None

    def _judge(self, number: int, now: datetime) -> bool:
        """Whether something was decided: a halt of any phase come to, or promotions."""
        reached = min(self.open, self.state.open_phase)
        for index in range(reached + 1) if not self.halted else ():
            decision, reason = self._verdict(index, now)
            if decision is GateDecision.HALT:
                self.halted = self._decided(index, decision, reason, number, now)
                return True
        if self._phase() is None:
            return False
        decision, reason = self._verdict(self.open, now)
        if decision is not GateDecision.PROMOTE:
            return False
        self.decided[self.open] = self._decided(self.open, decision, reason, number, now)
        self.open += 1
        self._judge(number, now)
        return True

    def _verdict(self, index: int, now: datetime) -> tuple[GateDecision, str]:
        phase, gate = self.state.phases[index], self._gate(index)
        verdict = replace(phase, gate=gate, metrics=_samples(phase, gate)).judged(now)
        return verdict.decision, verdict.reason

    def _gate(self, index: int) -> GatePolicy:
        phases = len(self.state.phases)
        if len(self.gates) not in (1, phases):
            raise ValueError(f"There are {phases} phases: give one gate, or {phases}.")
        return self.gates[index] if len(self.gates) == phases else self.gates[0]

    def _decided(
        self, index: int, decision: GateDecision, reason: str, number: int, now: datetime
    ) -> Decision:
        counts = self.state.phases[index].counts
        ended = counts.succeeded + counts.failed
        return Decision(index, decision, reason, number, now, ended, self._begun())

    def _begun(self) -> int:
        counts = self.state.counts
        return counts.active + counts.succeeded + counts.failed

    def _gaps(self) -> list[Gap]:
        gaps = [
            Gap(index, Unknown.NO_SAMPLES)
            for index in range(min(self.open, len(self.state.phases) - 1) + 1)
            if self.state.phases and self._lacks_samples(index)
        ]
        if self.halted or self.open >= len(self.state.phases):
            return gaps
        phase = self._phase()
        if phase is None:
            return [*gaps, Gap(self.open, Unknown.NEVER_OPENED)]
        return [*gaps, Gap(self.open, Unknown.UNDECIDED, self._verdict(self.open, self.at)[1])]

    def _lacks_samples(self, index: int) -> bool:
        gate, phase = self._gate(index), self.state.phases[index]
        taken = {_measure(condition) for condition in phase.gate.conditions}
        is_unknown = any(_measure(condition) not in taken for condition in gate.conditions)
        return is_unknown or (gate.has_control and phase.control is None)


def _samples(phase: PhaseStatus, gate: GatePolicy) -> tuple[MetricArms, ...]:
    """What the log has of the gate's conditions, in their order; they may state other rates."""
    taken = zip(phase.gate.conditions, phase.metrics, strict=False)
    known = {_measure(condition): arms for condition, arms in taken}
    found = (known.get(_measure(condition), MetricArms()) for condition in gate.conditions)
    return tuple(arms if gate.has_control else replace(arms, control=None) for arms in found)


def _measure(condition: MetricCondition) -> tuple[object, ...]:
    """What decides which devices are bad, whatever share of them is acceptable."""
    return condition.metric, condition.limit, condition.comparison
