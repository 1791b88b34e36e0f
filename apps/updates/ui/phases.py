"""The phases of a rollout as its page shows them: rule, evidence, limits, and what may be done."""

from datetime import datetime, timedelta
from typing import Any

from apps.updates.domain.engine import PhaseStatus, RolloutStatus
from apps.updates.domain.gates import Verdict
from apps.updates.domain.gates.sentences import told
from apps.updates.domain.states import GateDecision, PhaseState, RolloutState
from apps.updates.domain.verdict import has_moved_on
from apps.updates.ui.wording import evidence_lines, gate_lines, limit_lines


def shown_phases(rollout: Any, now: datetime) -> list[dict[str, Any]]:
    """Each phase with its row, its rule in words, its evidence now, and who is waited for."""
    status, plan = rollout.status(), rollout.planned()
    shown = []
    for index, row in enumerate(rollout.phases.all()):
        phase, planned = status.phases[index], plan.phases[index]
        is_open = phase.state is PhaseState.OPEN
        verdict = phase.judged(now, row.counts) if is_open else None
        shown.append(
            {
                "row": row,
                "devices": planned.devices,
                "filter": planned.filter,
                "rule": gate_lines(phase.gate),
                "limits": limit_lines(planned),
                "decision": verdict.decision.value if verdict else row.gate_decision,
                "reason": told(verdict.reason if verdict else row.gate_reason),
                "has_moved_on": not verdict and has_moved_on(row.gate_reason, row.counts),
                "evidence": evidence_lines(dict(verdict.facts)) if verdict else [],
                "soak_until": _soak_end(phase, verdict),
                "needs_approval": phase.needs_approval,
                "is_approved": phase.is_approved,
                "awaits": _awaits(status, index),
                "can_open": status.state is RolloutState.RUNNING and _awaits(status, index),
                "can_pass": status.state is RolloutState.RUNNING and _is_held(verdict),
            }
        )
    return shown


def _awaits(status: RolloutStatus, index: int) -> bool:
    """Whether the phase would be open if somebody let it."""
    is_at_work = status.state in (RolloutState.RUNNING, RolloutState.PAUSED)
    return is_at_work and status.awaits_approval and index == status.open_phase + 1


def _is_held(verdict: Verdict | None) -> bool:
    """A gate that has failed cannot be passed by hand."""
    return verdict is not None and verdict.decision is GateDecision.HOLD


def _soak_end(phase: PhaseStatus, verdict: Verdict | None) -> datetime | None:
    """When the soak time of the open phase is over; None where nothing is left of it."""
    if verdict is None or phase.opened_at is None or not verdict.facts["soak_left_seconds"]:
        return None
    return phase.opened_at + timedelta(seconds=phase.gate.minimum_soak_seconds)
