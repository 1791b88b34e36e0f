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

from apps.updates.domain.gate import Counts
from apps.updates.domain.gates import Arm, Evidence, GatePolicy, MetricArms, Verdict, judge
from apps.updates.domain.states import GateDecision, PhaseState, RolloutState, can_rollout_become

CREATED = "created"
SUBMITTED = "submitted"
APPROVED = "approved"
REJECTED = "rejected"
EDITED = "edited"
STARTED = "started"
PHASE_OPENED = "phase_opened"
COUNTED = "counted"
PHASE_APPROVED = "phase_approved"
PHASE_PROMOTED = "phase_promoted"
PHASE_HALTED = "phase_halted"
HALTED = "halted"
PAUSED = "paused"
RESUMED = "resumed"
CANCELLED = "cancelled"
COMPLETED = "completed"
ROLLBACK_STARTED = "rollback_started"
ROLLBACK_HALTED = "rollback_halted"
ROLLED_BACK = "rolled_back"
EXCLUDED = "excluded"
JOINED = "joined"
CLOSED = "closed"
SUPERSEDED = "superseded"


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
    """One phase as the log tells it; `counts` are those of the last count in the log.

    `control` and `metrics` are what the gate compares with, as last noted. `left_out` are outcomes
    of devices that a person has left out since: they say nothing to the gate. A phase that needs
    approval opens after a person has said so.
    """

    percent: int
    state: PhaseState = PhaseState.WAITING
    decision: GateDecision = GateDecision.HOLD
    reason: str = ""
    opened_at: datetime | None = None
    decided_at: datetime | None = None
    counts: Counts = field(default_factory=Counts)
    gate: GatePolicy = field(default_factory=GatePolicy)
    needs_approval: bool = False
    is_approved: bool = False
    control: Arm | None = None
    metrics: tuple[MetricArms, ...] = ()
    left_out: Arm = field(default_factory=Arm)

    @property
    def may_open(self) -> bool:
        """Whether nobody has to approve it any more."""
        return self.is_approved or not self.needs_approval

    def judged(self, now: datetime, counts: Counts | None = None) -> Verdict:
        """What its gate says now, of these counts or of those that were noted last."""
        seconds = int((now - self.opened_at).total_seconds()) if self.opened_at else 0
        remaining = _without(counts or self.counts, self.left_out)
        return judge(self.gate, Evidence(remaining, seconds, self.control, self.metrics))

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
    end_at: datetime | None = None
    # Traits, as ("model", "pi4"), whose devices a person has left out.
    exclusions: tuple[tuple[str, str], ...] = ()
    # Whether devices that match later join; false again once somebody has closed it.
    is_dynamic: bool = False

    @property
    def entry(self) -> int:
        """The first phase whose gate is not passed, else the last: devices join it or later ones.

        The evidence of a gate that has let the next phase open stays what it was.
        """
        states = [phase.state for phase in self.phases[:-1]]
        return next((i for i, s in enumerate(states) if s is not PhaseState.PROMOTED), len(states))

    def takes_devices(self, now: datetime) -> bool:
        """Whether devices may join now."""
        return self.state is RolloutState.RUNNING and self.stays_open(now)

    def stays_open(self, now: datetime) -> bool:
        """Whether devices may still come, so that it is not complete."""
        return self.is_dynamic and (self.end_at is None or now < self.end_at)

    @property
    def counts(self) -> Counts:
        """Those of all phases together, as last noted."""
        return sum((phase.counts for phase in self.phases), Counts())

    @property
    def awaits_approval(self) -> bool:
        """Whether the open phase is passed and a person has to let the next one open."""
        following = self.open_phase + 1
        return (
            self.state in (RolloutState.RUNNING, RolloutState.PAUSED)
            and 0 < following < len(self.phases)
            and self.phases[self.open_phase].state is PhaseState.PROMOTED
            and not self.phases[following].may_open
        )


@dataclass(frozen=True, slots=True)
class Observations:
    """What is seen now: the counts of each phase, by index; what gates compare with, by index of
    the phases that compare with something; and the outcomes that are left out."""

    counts: tuple[Counts, ...]
    controls: Mapping[int, Arm] = field(default_factory=dict)
    metrics: Mapping[int, tuple[MetricArms, ...]] = field(default_factory=dict)
    left_out: Mapping[int, Arm] = field(default_factory=dict)


def decide(state: RolloutStatus, observations: Observations, now: datetime) -> list[LogEvent]:
    """What has to happen to a rollout, in order; empty where there is nothing to do.

    It notes first what is new to see (also of a halted or cancelled rollout, whose devices at work
    go on to finish), then halts, promotes, opens and completes until nothing more follows. Every
    phase that was opened is judged, so that failures that come after a promotion still halt.
    Deciding again on the resulting state, with the same observations and time, gives nothing.
    """
    if state.started_at is None:
        return []
    events = _noted(state, observations, now)
    state = replay(events, state)
    while step := _next_step(state, now):
        events.append(step)
        state = reduce(state, step)
    return events


def _noted(state: RolloutStatus, observations: Observations, now: datetime) -> list[LogEvent]:
    data = differences(state, observations)
    return [LogEvent(COUNTED, now, {"phases": {}, **data})] if data else []


def differences(state: RolloutStatus, observations: Observations) -> dict[str, Any]:
    """What is seen that the log does not say yet, as its events hold it; empty for nothing."""
    data: dict[str, Any] = {}
    for index, phase in enumerate(state.phases):
        counts = observations.counts[index]
        control = observations.controls.get(index, phase.control)
        metrics = observations.metrics.get(index, phase.metrics)
        left_out = observations.left_out.get(index, phase.left_out)
        if counts != phase.counts:
            data.setdefault("phases", {})[str(index)] = asdict(counts)
        if control != phase.control:
            data.setdefault("controls", {})[str(index)] = control and asdict(control)
        if metrics != phase.metrics:
            data.setdefault("metrics", {})[str(index)] = [asdict(arms) for arms in metrics]
        if left_out != phase.left_out:
            data.setdefault("left_out", {})[str(index)] = asdict(left_out)
    return data


def _next_step(state: RolloutStatus, now: datetime) -> LogEvent | None:
    """The next event, None where the open phase holds or nothing is running."""
    if state.state not in (RolloutState.RUNNING, RolloutState.PAUSED):
        return None
    halted = _halt(state, now)
    if halted or state.state is RolloutState.PAUSED:
        return halted
    phase = state.phases[state.open_phase]
    if phase.state is PhaseState.OPEN:
        verdict = phase.judged(now)
        data = {"index": state.open_phase, "reason": verdict.reason}
        promoted = verdict.decision is GateDecision.PROMOTE
        return LogEvent(PHASE_PROMOTED, now, data) if promoted else None
    return _after_promotion(state, now)


def _after_promotion(state: RolloutStatus, now: datetime) -> LogEvent | None:
    """Opens the next phase, or completes the rollout once every device has ended.

    A dynamic one goes on until it is closed or its end has come.
    """
    following = state.open_phase + 1
    if following < len(state.phases):
        may_open = state.phases[following].may_open
        return LogEvent(PHASE_OPENED, now, {"index": following}) if may_open else None
    is_over = not state.counts.to_go and not state.stays_open(now)
    return LogEvent(COMPLETED, now) if is_over else None


def _halt(state: RolloutStatus, now: datetime) -> LogEvent | None:
    """A failed gate halts at once, also while paused: devices at work go on to report."""
    for index, phase in enumerate(state.phases[: state.open_phase + 1]):
        if phase.state is PhaseState.HALTED:
            return LogEvent(HALTED, now, {"index": index, "reason": phase.reason})
        verdict = phase.judged(now)
        if verdict.decision is GateDecision.HALT:
            return LogEvent(PHASE_HALTED, now, {"index": index, "reason": verdict.reason})
    if state.end_at and now >= state.end_at and state.counts.to_go:
        reason = f"the end time has passed with {state.counts.to_go} devices to go"
        return LogEvent(PHASE_HALTED, now, {"index": state.open_phase, "reason": reason})
    return None


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
    """The state as JSON can hold it; `restore` reads it back without loss.

    What rollouts have learned since the first version is left out while it has its first value, so
    that the hash of a state that was stored before stays what it was.
    """
    dumped: dict[str, Any] = json.loads(json.dumps(asdict(state), default=_plain))
    for status, phase in zip(dumped["phases"], state.phases, strict=True):
        status["gate"] = phase.gate.dump()
        _leave_out(status, _FIRST_PHASE)
    return _leave_out(dumped, {"end_at": None, "exclusions": [], "is_dynamic": False})


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
        end_at=_moment(dumped.get("end_at")),
        exclusions=tuple((trait[0], trait[1]) for trait in dumped.get("exclusions", ())),
        is_dynamic=dumped.get("is_dynamic", False),
    )


def state_hash(state: RolloutStatus) -> str:
    """SHA-256 over the whole state as canonical JSON, 64 hex digits; times to the microsecond."""
    text = json.dumps(dump(state), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


_FIRST_PHASE: Mapping[str, Any] = {
    "gate": GatePolicy().dump(),
    "needs_approval": False,
    "is_approved": False,
    "control": None,
    "metrics": [],
    "left_out": asdict(Arm()),
}


def _leave_out(dumped: dict[str, Any], first: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in first.items():
        if dumped[name] == value:
            del dumped[name]
    return dumped


def _restore_phase(dumped: Mapping[str, Any]) -> PhaseStatus:
    known = {**_FIRST_PHASE, **dumped}
    return PhaseStatus(
        percent=known["percent"],
        state=PhaseState(known["state"]),
        decision=GateDecision(known["decision"]),
        reason=known["reason"],
        opened_at=_moment(known["opened_at"]),
        decided_at=_moment(known["decided_at"]),
        counts=Counts(**known["counts"]),
        gate=GatePolicy.restore(known["gate"]),
        needs_approval=known["needs_approval"],
        is_approved=known["is_approved"],
        control=_arm(known["control"]),
        metrics=_metrics(known["metrics"]),
        left_out=Arm(**known["left_out"]),
    )


def _without(counts: Counts, left_out: Arm) -> Counts:
    """The counts where outcomes that are left out say nothing."""
    return replace(
        counts,
        succeeded=counts.succeeded - left_out.succeeded,
        failed=counts.failed - left_out.failed,
        skipped=counts.skipped + left_out.total,
    )


def _arm(dumped: Mapping[str, int] | None) -> Arm | None:
    return None if dumped is None else Arm(**dumped)


def _metrics(dumped: Sequence[Mapping[str, Any]]) -> tuple[MetricArms, ...]:
    return tuple(
        MetricArms(Arm(**each["updated"]), _arm(each["control"]), each["pending"])
        for each in dumped
    )


def _plain(value: object) -> str:
    """Times to the microsecond, and the exact numbers of policies, as texts."""
    return value.isoformat(timespec="microseconds") if isinstance(value, datetime) else str(value)


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
    return _planned(state, event)


def _edited(state: RolloutStatus, event: LogEvent) -> RolloutStatus:
    """Another plan: whatever was approved or submitted is so no more."""
    if state.state is not RolloutState.DRAFT:
        state = _step(state, RolloutState.DRAFT)
    return _planned(replace(state, approved_hash=""), event)


def _planned(state: RolloutStatus, event: LogEvent) -> RolloutStatus:
    """Events say what differs from the plainest plan: `gates` and `approvals` by phase."""
    percents: Sequence[int] = event.data["percents"]
    gates = event.data.get("gates") or [{}] * len(percents)
    approvals = event.data.get("approvals") or [False] * len(percents)
    phases = tuple(
        PhaseStatus(percent, gate=GatePolicy.restore(gate), needs_approval=needs_approval)
        for percent, gate, needs_approval in zip(percents, gates, approvals, strict=True)
    )
    end_at = _moment(event.data.get("end_at"))
    return replace(
        state,
        plan_hash=event.data["plan_hash"],
        phases=phases,
        end_at=end_at,
        is_dynamic=event.data.get("is_dynamic", False),
    )


def _submitted(state: RolloutStatus, event: LogEvent) -> RolloutStatus:
    needs = event.data["requires_approval"]
    target = RolloutState.PENDING_APPROVAL if needs else RolloutState.SCHEDULED
    return _step(state, target, RolloutState.DRAFT)


def _rejected(state: RolloutStatus, _event: LogEvent) -> RolloutStatus:
    return _step(state, RolloutState.DRAFT, RolloutState.PENDING_APPROVAL)


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


def _phase_approved(state: RolloutStatus, event: LogEvent) -> RolloutStatus:
    index = event.data["index"]
    phase = state.phases[index]
    if phase.state is not PhaseState.WAITING or phase.may_open:
        raise IllegalTransition(f"phase {index} does not wait for approval")
    return _with_phase(state, index, replace(phase, is_approved=True))


def _phase_opened(state: RolloutStatus, event: LogEvent) -> RolloutStatus:
    index = event.data["index"]
    if state.state is not RolloutState.RUNNING or index != state.open_phase + 1:
        raise IllegalTransition(f"phase {index} cannot open now")
    is_next = index == 0 or state.phases[index - 1].state is PhaseState.PROMOTED
    if not is_next or not state.phases[index].may_open:
        raise IllegalTransition(f"phase {index} waits for a gate or for approval")
    opened = replace(state.phases[index], state=PhaseState.OPEN, opened_at=event.time)
    opened = replace(opened, reason=opened.judged(event.time).reason)
    return replace(_with_phase(state, index, opened), open_phase=index)


def _counted(state: RolloutStatus, event: LogEvent) -> RolloutStatus:
    for index, fields in _seen(event.data).items():
        phase = replace(state.phases[index], **fields)
        if phase.state is PhaseState.OPEN:
            phase = replace(phase, reason=phase.judged(event.time).reason)
        state = _with_phase(state, index, phase)
    return state


def _seen(data: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """What an event says of phases, by index: `differences` read back."""
    changed: dict[int, dict[str, Any]] = {}
    for index, values in data.get("phases", {}).items():
        changed.setdefault(int(index), {})["counts"] = Counts(**values)
    for index, values in data.get("controls", {}).items():
        changed.setdefault(int(index), {})["control"] = _arm(values)
    for index, values in data.get("metrics", {}).items():
        changed.setdefault(int(index), {})["metrics"] = _metrics(values)
    for index, values in data.get("left_out", {}).items():
        changed.setdefault(int(index), {})["left_out"] = Arm(**values)
    return changed


def _excluded(state: RolloutStatus, event: LogEvent) -> RolloutStatus:
    """A person goes on without some devices: gates that had failed are asked about the others."""
    if state.state is RolloutState.HALTED:
        state = _step(state, RolloutState.RUNNING)
    elif state.state not in (RolloutState.RUNNING, RolloutState.PAUSED):
        raise IllegalTransition(f"a {state.state} rollout leaves nobody out")
    trait = (event.data["attribute"], event.data["value"])
    state = replace(state, exclusions=(*state.exclusions, trait))
    seen = _seen(event.data)
    for index, before in enumerate(state.phases):
        phase = replace(before, **seen.get(index, {}))
        if phase.state is PhaseState.HALTED:
            phase = _reopened(state, index, phase, event)
        elif phase.state is PhaseState.OPEN:
            phase = replace(phase, reason=phase.judged(event.time).reason)
        state = _with_phase(state, index, phase)
    return state


def _reopened(state: RolloutStatus, index: int, phase: PhaseStatus, event: LogEvent) -> PhaseStatus:
    """The last phase is judged anew; an earlier one has been passed, and is watched again."""
    if index < state.open_phase:
        return replace(
            phase,
            state=PhaseState.PROMOTED,
            decision=GateDecision.PROMOTE,
            reason=event.data["reason"],
            decided_at=event.time,
        )
    opened = replace(phase, state=PhaseState.OPEN, decision=GateDecision.HOLD, decided_at=None)
    return replace(opened, reason=opened.judged(event.time).reason)


def _joined(state: RolloutStatus, event: LogEvent) -> RolloutStatus:
    """Devices came in, so many to each of these phases; they wait there."""
    if not state.takes_devices(event.time):
        raise IllegalTransition(f"no device joins a {state.state} rollout that is not open to any")
    for text, number in event.data["joined"].items():
        index = int(text)
        if not state.entry <= index < len(state.phases):
            raise IllegalTransition(f"phase {index} takes no device any more")
        phase = state.phases[index]
        phase = replace(phase, counts=phase.counts + Counts(waiting=number))
        if phase.state is PhaseState.OPEN:
            phase = replace(phase, reason=phase.judged(event.time).reason)
        state = _with_phase(state, index, phase)
    return state


def _closed(state: RolloutStatus, _event: LogEvent) -> RolloutStatus:
    if not state.is_dynamic or state.state not in (RolloutState.RUNNING, RolloutState.PAUSED):
        raise IllegalTransition(f"a {state.state} rollout that no device joins is not closed")
    return replace(state, is_dynamic=False)


def _superseded(state: RolloutStatus, event: LogEvent) -> RolloutStatus:
    """A newer rollout has taken over devices that waited here; their counts are as it says."""
    if state.state not in (RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.HALTED):
        raise IllegalTransition(f"in a {state.state} rollout no device waits")
    return _counted(state, event)


def _phase_promoted(state: RolloutStatus, event: LogEvent) -> RolloutStatus:
    return _decided(state, event, PhaseState.PROMOTED, PhaseState.OPEN)


def _phase_halted(state: RolloutStatus, event: LogEvent) -> RolloutStatus:
    return _decided(state, event, PhaseState.HALTED, PhaseState.OPEN, PhaseState.PROMOTED)


_DECISIONS = {
    PhaseState.PROMOTED: GateDecision.PROMOTE,
    PhaseState.HALTED: GateDecision.HALT,
}


def _decided(
    state: RolloutStatus, event: LogEvent, target: PhaseState, *sources: PhaseState
) -> RolloutStatus:
    index = event.data["index"]
    if index > state.open_phase or state.phases[index].state not in sources:
        raise IllegalTransition(f"phase {index} is not open")
    phase = replace(
        state.phases[index],
        state=target,
        decision=_DECISIONS[target],
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


def _rolling_back(state: RolloutStatus, _event: LogEvent) -> RolloutStatus:
    return _step(state, RolloutState.ROLLING_BACK)


def _rolled_back(state: RolloutStatus, event: LogEvent) -> RolloutStatus:
    return replace(_step(state, RolloutState.ROLLED_BACK), finished_at=event.time)


_HANDLERS: Mapping[str, Callable[[RolloutStatus, LogEvent], RolloutStatus]] = {
    CREATED: _created,
    SUBMITTED: _submitted,
    APPROVED: _approved,
    REJECTED: _rejected,
    EDITED: _edited,
    STARTED: _started,
    PHASE_OPENED: _phase_opened,
    COUNTED: _counted,
    PHASE_APPROVED: _phase_approved,
    JOINED: _joined,
    CLOSED: _closed,
    SUPERSEDED: _superseded,
    PHASE_PROMOTED: _phase_promoted,
    PHASE_HALTED: _phase_halted,
    HALTED: _halted,
    PAUSED: _paused,
    RESUMED: _resumed,
    CANCELLED: _finished,
    COMPLETED: _finished,
    ROLLBACK_STARTED: _rolling_back,
    ROLLBACK_HALTED: _halted,
    ROLLED_BACK: _rolled_back,
    EXCLUDED: _excluded,
}
