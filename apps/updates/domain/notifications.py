"""Whom a rollout tells what happens to it, by mail."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from apps.updates.domain.engine import (
    COMPLETED,
    HALTED,
    ROLLED_BACK,
    STARTED,
    SUBMITTED,
    LogEvent,
    RolloutStatus,
)
from apps.updates.domain.gates.policy import OnExhausted
from apps.updates.domain.gates.sentences import told
from apps.updates.domain.problems import BadPlan
from apps.updates.domain.states import GateDecision, PhaseState, RolloutState

MAX_RECIPIENTS = 20
MAX_FAILURES = 10_000_000
# Mail servers decide what they accept; this is what cannot break out of a header or an envelope.
_ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?",
    re.ASCII,
)


class Occasion(StrEnum):
    """What can be told."""

    AWAITING_APPROVAL = "awaiting_approval"
    STARTED = "started"
    PHASE_WAITING = "phase_waiting"
    DEVICES_FAILED = "devices_failed"
    HALTED = "halted"
    COMPLETED = "completed"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True)
class Notifications:
    """Who is told, and of what: of everything where no occasion is named.

    `failures_above` belongs to `devices_failed`, which is told once, when more devices than that
    have failed.
    """

    email: tuple[str, ...] = ()
    occasions: tuple[str, ...] = ()
    failures_above: int = 0

    def wants(self, occasion: Occasion) -> bool:
        """Whether anybody is told of this."""
        return bool(self.email) and (not self.occasions or occasion.value in self.occasions)

    def check(self) -> None:
        """Raises `BadPlan` for what is no address or no occasion."""
        if len(self.email) > MAX_RECIPIENTS:
            raise BadPlan("notifications.email", f"At most {MAX_RECIPIENTS} people are told.")
        for address in self.email:
            if len(address) > 254 or _ADDRESS.fullmatch(address) is None:
                raise BadPlan("notifications.email", f"{address[:100]!r} is no e-mail address.")
        if len({address.lower() for address in self.email}) != len(self.email):
            raise BadPlan("notifications.email", "An address is named twice.")
        known = [occasion.value for occasion in Occasion]
        if unknown := sorted(set(self.occasions) - set(known)):
            message = f"There is no {unknown[0][:40]!r}; known: {', '.join(known)}."
            raise BadPlan("notifications.occasions", message)
        if not 0 <= self.failures_above <= MAX_FAILURES:
            message = f"This is a whole number from 0 to {MAX_FAILURES}."
            raise BadPlan("notifications.failures_above", message)
        if not self.email and (self.occasions or self.failures_above):
            raise BadPlan("notifications.email", "Say who is told.")

    def dump(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "email": list(self.email),
            "occasions": list(self.occasions),
            "failures_above": self.failures_above,
        }

    @classmethod
    def restore(cls, dumped: Mapping[str, Any]) -> "Notifications":
        """What `dump` was given."""
        return cls(
            email=tuple(dumped.get("email", ())),
            occasions=tuple(dumped.get("occasions", ())),
            failures_above=dumped.get("failures_above", 0),
        )


@dataclass(frozen=True, slots=True)
class Told:
    """Something to be told: what, by which entry of the log, and in words."""

    occasion: Occasion
    sequence: int
    words: str


def occasions_of(
    told: Notifications, event: LogEvent, before: RolloutStatus, after: RolloutStatus
) -> list[Told]:
    """What has to be told because of one event of a rollout's log."""
    if not told.email:
        return []
    found = _told_of_event(event) + _told_of_state(told, before, after, event.time)
    return [Told(o, after.sequence, words) for o, words in found if told.wants(o)]


def _told_of_event(event: LogEvent) -> list[tuple[Occasion, str]]:
    reason = str(event.data.get("reason", ""))
    if event.type == SUBMITTED and event.data.get("requires_approval"):
        return [(Occasion.AWAITING_APPROVAL, "Its plan waits for approval by another person.")]
    if event.type == STARTED:
        return [(Occasion.STARTED, "It has started.")]
    if event.type == HALTED:
        return [(Occasion.HALTED, f"Halted: {reason}" if reason else "Halted.")]
    if event.type == COMPLETED:
        return [(Occasion.COMPLETED, "It is complete.")]
    if event.type == ROLLED_BACK:
        return [(Occasion.ROLLED_BACK, "Its devices have what they had before.")]
    return []


def _told_of_state(
    told: Notifications, before: RolloutStatus, after: RolloutStatus, at: datetime
) -> list[tuple[Occasion, str]]:
    found: list[tuple[Occasion, str]] = []
    if before.counts.failed <= told.failures_above < after.counts.failed:
        failed = after.counts.failed
        words = "1 device has failed." if failed == 1 else f"{failed} devices have failed."
        found.append((Occasion.DEVICES_FAILED, words))
    if (asked := _asked(after, at)) and asked != _asked(before, at):
        found.append((Occasion.PHASE_WAITING, asked))
    return found


def _asked(status: RolloutStatus, at: datetime) -> str:
    """What the rollout waits for a person to decide; empty for nothing."""
    if status.awaits_approval:
        return f"Phase {status.open_phase + 2} waits for a person to let it open."
    if status.state is not RolloutState.RUNNING or status.open_phase < 0:
        return ""
    phase = status.phases[status.open_phase]
    if phase.state is not PhaseState.OPEN:
        return ""
    verdict = phase.judged(at)
    opens_by_itself = (
        phase.gate.on_exhausted is OnExhausted.PROMOTE_IF_CLEAN and not phase.counts.failed
    )
    is_stuck = verdict.decision is GateDecision.HOLD and verdict.facts["is_exhausted"]
    if not is_stuck or opens_by_itself:
        return ""
    return f"Phase {status.open_phase + 1} waits for a person to decide: {told(verdict.reason)}."
