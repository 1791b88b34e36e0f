"""Bringing devices back to what they had before, as a rollout with gates of its own."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor
from apps.core.errors import invalid
from apps.core.realtime import notify_gateways
from apps.events.services.outbox import publish
from apps.updates.domain import engine
from apps.updates.domain.installation import Mode
from apps.updates.domain.plan import PhasePlan, Plan
from apps.updates.domain.schedule import Schedule
from apps.updates.domain.states import DeploymentState, RolloutState, can_rollout_become
from apps.updates.errors import NothingToRollBack, RolloutNotReversible
from apps.updates.models import Rollout
from apps.updates.permissions import ROLL_BACK_ROLLOUT
from apps.updates.selectors.reversible import count_reversible
from apps.updates.selectors.rollouts import reread_rollout
from apps.updates.services.hold_lock import lock_for_start
from apps.updates.services.moves import Choice, End, end_deployments
from apps.updates.services.planning import hash_plan, set_plan, store_rollout
from apps.updates.services.rollout_log import append_events, lock_rollout, new_event
from apps.updates.services.rollouts import open_rollout
from apps.updates.services.targets import create_rollback_deployments
from apps.updates.types import RollbackEnded, RollbackStarted

CAREFUL = (PhasePlan(10), PhasePlan(100))
WITHDRAWN = End(
    DeploymentState.CANCELLED, "rollout_rolled_back", "The rollout is being rolled back."
)


def roll_back_rollout(
    actor: Actor, rollout_id: UUID, *, phases: Sequence[PhasePlan] = CAREFUL
) -> Rollout:
    """Brings each device that a rollout reached back to its own last good release.

    Answers the rollout that does it: it runs at once, in phases with gates, over the devices that
    had another version of the release before; the others have nothing to go back to. Devices that
    are still installing follow when they are through. Pinned devices keep what they have; those
    in quarantine after failures are reached. Rolling back again answers the same rollout.
    Raises `RolloutNotReversible` unless it was halted or is complete, `NothingToRollBack` where no
    device had an earlier release, `InvalidRequest` for phases that cannot be.
    """
    _refuse_filters(phases)
    source = lock_rollout(actor, rollout_id, ROLL_BACK_ROLLOUT)
    if source.state in (RolloutState.ROLLING_BACK, RolloutState.ROLLED_BACK):
        return reread_rollout(actor, source.rollbacks.latest("id").id)
    if not can_rollout_become(RolloutState(source.state), RolloutState.ROLLING_BACK):
        raise RolloutNotReversible(data={"state": source.state})
    lock_for_start(actor)
    end_deployments(actor, Choice(rollout_id=source.id), WITHDRAWN, clock.now())
    earlier = count_reversible(actor, source)
    if not earlier:
        raise NothingToRollBack
    rollback = _planned(actor, source, earlier[0][0], phases)
    open_rollout(actor, rollback, create_rollback_deployments(actor, rollback, source))
    append_events(actor, source, [new_event(engine.ROLLBACK_STARTED, rollback_id=str(rollback.id))])
    changes = {"rollback_id": rollback.id, "devices": sum(number for _, number in earlier)}
    record(actor, ROLL_BACK_ROLLOUT.name, source, changes=changes)
    publish(actor, RollbackStarted(rollout_id=source.id, rollback_id=rollback.id))
    notify_gateways("withdrawals", organization_id=actor.organization_id)
    return reread_rollout(actor, rollback.id)


def _refuse_filters(phases: Sequence[PhasePlan]) -> None:
    for index, phase in enumerate(phases):
        if phase.filter:
            message = "The phases of a roll back take shares or numbers of devices."
            raise invalid(f"phases.{index}.filter", "invalid_plan", message)


def note_rollback_end(actor: Actor, rollback_id: UUID) -> None:
    """Tells a rollout how its roll back ended. Nothing to do for other rollouts; safe to repeat."""
    rows = Rollout.objects.for_org(actor.organization_id)
    rollback: Rollout | None = rows.filter(id=rollback_id, rolls_back__isnull=False).first()
    if rollback is None or rollback.rolls_back_id is None:
        return
    source = lock_rollout(actor, rollback.rolls_back_id, ROLL_BACK_ROLLOUT)
    if source.state != RolloutState.ROLLING_BACK:
        return
    is_done = rollback.state == RolloutState.COMPLETED
    step = engine.ROLLED_BACK if is_done else engine.ROLLBACK_HALTED
    append_events(actor, source, [new_event(step, rollback_id=str(rollback.id))])
    word = "updates.finish_rollback" if is_done else "updates.halt_rollback"
    record(actor, word, source, changes={"rollback_id": rollback.id})
    publish(actor, RollbackEnded(rollout_id=source.id, rollback_id=rollback.id))


def _planned(
    actor: Actor, source: Rollout, release_id: UUID, phases: Sequence[PhasePlan]
) -> Rollout:
    """The plan of the roll back: forced and downwards, now, before whatever else is planned.

    Each device gets its own earlier release; the rollout shows the one that most of them get.
    """
    rules = replace(source.planned().installation, mode=Mode.FORCED, allow_downgrade=True)
    plan = Plan(tuple(phases), Schedule(), rules, priority=100)
    rollout = Rollout(
        organization_id=actor.organization_id,
        created_at=clock.now(),
        created_by_id=actor.user_id,
        name=f"Roll back {source.name}"[:200],
        release_id=release_id,
        target=source.target,
        excluded=source.excluded,
        deployment_timeout_seconds=source.deployment_timeout_seconds,
        rolls_back=source,
    )
    set_plan(actor, rollout, plan)
    rollout.plan_hash = hash_plan(actor, rollout)
    store_rollout(actor, rollout)
    return rollout
