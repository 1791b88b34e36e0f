"""Devices that wait in an older rollout leave it where a newer one has taken its place."""

from typing import Any
from uuid import UUID

from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor
from apps.core.tasks import wake
from apps.events.services.outbox import publish
from apps.updates.domain import engine
from apps.updates.domain.engine import LogEvent
from apps.updates.domain.states import DeploymentState
from apps.updates.models import Rollout
from apps.updates.permissions import ADVANCE_ROLLOUT
from apps.updates.selectors.evidence import observe
from apps.updates.selectors.superseding import (
    WITH_WAITING,
    replaced_deployments,
    superseding_rollouts,
)
from apps.updates.services.moves import Choice, End, end_deployments
from apps.updates.services.rollout_log import append_events, lock_rollout
from apps.updates.types import RolloutProgressed

SUPERSEDE_TASK = "updates.supersede_devices"
SUPERSEDED_AT_ONCE = 5000


def supersede_devices(actor: Actor, rollout_id: UUID) -> int:
    """Lets devices leave a rollout in which they wait and whose place a newer one has taken.

    Answers how many left. Under this rollout's lock only, in which no claim hands out what it
    has; what a device is at work on stays. At most `SUPERSEDED_AT_ONCE` for each newer rollout, the
    rest follows. Doing so again changes nothing: what is left to do is what still waits.
    """
    rollout = lock_rollout(actor, rollout_id, ADVANCE_ROLLOUT)
    if rollout.state not in WITH_WAITING:
        return 0
    total = 0
    for newer in superseding_rollouts(actor, rollout):
        number = _leave(actor, rollout, newer)
        total += number
        if number >= SUPERSEDED_AT_ONCE:
            wake(SUPERSEDE_TASK, actor, rollout_id=str(rollout.id))
    if total:
        publish(actor, RolloutProgressed(rollout_id=rollout.id))
    return total


def _leave(actor: Actor, rollout: Rollout, newer: Rollout) -> int:
    """Ends what waits for devices of the newer rollout, and notes it in the log."""
    ids = replaced_deployments(rollout, newer, SUPERSEDED_AT_ONCE)
    if not ids:
        return 0
    release, at = str(newer.release), clock.now()
    end = End(DeploymentState.SUPERSEDED, "superseded", f"{release} takes its place.")
    choice = Choice(rollout_id=rollout.id, waiting_ids=ids)
    number = len(end_deployments(actor, choice, end, at))
    status = rollout.status()
    data: dict[str, Any] = {"by": str(newer.id), "release": release, "number": number}
    seen = engine.differences(status, observe(actor, rollout, status))
    append_events(actor, rollout, [LogEvent(engine.SUPERSEDED, at, data | seen)])
    record(actor, "updates.supersede_devices", rollout, changes=data)
    return number
