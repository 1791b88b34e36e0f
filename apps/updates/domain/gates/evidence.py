"""What a gate looks at, and what it answers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.updates.domain.gate import Counts
from apps.updates.domain.gates.policy import MetricCondition
from apps.updates.domain.states import GateDecision


@dataclass(frozen=True, slots=True)
class Arm:
    """Outcomes of one group of devices: good ones and bad ones."""

    succeeded: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        """All outcomes."""
        return self.succeeded + self.failed


@dataclass(frozen=True, slots=True)
class MetricArms:
    """One condition's devices: the updated ones, those without the update, those to report yet."""

    updated: Arm = field(default_factory=Arm)
    control: Arm | None = None
    pending: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a gate knows of its phase; plain counts, so that a log can hold it.

    `control` counts devices without the update (or the same devices' history). `metrics` has one
    entry for each condition of the policy, in its order; a missing one means no reports yet.
    """

    counts: Counts
    seconds: int = 0
    control: Arm | None = None
    metrics: tuple[MetricArms, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a gate decides, why in one sentence, and the figures as JSON can hold them."""

    decision: GateDecision
    reason: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def count_samples(condition: MetricCondition, samples: Iterable[tuple[float, float | None]]) -> Arm:
    """How many devices are good and bad by a condition: (value now, value before) of each.

    A device that says nothing, such as one without an earlier value, is not counted.
    """
    bad = [condition.is_bad(value, baseline) for value, baseline in samples]
    return Arm(succeeded=bad.count(False), failed=bad.count(True))
