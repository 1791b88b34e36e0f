"""Gates with known error rates: whether a phase is promoted, held or halted, and why."""

from apps.updates.domain.gates.attribution import Outcome, Suspect, rank
from apps.updates.domain.gates.evidence import Arm, Evidence, MetricArms, Verdict, count_samples
from apps.updates.domain.gates.judgement import judge
from apps.updates.domain.gates.policy import (
    BadPolicy,
    Comparison,
    GateKind,
    GatePolicy,
    Metric,
    MetricCondition,
    OnExhausted,
)
from apps.updates.domain.gates.reach import Reach, reachable

__all__ = [
    "Arm",
    "BadPolicy",
    "Comparison",
    "Evidence",
    "GateKind",
    "GatePolicy",
    "Metric",
    "MetricArms",
    "MetricCondition",
    "OnExhausted",
    "Outcome",
    "Reach",
    "Suspect",
    "Verdict",
    "count_samples",
    "judge",
    "rank",
    "reachable",
]
