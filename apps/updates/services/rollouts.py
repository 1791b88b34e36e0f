"""What people do with rollouts. Every change is an event in the rollout's log."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import Permission, require_somewhere
from apps.core.errors import NotFound, PermissionDenied, invalid
from apps.core.realtime import notify_gateways
from apps.core.tasks import wake
from apps.events.services.outbox import publish
from apps.updates.domain import engine
from apps.updates.domain.engine import LogEvent
from apps.updates.domain.plan import (
    MAX_TIMEOUT_SECONDS,
    MIN_TIMEOUT_SECONDS,
    BadPlan,
    checked_percents,
    plan_hash,
)
from apps.updates.domain.states import DeploymentState, RolloutState, can_rollout_become
from apps.updates.errors import (
    ApprovalNeedsAnotherPerson,
    PlanChanged,
    RolloutFinished,
    RolloutNeedsApproval,
    RolloutNotDraft,
    RolloutNotPaused,
    RolloutNotPendingApproval,
    RolloutNotRunning,
    RolloutNotStartable,
    RolloutTargetEmpty,
)
from apps.updates.models import Component, Phase, Release, Rollout
from apps.updates.permissions import (
    APPROVE_ROLLOUT,
    CANCEL_ROLLOUT,
    CREATE_ROLLOUT,
    PAUSE_ROLLOUT,
    RESUME_ROLLOUT,
    START_ROLLOUT,
    SUBMIT_ROLLOUT,
)
from apps.updates.selectors.rollouts import count_target_devices, reread_rollout
from apps.updates.services.moves import ADVANCE_TASK, Choice, End, end_deployments
from apps.updates.services.recalls import refuse_recalled
from apps.updates.services.rollout_log import append_events, lock_rollout
from apps.updates.services.targets import checked_target, create_deployments
from apps.updates.types import (
    PhaseOpened,
    RolloutApproved,
    RolloutCancelled,
    RolloutChange,
    RolloutCreated,
    RolloutPaused,
    RolloutResumed,
    RolloutStarted,
    RolloutSubmitted,
    Target,
)

DEFAULT_TIMEOUT_SECONDS = 3600


def create_rollout(  # noqa: PLR0913 - what a plan consists of
    actor: Actor,
    *,
    name: str,
    release_id: UUID,
    target: Target,
    phase_percents: Sequence[int] = (),
    requires_approval: bool = False,
    deployment_timeout_seconds: int = DEFAULT_TIMEOUT_SECONDS,
    validate_only: bool = False,
) -> Rollout:
    """Plans a rollout as a draft; no device is touched before it is started.

    `phase_percents` are cumulative, rising, the last one 100. With `validate_only` everything runs
    and nothing stays: the answer is the rollout as it would be. Whoever may plan for some groups
    only has to name these and nothing else. Not idempotent. Raises `InvalidRequest` for a bad plan,
    `NotFound` for a release, device or group that is missing or out of sight,
    `RolloutTargetEmpty` where no active device is meant.
    """
    require_somewhere(actor, CREATE_ROLLOUT)
    with transaction.atomic():
        rollout = Rollout(
            organization_id=actor.organization_id,
            name=_checked_name(name),
            release=_release(actor, release_id),
            target=checked_target(actor, target),
            requires_approval=requires_approval,
            deployment_timeout_seconds=_checked_timeout(deployment_timeout_seconds),
            created_at=clock.now(),
            created_by_id=actor.user_id,
        )
        _create(actor, rollout, _percents(phase_percents))
        created = reread_rollout(actor, rollout.id)
        if validate_only:
            transaction.set_rollback(True)
    return created


def submit_rollout(actor: Actor, rollout_id: UUID) -> Rollout:
    """Asks for approval of the plan as it stands; one that needs none is ready at once.

    Submitting again changes nothing. Raises `RolloutNotDraft`.
    """
    rollout = lock_rollout(actor, rollout_id, SUBMIT_ROLLOUT)
    if rollout.state in (RolloutState.PENDING_APPROVAL, RolloutState.SCHEDULED):
        return reread_rollout(actor, rollout.id)
    if rollout.state != RolloutState.DRAFT:
        raise RolloutNotDraft(data={"state": rollout.state})
    event = _event(engine.SUBMITTED, requires_approval=rollout.requires_approval)
    return _change(actor, rollout, SUBMIT_ROLLOUT, event, RolloutSubmitted(rollout_id=rollout.id))


def approve_rollout(actor: Actor, rollout_id: UUID, *, plan_hash: str) -> Rollout:
    """Approves exactly the plan with this hash; the rollout can be started then.

    Approving the same plan again changes nothing. Raises `RolloutNotPendingApproval`,
    `ApprovalNeedsAnotherPerson` for its maker, `PlanChanged` for any other hash.
    """
    rollout = lock_rollout(actor, rollout_id, APPROVE_ROLLOUT)
    if rollout.state == RolloutState.SCHEDULED and rollout.approved_hash == plan_hash != "":
        return reread_rollout(actor, rollout.id)
    if rollout.state != RolloutState.PENDING_APPROVAL:
        raise RolloutNotPendingApproval(data={"state": rollout.state})
    if actor.user_id is None:
        raise PermissionDenied("Only a person can approve a rollout.")
    if actor.user_id == rollout.created_by_id:
        raise ApprovalNeedsAnotherPerson
    if plan_hash != _plan_hash(actor, rollout):
        raise PlanChanged(data={"plan_hash": rollout.plan_hash})
    rollout.approved_by = actor.label
    rollout.save(update_fields=["approved_by"])
    event = _event(engine.APPROVED, plan_hash=plan_hash, by=actor.label)
    return _change(actor, rollout, APPROVE_ROLLOUT, event, RolloutApproved(rollout_id=rollout.id))


def start_rollout(actor: Actor, rollout_id: UUID) -> Rollout:
    """Turns the target into deployments and opens the first phase: devices begin to update.

    The target is resolved now, for good, and the release is locked. Starting a running rollout
    changes nothing. Raises `RolloutNeedsApproval`, `PlanChanged`, `RolloutNotStartable`,
    `RecalledRelease`, `RolloutTargetEmpty`.
    """
    rollout = lock_rollout(actor, rollout_id, START_ROLLOUT)
    if rollout.state == RolloutState.RUNNING:
        return reread_rollout(actor, rollout.id)
    _guard_start(actor, rollout)
    refuse_recalled(actor, rollout.release_id)
    total = create_deployments(actor, rollout)
    if not total:
        raise RolloutTargetEmpty
    Release.objects.for_org(actor.organization_id).filter(
        id=rollout.release_id, locked_at=None
    ).update(locked_at=clock.now())
    sizes = [phase.total for phase in _phases(actor, rollout)]
    append_events(
        actor, rollout, [_event(engine.STARTED, sizes=sizes), _event(engine.PHASE_OPENED, index=0)]
    )
    record(actor, START_ROLLOUT.name, rollout, changes={"devices": total, "phases": sizes})
    publish(
        actor,
        RolloutStarted(rollout_id=rollout.id),
        PhaseOpened(rollout_id=rollout.id, index=0),
    )
    notify_gateways("deployments", organization_id=actor.organization_id)
    return reread_rollout(actor, rollout.id)


def pause_rollout(actor: Actor, rollout_id: UUID) -> Rollout:
    """No further device starts; devices at work finish. Pausing again changes nothing.

    Raises `RolloutNotRunning`.
    """
    rollout = lock_rollout(actor, rollout_id, PAUSE_ROLLOUT)
    if rollout.state == RolloutState.PAUSED:
        return reread_rollout(actor, rollout.id)
    if rollout.state != RolloutState.RUNNING:
        raise RolloutNotRunning(data={"state": rollout.state})
    event = _event(engine.PAUSED)
    return _change(actor, rollout, PAUSE_ROLLOUT, event, RolloutPaused(rollout_id=rollout.id))


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
    event = _event(engine.RESUMED)
    return _change(actor, rollout, RESUME_ROLLOUT, event, RolloutResumed(rollout_id=rollout.id))


def cancel_rollout(actor: Actor, rollout_id: UUID) -> Rollout:
    """Ends a rollout: no device starts, and devices that have not begun to install stop.

    Devices that are installing finish on their own and still report. Cancelling again changes
    nothing. Raises `RolloutFinished` for one that is complete.
    """
    rollout = lock_rollout(actor, rollout_id, CANCEL_ROLLOUT)
    if rollout.state == RolloutState.CANCELLED:
        return reread_rollout(actor, rollout.id)
    if not can_rollout_become(RolloutState(rollout.state), RolloutState.CANCELLED):
        raise RolloutFinished(data={"state": rollout.state})
    event = _event(engine.CANCELLED)
    append_events(actor, rollout, [event])
    message = f"{actor.label} cancelled the rollout."[:1024]
    end = End(DeploymentState.CANCELLED, "rollout_cancelled", message)
    moves = end_deployments(actor, Choice(rollout_id=rollout.id), end, event.time)
    record(actor, CANCEL_ROLLOUT.name, rollout, changes={"deployments": len(moves)})
    publish(actor, RolloutCancelled(rollout_id=rollout.id))
    notify_gateways("withdrawals", organization_id=actor.organization_id)
    return reread_rollout(actor, rollout.id)


def _change(
    actor: Actor,
    rollout: Rollout,
    permission: Permission,
    event: LogEvent,
    announced: RolloutChange,
) -> Rollout:
    """Logs one event, audits the change of state, and announces it."""
    before = rollout.state
    append_events(actor, rollout, [event])
    changes: dict[str, Any] = {"state": [before, rollout.state]}
    if "plan_hash" in event.data:
        changes["plan_hash"] = event.data["plan_hash"]
    record(actor, permission.name, rollout, changes=changes)
    publish(actor, announced)
    return reread_rollout(actor, rollout.id)


def _event(type_: str, **data: Any) -> LogEvent:
    return LogEvent(type_, clock.now(), data)


def _create(actor: Actor, rollout: Rollout, percents: tuple[int, ...]) -> None:
    if not count_target_devices(actor, Target.restore(rollout.target)):
        raise RolloutTargetEmpty
    rollout.plan_hash = _hash_plan(actor, rollout, percents)
    rollout.save(force_insert=True)
    Phase.objects.for_org(actor.organization_id).bulk_create(
        [
            Phase(
                organization_id=actor.organization_id,
                rollout_id=rollout.id,
                index=index,
                name=f"Phase {index + 1}",
                percent=percent,
            )
            for index, percent in enumerate(percents)
        ]
    )
    data = {"plan_hash": rollout.plan_hash, "percents": list(percents)}
    append_events(actor, rollout, [_event(engine.CREATED, **data)])
    changes = {"name": rollout.name, "release": str(rollout.release), "phases": list(percents)}
    record(actor, CREATE_ROLLOUT.name, rollout, changes={**changes, "target": rollout.target})
    publish(actor, RolloutCreated(rollout_id=rollout.id))


def _guard_start(actor: Actor, rollout: Rollout) -> None:
    if rollout.state == RolloutState.PENDING_APPROVAL:
        raise RolloutNeedsApproval
    if rollout.state not in (RolloutState.DRAFT, RolloutState.SCHEDULED):
        raise RolloutNotStartable(data={"state": rollout.state})
    if not rollout.requires_approval:
        return
    if not rollout.approved_hash:
        raise RolloutNeedsApproval
    if rollout.approved_hash != _plan_hash(actor, rollout):
        raise PlanChanged(data={"plan_hash": rollout.plan_hash})


def _plan_hash(actor: Actor, rollout: Rollout) -> str:
    """The hash of the plan as its rows are now."""
    return _hash_plan(actor, rollout, tuple(p.percent for p in _phases(actor, rollout)))


def _hash_plan(actor: Actor, rollout: Rollout, percents: tuple[int, ...]) -> str:
    """SHA-256 over everything that decides what happens to which devices."""
    components = (
        Component.objects.for_org(actor.organization_id)
        .filter(release_id=rollout.release_id)
        .order_by("position")
        .values_list("name", "kind", "artifact__sha256", "target", "file_mode", "hooks")
    )
    plan = {
        "release": [str(rollout.release_id), rollout.release.name, rollout.release.version],
        "components": [list(component) for component in components],
        "target": rollout.target,
        "phase_percents": list(percents),
        "deployment_timeout_seconds": rollout.deployment_timeout_seconds,
        "requires_approval": rollout.requires_approval,
    }
    return plan_hash(plan)


def _phases(actor: Actor, rollout: Rollout) -> list[Phase]:
    rows = Phase.objects.for_org(actor.organization_id).filter(rollout_id=rollout.id)
    return list(rows.order_by("index"))


def _release(actor: Actor, release_id: UUID) -> Release:
    rows = Release.objects.for_org(actor.organization_id)
    release: Release | None = rows.filter(id=release_id).first()
    if release is None:
        raise NotFound("There is no such release.")
    refuse_recalled(actor, release.id)
    return release


def _percents(percents: Sequence[int]) -> tuple[int, ...]:
    try:
        return checked_percents(percents)
    except BadPlan as error:
        raise invalid("phase_percents", "invalid_phases", str(error)) from error


def _checked_name(name: str) -> str:
    name = name.strip()
    if not 0 < len(name) <= 200 or not name.isprintable():
        raise invalid("name", "invalid_name", "A rollout needs a name of 1 to 200 characters.")
    return name


def _checked_timeout(seconds: int) -> int:
    if not MIN_TIMEOUT_SECONDS <= seconds <= MAX_TIMEOUT_SECONDS:
        message = f"A device gets {MIN_TIMEOUT_SECONDS} to {MAX_TIMEOUT_SECONDS} seconds."
        raise invalid("deployment_timeout_seconds", "invalid_timeout", message)
    return seconds
