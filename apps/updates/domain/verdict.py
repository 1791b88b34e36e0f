"""What a rollout is doing and what it waits for, in one sentence; and its log, in sentences."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from apps.updates.domain import engine
from apps.updates.domain.engine import RolloutStatus
from apps.updates.domain.gate import Counts, outcome
from apps.updates.domain.gates.sentences import numbered, told
from apps.updates.domain.states import PhaseState, RolloutState


class Judged(Protocol):
    """A rollout: where its log says that it stands, and its phases' counts as they are now."""

    start_at: datetime | None

    def status(self) -> RolloutStatus:
        """The engine's state."""

    def counts(self) -> tuple[Counts, ...]:
        """The counts of each phase, by index."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What no log knows: how many of the devices that are to finish are offline now, and whether
    the release goes out in trial mode, signed by nobody."""

    offline: int = 0
    is_unsigned: bool = False


def verdict(rollout: Judged, now: datetime, standing: Standing = Standing()) -> str:
    """What the rollout is doing and what it waits for: one sentence for people."""
    sentence = _sentence(rollout, now, standing)
    return f"{sentence} {_TRIAL}" if standing.is_unsigned else sentence


_TRIAL = "In insecure trial mode: nobody has signed the release."


def _sentence(rollout: Judged, now: datetime, standing: Standing) -> str:
    state, counts = rollout.status(), rollout.counts()
    overall = sum(counts, Counts())
    if sentence := _BEFORE.get(state.state):
        return sentence
    if state.state is RolloutState.SCHEDULED:
        return _scheduled(rollout.start_at)
    if state.state is RolloutState.COMPLETED:
        return f"Completed: {_outcome(overall)}."
    if state.state is RolloutState.CANCELLED:
        return _cancelled(state, overall)
    return _at_work(state, counts, now, standing.offline)


_BEFORE = {
    RolloutState.DRAFT: "Draft: nothing happens until it is started.",
    RolloutState.PENDING_APPROVAL: "Waiting for another person to approve the plan.",
    RolloutState.ROLLING_BACK: "Rolling back: its devices return to what they had before.",
    RolloutState.ROLLED_BACK: "Rolled back: its devices have what they had before.",
}


def _scheduled(start_at: datetime | None) -> str:
    if start_at is None:
        return "Ready: nothing happens until it is started."
    return f"Ready: it starts at {start_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC."


def _cancelled(state: RolloutStatus, overall: Counts) -> str:
    if state.started_at is None:
        return "Cancelled before it was started."
    if overall.active:
        return f"Cancelled: {_outcome(overall)}, {overall.active} still finishing."
    return f"Cancelled: {_outcome(overall)}."


def _at_work(state: RolloutStatus, counts: tuple[Counts, ...], now: datetime, offline: int) -> str:
    """A started rollout: in which phase it is, and what the gate says there."""
    phase, here = state.phases[state.open_phase], counts[state.open_phase]
    place = f"phase {state.open_phase + 1} of {len(state.phases)}"
    if state.state is RolloutState.HALTED:
        return f"Halted in {place}: {_halted(state)}{_since(state, counts)}."
    word = "Paused" if state.state is RolloutState.PAUSED else "Running"
    if state.awaits_approval:
        return f"{word} after {place}: somebody has to open phase {state.open_phase + 2}."
    if phase.state is PhaseState.PROMOTED and state.open_phase + 1 < len(state.phases):
        when = "within seconds" if word == "Running" else "once it is resumed"
        return f"{word} after {place}: phase {state.open_phase + 2} opens {when}."
    if phase.state is PhaseState.PROMOTED:
        left, away = sum(counts, Counts()).to_go, _away(offline)
        if state.is_dynamic:
            return (
                f"{word} in {place}: every gate is passed, {left} devices are at it{away}; {_OPEN}."
            )
        return f"{word} in {place}: every gate is passed, {left} devices are still to finish{away}."
    sentence = f"{word} in {place}: {told(phase.judged(now, here).reason)}"
    if here.to_go:
        numbers = f"{here.active} at work, {here.waiting} waiting for their devices"
        sentence += f" ({numbers}{_away(offline)})"
    return f"{sentence}."


def _away(offline: int) -> str:
    """How many of those that are to finish in any phase are not connected."""
    if not offline:
        return ""
    return f"; {numbered(offline, 'device')} {'is' if offline == 1 else 'are'} offline now"


_OPEN = "devices that match later join until it is closed"


def _halted(state: RolloutStatus) -> str:
    """Why: the phase whose gate failed, which need not be the last one that was opened."""
    failed = [phase.reason for phase in state.phases if phase.state is PhaseState.HALTED]
    return failed[0] if failed else "its roll back was stopped"


def has_moved_on(reason: str, counts: Counts) -> bool:
    """Whether a gate's words name numbers that are not those of now."""
    return " succeeded" in reason and outcome(counts) not in reason


def _since(state: RolloutStatus, counts: tuple[Counts, ...]) -> str:
    """Where its devices are by now: they go on to report after a halt, whose words stay."""
    overall = sum(counts, Counts())
    working = f"{numbered(overall.active, 'device')} still at work" if overall.active else ""
    has_moved = any(
        has_moved_on(phase.reason, here)
        for phase, here in zip(state.phases, counts, strict=True)
        if phase.state is PhaseState.HALTED
    )
    if not has_moved:
        return f"; {working}" if working else ""
    return f"; by now {_outcome(overall)}{f', {working}' if working else ''}"


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
        engine.REJECTED: f"The plan was sent back: {data.get('reason', '')}.",
        engine.EDITED: "The plan was changed; nobody has approved it.",
        engine.STARTED: f"The rollout was started for {sum(data.get('sizes', []))} devices.",
        engine.PHASE_APPROVED: f"Phase {number} may open: {data.get('reason', '')}.",
        engine.PHASE_OPENED: f"Phase {number} was opened.",
        engine.PHASE_PROMOTED: f"Phase {number} passed its gate: {data.get('reason', '')}.",
        engine.PHASE_HALTED: f"Phase {number} failed its gate: {data.get('reason', '')}.",
        engine.HALTED: "The rollout was halted: no further device starts.",
        engine.PAUSED: "The rollout was paused: no further device starts.",
        engine.RESUMED: "The rollout was resumed.",
        engine.CANCELLED: "The rollout was cancelled.",
        engine.COMPLETED: "The rollout is complete.",
        engine.ROLLBACK_STARTED: "Its devices are being brought back to what they had before.",
        engine.ROLLBACK_HALTED: "The roll back was stopped.",
        engine.CLOSED: _closed(data),
        engine.ROLLED_BACK: "Its devices have what they had before.",
    }
    if type_ == engine.COUNTED:
        return _counted(data)
    if type_ == engine.JOINED:
        return _joined(data)
    if type_ == engine.SUPERSEDED:
        devices = numbered(data.get("number", 0), "device")
        return f"A rollout of {data.get('release', '')} took over {devices} that waited."
    if type_ == engine.EXCLUDED:
        return _left_out(data)
    return sentences.get(type_, type_)


def _closed(data: Mapping[str, Any]) -> str:
    reason = data.get("reason")
    return f"No further device joins: {reason}." if reason else "No further device joins."


def _left_out(data: Mapping[str, Any]) -> str:
    """Who was left out, and why."""
    return (
        f"It goes on without devices with {data.get('words', '')}, {data.get('waiting', 0)} of them"
        f" waiting: {data.get('reason', '')}."
    )


def _counted(data: Mapping[str, Any]) -> str:
    parts = [
        f"phase {int(index) + 1}: {_progress(Counts(**values))}"
        for index, values in sorted(data["phases"].items(), key=lambda item: int(item[0]))
    ]
    if not parts:
        return "What the gates compare with has changed."
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."


def _joined(data: Mapping[str, Any]) -> str:
    numbers = sorted((int(index) + 1, number) for index, number in data["joined"].items())
    places = ", ".join(f"{number} in phase {phase}" for phase, number in numbers)
    return f"Devices that match by now joined: {places}."


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
