"""The scheduler: it judges gates, opens phases, and gives up on devices past their deadline."""

from collections.abc import Iterable
from uuid import UUID

from django.db import transaction

from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require
from apps.core.errors import FleetdError
from apps.core.realtime import notify_gateways
from apps.events.services.outbox import publish
from apps.updates.domain import engine
from apps.updates.domain.engine import LogEvent, decide
from apps.updates.domain.states import DeploymentState, RolloutState
from apps.updates.models import Rollout
from apps.updates.permissions import ADVANCE_ROLLOUT, HALT_ROLLOUT
from apps.updates.selectors.evidence import observe
from apps.updates.services.moves import Choice, End, Move, end_deployments
from apps.updates.services.rollout_log import append_events, hold_rollouts, lock_rollout
from apps.updates.services.rollouts import cancel_rollout, halt, start_rollout
from apps.updates.types import (
    PhaseOpened,
    PhasePromoted,
    RolloutChange,
    RolloutCompleted,
    RolloutHalted,
    RolloutProgressed,
)

EXPIRED_AT_ONCE = 1000
TIMED_OUT = End(
    DeploymentState.TIMED_OUT,
    "deadline_passed",
    "The device gave no final report before its deadline.",
)
DECOMMISSIONED = End(
    DeploymentState.SKIPPED, "device_decommissioned", "The device was taken out of the fleet."
)
RECALLED = End(DeploymentState.CANCELLED, "release_recalled", "The release was recalled.")
# Whoever failed while its rollout was being ended may have been given another attempt.
LEFT_OVER = End(DeploymentState.CANCELLED, "rollout_over", "The rollout is over.")
OVER = (
    RolloutState.CANCELLED,
    RolloutState.ROLLING_BACK,
    RolloutState.ROLLED_BACK,
    RolloutState.COMPLETED,
)
# Events of the engine that are decisions, and the audit action that records each.
_AUDITED = {
    engine.PHASE_PROMOTED: "updates.promote_phase",
    engine.PHASE_OPENED: "updates.open_phase",
    engine.HALTED: "updates.halt_rollout",
    engine.COMPLETED: "updates.complete_rollout",
}


def advance_rollout(actor: Actor, rollout_id: UUID, *, is_sampling: bool = False) -> Rollout:
    """Looks at a rollout and does what its gates say; changes nothing where there is nothing new.

    With `is_sampling` metrics are read again although nothing was counted. All in one transaction
    under the rollout's lock: what was decided is stored whole or not at all, and whoever looks
    next decides the same.
    """
    rollout = lock_rollout(actor, rollout_id, ADVANCE_ROLLOUT)
    status = rollout.status()
    if status.started_at is None:
        return rollout
    if rollout.state in OVER:
        end_deployments(actor, Choice(rollout_id=rollout.id), LEFT_OVER, clock.now())
    observations = observe(actor, rollout, status, is_sampling=is_sampling)
    events = decide(status, observations, clock.now())
    if events:
        append_events(actor, rollout, events)
        _announce(actor, rollout, events)
    return rollout


def start_due_rollout(actor: Actor, rollout_id: UUID) -> Rollout:
    """Starts a rollout whose time has come; one that cannot start any more is cancelled, and says
    why. Nothing happens to one that was started, changed or put off meanwhile.
    """
    rollout = lock_rollout(actor, rollout_id, ADVANCE_ROLLOUT)
    is_due = rollout.start_at is not None and rollout.start_at <= clock.now()
    if rollout.state != RolloutState.SCHEDULED or not is_due:
        return rollout
    try:
        with transaction.atomic():
            return start_rollout(actor, rollout_id)
    except FleetdError as error:
        return cancel_rollout(actor, rollout_id, reason=f"It could not start: {error.message}")


def halt_rollouts_of(actor: Actor, release_id: UUID, words: str) -> list[UUID]:
    """Halts every rollout of a recalled release that is under way; others cannot start any more.

    Devices that have not begun to install it stop, also where a roll back would bring it back.
    """
    require(actor, ADVANCE_ROLLOUT)
    rows = Rollout.objects.for_org(actor.organization_id).filter(release_id=release_id)
    under_way = rows.filter(state__in=[RolloutState.RUNNING, RolloutState.PAUSED])
    # All of them before anything else is locked: see `lock_rollout`.
    ids = list(under_way.order_by("id").values_list("id", flat=True))
    hold_rollouts(actor, ids)
    rollouts = [lock_rollout(actor, rollout_id, HALT_ROLLOUT) for rollout_id in ids]
    end_deployments(actor, Choice(release_id=release_id), RECALLED, clock.now())
    halted = [r for r in rollouts if r.state in (RolloutState.RUNNING, RolloutState.PAUSED)]
    for rollout in halted:
        halt(actor, rollout, words)
    notify_gateways("withdrawals", organization_id=actor.organization_id)
    return [rollout.id for rollout in halted]


def expire_deployments(actor: Actor) -> list[Move]:
    """Gives up on devices past their deadline; their deployments count as failures.

    A device that comes back with a last word is noted, and told that it is over. Safe to repeat
    and to run twice at once.
    """
    require(actor, ADVANCE_ROLLOUT)
    at = clock.now()
    return end_deployments(actor, Choice(deadline_before=at, limit=EXPIRED_AT_ONCE), TIMED_OUT, at)


def skip_device(actor: Actor, device_id: UUID) -> list[Move]:
    """Takes a device out of every rollout that it is not through with. Safe to repeat.

    What it has not finished is skipped: it says nothing about the release.
    """
    require(actor, ADVANCE_ROLLOUT)
    return end_deployments(actor, Choice(device_id=device_id), DECOMMISSIONED, clock.now())


def _announce(actor: Actor, rollout: Rollout, events: Iterable[LogEvent]) -> None:
    """Audits decisions, publishes what happened, and tells gateways of new work."""
    events = list(events)
    publish(actor, *(change for e in events if (change := _change(rollout, e)) is not None))
    if any(event.type == engine.PHASE_OPENED for event in events):
        notify_gateways("deployments", organization_id=actor.organization_id)
    for event in events:
        if action := _AUDITED.get(event.type):
            record(actor, action, rollout, changes=dict(event.data))


def _change(rollout: Rollout, event: LogEvent) -> RolloutChange | None:
    """What is published for an event of the engine."""
    data = event.data
    if event.type == engine.COUNTED:
        return RolloutProgressed(rollout_id=rollout.id)
    if event.type == engine.PHASE_OPENED:
        return PhaseOpened(rollout_id=rollout.id, index=data["index"])
    if event.type == engine.PHASE_PROMOTED:
        return PhasePromoted(rollout_id=rollout.id, index=data["index"], reason=data["reason"])
    if event.type == engine.HALTED:
        return RolloutHalted(rollout_id=rollout.id, reason=data["reason"])
    if event.type == engine.COMPLETED:
        return RolloutCompleted(rollout_id=rollout.id)
    return None
