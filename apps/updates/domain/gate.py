"""The gate of a phase: promote, hold or halt, with the evidence in words."""

from dataclasses import dataclass

from apps.updates.domain.states import Bucket, GateDecision


@dataclass(frozen=True, slots=True)
class Counts:
    """How many deployments of a phase are in each bucket."""

    waiting: int = 0
    active: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    skipped: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.to_go + self.succeeded + self.failed + self.uncounted

    @property
    def to_go(self) -> int:
        """Those that have not ended yet."""
        return self.waiting + self.active

    @property
    def uncounted(self) -> int:
        """Those that ended and say nothing about the release."""
        return self.cancelled + self.skipped

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(**{b.value: self.of(b) + other.of(b) for b in Bucket})

    def of(self, bucket: Bucket) -> int:
        """The number in one bucket."""
        number: int = getattr(self, bucket.value)
        return number


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a gate decides, and why."""

    decision: GateDecision
    reason: str


def judge(counts: Counts) -> Verdict:
    """Promote when all have finished and none failed; halt as soon as one failed; hold otherwise.

    Time-outs and roll-backs are failures; cancelled and skipped devices do not count.
    """
    if counts.failed:
        return Verdict(GateDecision.HALT, f"{outcome(counts)}: no failure is accepted")
    if counts.to_go:
        return Verdict(GateDecision.HOLD, f"{outcome(counts)}, {counts.to_go} to go")
    if not counts.total:
        return Verdict(GateDecision.PROMOTE, "no devices fall into this phase")
    return Verdict(GateDecision.PROMOTE, f"{outcome(counts)}, none failed")


def outcome(counts: Counts) -> str:
    """For example "3 of 5 succeeded, 1 failed": of those whose outcome counts."""
    judged = counts.total - counts.uncounted
    parts = [f"{counts.succeeded} of {judged} succeeded"]
    if counts.failed:
        parts.append(f"{counts.failed} failed")
    if counts.uncounted:
        parts.append(f"{counts.uncounted} not counted")
    return ", ".join(parts)
