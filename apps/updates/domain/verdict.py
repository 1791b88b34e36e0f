"""What a rollout is doing and what it waits for, in one sentence; and its log, in sentences."""

from collections.abc import Mapping
from typing import Any, Protocol

from apps.updates.domain import engine
from apps.updates.domain.engine import RolloutStatus
from apps.updates.domain.gate import Counts, judge
from apps.updates.domain.states import RolloutState


class Judged(Protocol):
    """A rollout: where its log says that it stands, and its phases' counts as they are now."""

    def status(self) -> RolloutStatus:
        """The engine's state."""

    def counts(self) -> tuple[Counts, ...]:
        """The counts of each phase, by index."""


def verdict(rollout: Judged) -> str:
    """What the rollout is doing and what it waits for: one sentence for people."""
    state, counts = rollout.status(), rollout.counts()
    overall = sum(counts, Counts())
    if state.state is RolloutState.DRAFT:
        return "Draft: nothing happens until it is started."
    if state.state is RolloutState.PENDING_APPROVAL:
        return "Waiting for another person to approve the plan."
    if state.state is RolloutState.SCHEDULED:
        return "Ready: nothing happens until it is started."
    if state.state is RolloutState.COMPLETED:
        return f"Completed: {_outcome(overall)}."
    if state.state is RolloutState.CANCELLED:
        return _cancelled(state, overall)
    return _at_work(state, counts)


def _cancelled(state: RolloutStatus, overall: Counts) -> str:
    if state.started_at is None:
        return "Cancelled before it was started."
    if overall.active:
        return f"Cancelled: {_outcome(overall)}, {overall.active} still finishing."
    return f"Cancelled: {_outcome(overall)}."


def _at_work(state: RolloutStatus, counts: tuple[Counts, ...]) -> str:
    """A started rollout: in which phase it is, and what the gate says there."""
    here = counts[state.open_phase]
    place = f"phase {state.open_phase + 1} of {len(state.phases)}"
    if state.state is RolloutState.HALTED:
        return f"Halted in {place}: {state.phases[state.open_phase].reason}."
    word = "Paused" if state.state is RolloutState.PAUSED else "Running"
    sentence = f"{word} in {place}: {judge(here).reason}"
    if here.to_go:
        sentence += f" ({here.active} at work, {here.waiting} waiting for their devices)"
    return f"{sentence}."


def _outcome(counts: Counts) -> str:
    parts = [f"{counts.succeeded} of {counts.total} succeeded"]
    for name in ("failed", "cancelled", "skipped"):
        if number := getattr(counts, name):
            parts.append(f"{number} {name}")
    return ", ".join(parts)


def summary(type_: str, data: Mapping[str, Any]) -> str:
    """One log entry as a sentence for people."""
    number = data["index"] + 1 if "index" in data else 0
    sentences = {
        engine.CREATED: "The rollout was planned.",
        engine.SUBMITTED: "The plan was submitted.",
        engine.APPROVED: "The plan was approved.",
        engine.STARTED: f"The rollout was started for {sum(data.get('sizes', []))} devices.",
        engine.PHASE_OPENED: f"Phase {number} was opened.",
        engine.PHASE_PROMOTED: f"Phase {number} passed its gate: {data.get('reason', '')}.",
        engine.PHASE_HALTED: f"Phase {number} failed its gate: {data.get('reason', '')}.",
        engine.HALTED: "The rollout was halted: no further device starts.",
        engine.PAUSED: "The rollout was paused: no further device starts.",
        engine.RESUMED: "The rollout was resumed.",
        engine.CANCELLED: "The rollout was cancelled.",
        engine.COMPLETED: "The rollout is complete.",
    }
    if type_ == engine.COUNTED:
        return _counted(data)
    return sentences.get(type_, type_)


def _counted(data: Mapping[str, Any]) -> str:
    parts = [
        f"phase {int(index) + 1}: {_progress(Counts(**values))}"
        for index, values in sorted(data["phases"].items(), key=lambda item: int(item[0]))
    ]
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."


def _progress(counts: Counts) -> str:
    parts = [
        f"{number} {word}"
        for number, word in (
            (counts.waiting, "waiting"),
            (counts.active, "at work"),
            (counts.succeeded, "succeeded"),
            (counts.failed, "failed"),
            (counts.cancelled, "cancelled"),
            (counts.skipped, "skipped"),
        )
        if number
    ]
    return ", ".join(parts) or "no devices"
