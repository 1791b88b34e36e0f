"""The append-only log of a rollout, and the columns that repeat what it says."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import Permission
from apps.core.errors import NotFound
from apps.devices.selectors.places import require_either, require_where
from apps.events.services.outbox import publish
from apps.updates.domain import engine
from apps.updates.domain.engine import LogEvent, RolloutStatus
from apps.updates.models import Phase, Rollout, RolloutEvent
from apps.updates.permissions import VIEW_ROLLOUTS
from apps.updates.selectors.rollouts import reaches_rollout, reread_rollout
from apps.updates.services.notifications import note_notifications
from apps.updates.types import RolloutChange, Target

ROLLOUT_FIELDS = [
    "state",
    "approved_hash",
    "open_phase",
    "started_at",
    "finished_at",
    "snapshot",
    "state_hash",
    "event_count",
]


def lock_rollout(actor: Actor, rollout_id: UUID, permission: Permission) -> Rollout:
    """The rollout, locked until the transaction ends, for an actor who may change it so.

    Whoever locks more than the rollout locks in this order, or two of them would wait for each
    other: rollout, devices, deployments, phases, the audit trail. Claims pass over devices and
    deployments that are locked, so reports may lock deployments before devices.
    """
    require_either(actor, permission, VIEW_ROLLOUTS)
    rows = Rollout.objects.for_org(actor.organization_id).select_related("release")
    rollout: Rollout | None = (
        rows.select_for_update(of=("self",), no_key=True).filter(id=rollout_id).first()
    )
    if rollout is None:
        raise NotFound
    target = Target.restore(rollout.target)
    require_where(
        actor,
        permission,
        sight=VIEW_ROLLOUTS,
        holds=lambda right: reaches_rollout(actor, right, target),
    )
    return rollout


def hold_rollouts(actor: Actor, rollout_ids: Collection[UUID]) -> None:
    """Locks all of these, in the order of their ids, before any of them is worked on.

    Whoever locked the second one after the first one's audit entry would have the order reversed.
    """
    rows = Rollout.objects.for_org(actor.organization_id).filter(id__in=rollout_ids)
    list(rows.order_by("id").select_for_update(no_key=True).values_list("id", flat=True))


def append_events(actor: Actor, rollout: Rollout, events: Sequence[LogEvent]) -> RolloutStatus:
    """Adds events to the log of a locked rollout and brings its rows up to date.

    The columns of the rollout and of its phases come from the engine's state and from nowhere
    else. Raises `IllegalTransition` where the caller's guards have let something through.
    """
    before = rollout.status() if rollout.snapshot else RolloutStatus()
    after = engine.replay(events, before)
    RolloutEvent.objects.for_org(actor.organization_id).bulk_create(
        [
            RolloutEvent(
                organization_id=actor.organization_id,
                rollout_id=rollout.id,
                sequence=before.sequence + place,
                time=event.time,
                type=event.type,
                actor_label=actor.label,
                data=dict(event.data),
            )
            for place, event in enumerate(events, start=1)
        ]
    )
    _write_rollout(rollout, after)
    note_notifications(actor, rollout, events, before)
    for index, phase in enumerate(after.phases):
        if index >= len(before.phases) or phase != before.phases[index]:
            _write_phase(actor, rollout, index, phase)
    return after


def change_rollout(
    actor: Actor,
    rollout: Rollout,
    permission: Permission,
    event: LogEvent,
    announced: RolloutChange,
) -> Rollout:
    """Logs one event of a locked rollout, audits the change of state, and announces it."""
    before = rollout.state
    append_events(actor, rollout, [event])
    changes: dict[str, Any] = {"state": [before, rollout.state]}
    changes |= {k: event.data[k] for k in ("plan_hash", "index", "reason") if k in event.data}
    record(actor, permission.name, rollout, changes=changes)
    publish(actor, announced)
    return reread_rollout(actor, rollout.id)


def new_event(type_: str, **data: Any) -> LogEvent:
    """An event that happens now."""
    return LogEvent(type_, clock.now(), data)


def _write_rollout(rollout: Rollout, status: RolloutStatus) -> None:
    rollout.state = status.state.value
    rollout.approved_hash = status.approved_hash
    rollout.open_phase = status.open_phase
    rollout.started_at = status.started_at
    rollout.finished_at = status.finished_at
    rollout.snapshot = engine.dump(status)
    rollout.state_hash = engine.state_hash(status)
    rollout.event_count = status.sequence
    rollout.save(update_fields=ROLLOUT_FIELDS)


def _write_phase(actor: Actor, rollout: Rollout, index: int, phase: engine.PhaseStatus) -> None:
    """What was decided; the counters are kept where deployments change, and may be ahead."""
    Phase.objects.for_org(actor.organization_id).filter(rollout_id=rollout.id, index=index).update(
        state=phase.state.value,
        gate_decision=phase.decision.value,
        gate_reason=phase.reason[:300],
        opened_at=phase.opened_at,
        decided_at=phase.decided_at,
    )
