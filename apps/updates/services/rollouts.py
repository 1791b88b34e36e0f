"""What people do with rollouts that are planned. Every change is an event in the rollout's log."""

from uuid import UUID

from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor
from apps.core.realtime import notify_gateways
from apps.core.tasks import wake
from apps.events.services.outbox import publish
from apps.updates.domain import engine
from apps.updates.domain.states import (
    DeploymentState,
    GateDecision,
    PhaseState,
    RolloutState,
    can_rollout_become,
)
from apps.updates.errors import (
    PhaseNotAdvanceable,
    PlanChanged,
    RolloutFinished,
    RolloutNeedsApproval,
    RolloutNotPaused,
    RolloutNotRunning,
    RolloutNotStartable,
    RolloutTargetEmpty,
    checked_reason,
)
from apps.updates.models import Release, Rollout
from apps.updates.permissions import (
    ADVANCE_PHASE,
    CANCEL_ROLLOUT,
    HALT_ROLLOUT,
    PAUSE_ROLLOUT,
    RESUME_ROLLOUT,
    START_ROLLOUT,
)
from apps.updates.selectors.rollouts import reread_rollout
from apps.updates.services.hold_lock import lock_for_start
from apps.updates.services.moves import ADVANCE_TASK, Choice, End, end_deployments
from apps.updates.services.planning import is_as_approved
from apps.updates.services.recalls import refuse_recalled
from apps.updates.services.rollout_log import append_events, change_rollout, lock_rollout, new_event
from apps.updates.services.signing import require_signed
from apps.updates.services.targets import create_deployments
from apps.updates.types import (
    PhaseApproved,
    PhaseOpened,
    PhasePromoted,
    RolloutCancelled,
    RolloutChange,
    RolloutHalted,
    RolloutPaused,
    RolloutResumed,
    RolloutStarted,
)


def start_rollout(actor: Actor, rollout_id: UUID) -> Rollout:
    """Turns the target into deployments and opens the first phase: devices begin to update.

    The target is resolved now, for good, and the release is locked. Starting a running rollout
    changes nothing; one that is scheduled for later starts now. Raises `RolloutNeedsApproval`,
    `PlanChanged`, `RolloutNotStartable`, `RecalledRelease`, `ReleaseNotSigned`,
    `RolloutTargetEmpty`.
    """
    rollout = lock_rollout(actor, rollout_id, START_ROLLOUT)
    if rollout.state == RolloutState.RUNNING:
        return reread_rollout(actor, rollout.id)
    _guard_start(actor, rollout)
    lock_for_start(actor)
    refuse_recalled(actor, rollout.release_id)
    require_signed(actor, rollout.release_id)
    sizes = create_deployments(actor, rollout)
    if not sum(sizes):
        raise RolloutTargetEmpty
    open_rollout(actor, rollout, sizes)
    record(actor, START_ROLLOUT.name, rollout, changes={"devices": sum(sizes), "phases": sizes})
    return reread_rollout(actor, rollout.id)


def open_rollout(actor: Actor, rollout: Rollout, sizes: list[int]) -> None:
    """Starts a locked rollout whose deployments are there; the caller audits it."""
    Release.objects.for_org(actor.organization_id).filter(
        id=rollout.release_id, locked_at=None
    ).update(locked_at=clock.now())
    started = new_event(engine.STARTED, sizes=sizes)
    append_events(actor, rollout, [started, new_event(engine.PHASE_OPENED, index=0)])
    publish(
        actor,
        RolloutStarted(rollout_id=rollout.id),
        PhaseOpened(rollout_id=rollout.id, index=0),
    )
    notify_gateways("deployments", organization_id=actor.organization_id)


def pause_rollout(actor: Actor, rollout_id: UUID) -> Rollout:
    """No further device starts; devices at work finish. Pausing again changes nothing.

    Raises `RolloutNotRunning`.
    """
    rollout = lock_rollout(actor, rollout_id, PAUSE_ROLLOUT)
    if rollout.state == RolloutState.PAUSED:
        return reread_rollout(actor, rollout.id)
    if rollout.state != RolloutState.RUNNING:
        raise RolloutNotRunning(data={"state": rollout.state})
    event = new_event(engine.PAUSED)
    announced = RolloutPaused(rollout_id=rollout.id)
    return change_rollout(actor, rollout, PAUSE_ROLLOUT, event, announced)


def resume_rollout(actor: Actor, rollout_id: UUID) -> Rollout:
    """Devices start again. Resuming a running rollout changes nothing.

    A rollout that halted cannot be resumed. Raises `RolloutNotPaused`.
    """
    rollout = lock_rollout(actor, rollout_id, RESUME_ROLLOUT)
    if rollout.state == RolloutState.RUNNING:
        return reread_rollout(actor, rollout.id)
    if rollout.state != RolloutState.PAUSED:
        raise RolloutNotPaused(data={"state": rollout.state})
    wake(ADVANCE_TASK, actor, rollout_id=str(rollout.id))
    notify_gateways("deployments", organization_id=actor.organization_id)
    event = new_event(engine.RESUMED)
    announced = RolloutResumed(rollout_id=rollout.id)
    return change_rollout(actor, rollout, RESUME_ROLLOUT, event, announced)


def advance_phase(actor: Actor, rollout_id: UUID, *, index: int, reason: str) -> Rollout:
    """Lets a person decide: passes the gate of the open phase, or lets the next one open.

    `index` counts from 0: the open phase where its gate holds, or the next one where it needs
    approval. Doing so again changes nothing. A gate that has failed cannot be passed. Raises
    `PhaseNotAdvanceable`, `RolloutNotRunning`, `InvalidRequest` without a reason.
    """
    rollout = lock_rollout(actor, rollout_id, ADVANCE_PHASE)
    status, reason = rollout.status(), checked_reason(reason)
    if not 0 <= index < len(status.phases):
        raise PhaseNotAdvanceable(data={"open_phase": status.open_phase})
    phase = status.phases[index]
    if phase.is_approved or phase.state is PhaseState.PROMOTED:
        return reread_rollout(actor, rollout.id)
    if rollout.state != RolloutState.RUNNING:
        raise RolloutNotRunning("Only a running rollout goes on.", data={"state": rollout.state})
    if index == status.open_phase and phase.state is PhaseState.OPEN:
        counts = reread_rollout(actor, rollout.id).counts()[index]
        if phase.judged(clock.now(), counts).decision is GateDecision.HALT:
            raise PhaseNotAdvanceable(data={"open_phase": status.open_phase})
        words = f"{actor.label} passed it: {reason}"
        event = new_event(engine.PHASE_PROMOTED, index=index, by=actor.label, reason=words)
        announced: RolloutChange = PhasePromoted(rollout_id=rollout.id, index=index, reason=words)
    elif status.awaits_approval and index == status.open_phase + 1:
        event = new_event(engine.PHASE_APPROVED, index=index, by=actor.label, reason=reason)
        announced = PhaseApproved(rollout_id=rollout.id, index=index)
    else:
        raise PhaseNotAdvanceable(data={"open_phase": status.open_phase})
    wake(ADVANCE_TASK, actor, rollout_id=str(rollout.id))
    return change_rollout(actor, rollout, ADVANCE_PHASE, event, announced)


def halt_rollout(actor: Actor, rollout_id: UUID, *, reason: str) -> Rollout:
    """Stops a rollout for good: no further device starts, devices at work finish.

    What can follow is a roll back or the end. Halting again changes nothing. Raises
    `RolloutNotRunning`, `InvalidRequest` without a reason.
    """
    rollout = lock_rollout(actor, rollout_id, HALT_ROLLOUT)
    if rollout.state == RolloutState.HALTED:
        return reread_rollout(actor, rollout.id)
    if rollout.state not in (RolloutState.RUNNING, RolloutState.PAUSED):
        raise RolloutNotRunning("Only a running rollout can be halted.")
    words = f"{actor.label} halted it: {checked_reason(reason)}"
    halt(actor, rollout, words)
    return reread_rollout(actor, rollout.id)


def halt(actor: Actor, rollout: Rollout, words: str) -> None:
    """Halts a locked rollout that is running or paused, whoever wants it."""
    data = {"index": rollout.open_phase, "reason": words}
    steps = [engine.PHASE_HALTED, engine.HALTED]
    append_events(actor, rollout, [new_event(step, **data) for step in steps])
    record(actor, HALT_ROLLOUT.name, rollout, changes=data)
    publish(actor, RolloutHalted(rollout_id=rollout.id, reason=words))


def cancel_rollout(actor: Actor, rollout_id: UUID, *, reason: str = "") -> Rollout:
    """Ends a rollout: no device starts, and devices that have not begun to install stop.

    Devices that are installing finish on their own and still report. Cancelling again changes
    nothing. Raises `RolloutFinished` for one that is complete.
    """
    rollout = lock_rollout(actor, rollout_id, CANCEL_ROLLOUT)
    if rollout.state == RolloutState.CANCELLED:
        return reread_rollout(actor, rollout.id)
    if not can_rollout_become(RolloutState(rollout.state), RolloutState.CANCELLED):
        raise RolloutFinished(data={"state": rollout.state})
    event = new_event(engine.CANCELLED, **({"reason": reason[:300]} if reason else {}))
    append_events(actor, rollout, [event])
    message = f"{actor.label} cancelled the rollout."[:1024]
    end = End(DeploymentState.CANCELLED, "rollout_cancelled", message)
    moves = end_deployments(actor, Choice(rollout_id=rollout.id), end, event.time)
    record(actor, CANCEL_ROLLOUT.name, rollout, changes={"deployments": len(moves)})
    publish(actor, RolloutCancelled(rollout_id=rollout.id))
    notify_gateways("withdrawals", organization_id=actor.organization_id)
    return reread_rollout(actor, rollout.id)


def _guard_start(actor: Actor, rollout: Rollout) -> None:
    if rollout.state == RolloutState.PENDING_APPROVAL:
        raise RolloutNeedsApproval
    if rollout.state not in (RolloutState.DRAFT, RolloutState.SCHEDULED):
        raise RolloutNotStartable(data={"state": rollout.state})
    end_at = rollout.status().end_at
    if end_at and end_at <= clock.now():
        raise RolloutNotStartable("The time at which it had to end has passed.")
    if not rollout.requires_approval:
        return
    if not rollout.approved_hash:
        raise RolloutNeedsApproval
    if not is_as_approved(actor, rollout):
        raise PlanChanged(data={"plan_hash": rollout.plan_hash})
