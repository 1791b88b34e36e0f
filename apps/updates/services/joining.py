"""Dynamic rollouts: devices that match the target later come in while it runs."""

from uuid import UUID

from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor
from apps.core.errors import FleetdError
from apps.core.realtime import notify_gateways
from apps.core.tasks import wake
from apps.events.services.outbox import publish
from apps.updates.domain import engine
from apps.updates.domain.states import RolloutState
from apps.updates.errors import RolloutNotRunning
from apps.updates.models import Rollout
from apps.updates.permissions import ADVANCE_ROLLOUT, CANCEL_ROLLOUT
from apps.updates.selectors.candidates import joining_devices
from apps.updates.selectors.rollouts import reread_rollout
from apps.updates.services.hold_lock import lock_for_start
from apps.updates.services.moves import ADVANCE_TASK
from apps.updates.services.planning import is_as_approved
from apps.updates.services.rollout_log import append_events, lock_rollout, new_event
from apps.updates.services.targets import join_deployments
from apps.updates.types import DevicesJoined, RolloutClosed

JOIN_TASK = "updates.join_rollout"


def join_rollout(actor: Actor, rollout_id: UUID) -> int:
    """Lets devices that the target means by now into a dynamic rollout; answers how many came.

    Each comes once, and only if a start would take it; none that has a newer version already.
    At most `JOINING_AT_ONCE` in one look. Nothing happens to a rollout that takes none. One whose
    groups are gone, or have come to mean others than somebody approved, is closed.
    """
    rollout = lock_rollout(actor, rollout_id, ADVANCE_ROLLOUT)
    if not rollout.snapshot.get("is_dynamic") or not rollout.status().takes_devices(clock.now()):
        return 0
    if rollout.approved_hash and not is_as_approved(actor, rollout):
        _close(actor, rollout, reason="a group of its plan is not what was approved")
        return 0
    lock_for_start(actor)
    try:
        joined = join_deployments(actor, rollout, joining_devices(actor, rollout))
    except FleetdError as error:  # a group is gone, or a name: nobody can be asked for any more
        _close(actor, rollout, reason=f"its target cannot be asked any more ({error.message})")
        return 0
    if not joined:
        return 0
    count = sum(joined.values())
    phases = {str(index): joined[index] for index in sorted(joined)}
    append_events(actor, rollout, [new_event(engine.JOINED, joined=phases)])
    record(actor, "updates.join_rollout", rollout, changes={"devices": count, "phases": phases})
    publish(actor, DevicesJoined(rollout_id=rollout.id, count=count))
    notify_gateways("deployments", organization_id=actor.organization_id)
    return count


def close_rollout(actor: Actor, rollout_id: UUID) -> Rollout:
    """Lets no further device into a dynamic rollout: it completes once its devices are through.

    Closing again changes nothing, and neither does closing one that nobody joins. Raises
    `RolloutNotRunning`.
    """
    rollout = lock_rollout(actor, rollout_id, CANCEL_ROLLOUT)
    if rollout.state not in (RolloutState.RUNNING, RolloutState.PAUSED):
        raise RolloutNotRunning("Only a running rollout can be closed.")
    if not rollout.status().is_dynamic:
        return reread_rollout(actor, rollout.id)
    _close(actor, rollout)
    return reread_rollout(actor, rollout.id)


def _close(actor: Actor, rollout: Rollout, **why: str) -> None:
    append_events(actor, rollout, [new_event(engine.CLOSED, by=actor.label, **why)])
    record(actor, "updates.close_rollout", rollout, changes=why)
    publish(actor, RolloutClosed(rollout_id=rollout.id))
    wake(ADVANCE_TASK, actor, rollout_id=str(rollout.id))
