"""The rollout as a reducer: `decide` says what happens next, `reduce` makes it so.

Everything that ever changes a rollout is an event in its append-only log. `reduce` over the log
from `RolloutStatus()` gives the rollout's state, the same on every run, so a crash between any two
events loses nothing: after a restart `decide` goes on from what the log says.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import reduce as fold
from typing import Any

from apps.updates.domain.gate import Counts, judge
from apps.updates.domain.states import GateDecision, PhaseState, RolloutState, can_rollout_become

CREATED = "created"
SUBMITTED = "submitted"
APPROVED = "approved"
STARTED = "started"
PHASE_OPENED = "phase_opened"
COUNTED = "counted"
PHASE_PROMOTED = "phase_promoted"
PHASE_HALTED = "phase_halted"
HALTED = "halted"
PAUSED = "paused"
RESUMED = "resumed"
CANCELLED = "cancelled"
COMPLETED = "completed"


class IllegalTransition(ValueError):
    """An event that cannot follow in this state."""


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One entry of a rollout's log. `data` holds texts, whole numbers, booleans and lists."""

    type: str
    time: datetime
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PhaseStatus:
    """One phase as the log tells it; `counts` are those of the last count in the log."""

    percent: int
    state: PhaseState = PhaseState.WAITING
    decision: GateDecision = GateDecision.HOLD
    reason: str = ""
    opened_at: datetime | None = None
    decided_at: datetime | None = None
    counts: Counts = field(default_factory=Counts)

    @property
    def shown(self) -> tuple[object, ...]:
        """What the phase's row repeats."""
        return (
            self.percent,
            self.state.value,
            self.decision.value,
            self.reason,
            self.opened_at,
            self.decided_at,
        )


@dataclass(frozen=True, slots=True)
class RolloutStatus:
    """One rollout as the log tells it. `open_phase` is -1 before the start."""

    state: RolloutState = RolloutState.DRAFT
    plan_hash: str = ""
    approved_hash: str = ""
    open_phase: int = -1
    phases: tuple[PhaseStatus, ...] = ()
    started_at: datetime | None = None
    finished_at: datetime | None = None
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Observations:
    """What the deployments say now: the counts of each phase, by index."""

    counts: tuple[Counts, ...]


def decide(state: RolloutStatus, observations: Observations, now: datetime) -> list[LogEvent]:
    """What has to happen to a rollout, in order; empty where there is nothing to do.

    It notes new counts first (also of a halted or cancelled rollout, whose devices at work go on
    to finish), then judges open phases until one holds. Deciding again on the resulting state,
    with the same observations, gives nothing.
    """
    events: list[LogEvent] = []
    if state.started_at is None:
        return events
    changed = {
        str(index): asdict(counts)
        for index, counts in enumerate(observations.counts)
        if counts != state.phases[index].counts
    }
    if changed:
        events.append(LogEvent(COUNTED, now, {"phases": changed}))
    state = replay(events, state)
    while step := _next_step(state, now):
        events.extend(step)
        state = replay(step, state)
    return events


def _next_step(state: RolloutStatus, now: datetime) -> list[LogEvent]:
    """The events of one judgement, empty where the open phase holds or nothing is running."""
    if state.state not in (RolloutState.RUNNING, RolloutState.PAUSED):
        return []
    halted = _halt(state, now)
    if halted or state.state is RolloutState.PAUSED:
        return halted
    phase = state.phases[state.open_phase]
    verdict = judge(phase.counts)
    if verdict.decision is not GateDecision.PROMOTE:
        return []
    promoted = LogEvent(PHASE_PROMOTED, now, {"index": state.open_phase, "reason": verdict.reason})
    following = state.open_phase + 1
    if following == len(state.phases):
        return [promoted, LogEvent(COMPLETED, now)]
    return [promoted, LogEvent(PHASE_OPENED, now, {"index": following})]


def _halt(state: RolloutStatus, now: datetime) -> list[LogEvent]:
    """A failure halts at once, also while paused: devices at work go on to report."""
    verdict = judge(state.phases[state.open_phase].counts)
    if verdict.decision is not GateDecision.HALT:
        return []
    data = {"index": state.open_phase, "reason": verdict.reason}
    return [LogEvent(PHASE_HALTED, now, data), LogEvent(HALTED, now, data)]


def reduce(state: RolloutStatus, event: LogEvent) -> RolloutStatus:
    """The state after an event. Raises `IllegalTransition` for one that cannot follow."""
    handler = _HANDLERS.get(event.type)
    if handler is None:
        raise IllegalTransition(f"unknown event {event.type!r}")
    return replace(handler(state, event), sequence=state.sequence + 1)


def replay(events: Iterable[LogEvent], state: RolloutStatus | None = None) -> RolloutStatus:
    """The state after all these events, from the beginning unless `state` is given."""
    return fold(reduce, events, RolloutStatus() if state is None else state)


def dump(state: RolloutStatus) -> dict[str, Any]:
    """The state as JSON can hold it; `restore` reads it back without loss."""
    dumped: dict[str, Any] = json.loads(json.dumps(asdict(state), default=_isoformat))
    return dumped


def restore(dumped: Mapping[str, Any]) -> RolloutStatus:
    """The state that `dump` was given."""
    return RolloutStatus(
        state=RolloutState(dumped["state"]),
        plan_hash=dumped["plan_hash"],
        approved_hash=dumped["approved_hash"],
        open_phase=dumped["open_phase"],
        phases=tuple(_restore_phase(phase) for phase in dumped["phases"]),
        started_at=_moment(dumped["started_at"]),
        finished_at=_moment(dumped["finished_at"]),
        sequence=dumped["sequence"],
    )


def state_hash(state: RolloutStatus) -> str:
    """SHA-256 over the whole state as canonical JSON, 64 hex digits; times to the microsecond."""
    text = json.dumps(dump(state), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _restore_phase(dumped: Mapping[str, Any]) -> PhaseStatus:
    return PhaseStatus(
        percent=dumped["percent"],
        state=PhaseState(dumped["state"]),
        decision=GateDecision(dumped["decision"]),
        reason=dumped["reason"],
        opened_at=_moment(dumped["opened_at"]),
        decided_at=_moment(dumped["decided_at"]),
        counts=Counts(**dumped["counts"]),
    )


def _isoformat(value: datetime) -> str:
    return value.isoformat(timespec="microseconds")


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _step(state: RolloutStatus, target: RolloutState, *sources: RolloutState) -> RolloutStatus:
    """The state after going to `target`; from `sources` only, where some are named."""
    if not can_rollout_become(state.state, target) or (sources and state.state not in sources):
        raise IllegalTransition(f"a {state.state} rollout cannot become {target}")
    return replace(state, state=target)


def _with_phase(state: RolloutStatus, index: int, phase: PhaseStatus) -> RolloutStatus:
    return replace(state, phases=(*state.phases[:index], phase, *state.phases[index + 1 :]))


def _created(state: RolloutStatus, event: LogEvent) -> RolloutStatus:
    if state.sequence:
        raise IllegalTransition("a rollout is created once")
    percents: Sequence[int] = event.data["percents"]
    return replace(
        state,
        plan_hash=event.data["plan_hash"],
        phases=tuple(PhaseStatus(percent) for percent in percents),
    )


def _submitted(state: RolloutStatus, event: LogEvent) -> RolloutStatus:
    needs = event.data["requires_approval"]
    target = RolloutState.PENDING_APPROVAL if needs else RolloutState.SCHEDULED
    return _step(state, target, RolloutState.DRAFT)


def _approved(state: RolloutStatus, event: LogEvent) -> RolloutStatus:
    approved = _step(state, RolloutState.SCHEDULED, RolloutState.PENDING_APPROVAL)
    return replace(approved, approved_hash=event.data["plan_hash"])


def _started(state: RolloutStatus, event: LogEvent) -> RolloutStatus:
    started = _step(state, RolloutState.RUNNING, RolloutState.DRAFT, RolloutState.SCHEDULED)
    sizes: Sequence[int] = event.data["sizes"]
    phases = tuple(
        replace(phase, counts=Counts(waiting=size))
        for phase, size in zip(state.phases, sizes, strict=True)
    )
    return replace(started, phases=phases, started_at=event.time)


def _phase_opened(state: RolloutStatus, event: LogEvent) -> RolloutStatus:
    index = event.data["index"]
    if state.state is not RolloutState.RUNNING or index != state.open_phase + 1:
        raise IllegalTransition(f"phase {index} cannot open now")
    waiting = state.phases[index]
    phase = replace(
        waiting, state=PhaseState.OPEN, reason=judge(waiting.counts).reason, opened_at=event.time
    )
    return replace(_with_phase(state, index, phase), open_phase=index)


def _counted(state: RolloutStatus, event: LogEvent) -> RolloutStatus:
    for index, values in event.data["phases"].items():
        counts = Counts(**values)
        phase = replace(state.phases[int(index)], counts=counts)
        if phase.state is PhaseState.OPEN:
            phase = replace(phase, reason=judge(counts).reason)
        state = _with_phase(state, int(index), phase)
    return state


def _phase_promoted(state: RolloutStatus, event: LogEvent) -> RolloutStatus:
    return _decided(state, event, PhaseState.PROMOTED, GateDecision.PROMOTE)


def _phase_halted(state: RolloutStatus, event: LogEvent) -> RolloutStatus:
    return _decided(state, event, PhaseState.HALTED, GateDecision.HALT)


def _decided(
    state: RolloutStatus, event: LogEvent, target: PhaseState, decision: GateDecision
) -> RolloutStatus:
    index = event.data["index"]
    if index != state.open_phase or state.phases[index].state is not PhaseState.OPEN:
        raise IllegalTransition(f"phase {index} is not open")
    phase = replace(
        state.phases[index],
        state=target,
        decision=decision,
        reason=event.data["reason"],
        decided_at=event.time,
    )
    return _with_phase(state, index, phase)


def _finished(state: RolloutStatus, event: LogEvent) -> RolloutStatus:
    target = RolloutState.COMPLETED if event.type == COMPLETED else RolloutState.CANCELLED
    return replace(_step(state, target), finished_at=event.time)


def _paused(state: RolloutStatus, _event: LogEvent) -> RolloutStatus:
    return _step(state, RolloutState.PAUSED)


def _resumed(state: RolloutStatus, _event: LogEvent) -> RolloutStatus:
    return _step(state, RolloutState.RUNNING, RolloutState.PAUSED)


def _halted(state: RolloutStatus, _event: LogEvent) -> RolloutStatus:
    return _step(state, RolloutState.HALTED)


_HANDLERS: Mapping[str, Callable[[RolloutStatus, LogEvent], RolloutStatus]] = {
    CREATED: _created,
    SUBMITTED: _submitted,
    APPROVED: _approved,
    STARTED: _started,
    PHASE_OPENED: _phase_opened,
    COUNTED: _counted,
    PHASE_PROMOTED: _phase_promoted,
    PHASE_HALTED: _phase_halted,
    HALTED: _halted,
    PAUSED: _paused,
    RESUMED: _resumed,
    CANCELLED: _finished,
    COMPLETED: _finished,
}
