"""Going on without devices that fail: a person's decision about a rollout that its gate halted."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor
from apps.core.errors import invalid
from apps.core.realtime import notify_gateways
from apps.core.tasks import wake
from apps.events.services.outbox import publish
from apps.updates.domain import engine
from apps.updates.domain.engine import LogEvent, RolloutStatus
from apps.updates.domain.states import DeploymentState, GateDecision, RolloutState
from apps.updates.domain.traits import MAX_VALUE, WORDS
from apps.updates.errors import (
    GateStillHalts,
    NothingToExclude,
    RolloutNotContinuable,
    checked_reason,
)
from apps.updates.models import Rollout, RolloutEvent
from apps.updates.permissions import ADVANCE_PHASE
from apps.updates.selectors.evidence import observe_without
from apps.updates.selectors.rollouts import read_log, reread_rollout
from apps.updates.selectors.suspects import deployments_with, name_trait
from apps.updates.services.moves import ADVANCE_TASK, Choice, End, end_deployments
from apps.updates.services.recalls import refuse_recalled
from apps.updates.services.rollout_log import append_events, lock_rollout
from apps.updates.types import DevicesExcluded

ACTION = "updates.exclude_and_continue"
AT_WORK = (RolloutState.RUNNING, RolloutState.PAUSED)

# Reports lock their deployments too: whoever is failing just now is seen with what came of it.
_LOCK = """
    SELECT id FROM updates_deployment WHERE organization_id = %(organization_id)s
        AND id = ANY(%(ids)s) ORDER BY id FOR UPDATE
"""
_MARK = """
    UPDATE updates_deployment SET is_excluded = true
    WHERE organization_id = %(organization_id)s AND id = ANY(%(ids)s)
"""


@dataclass(frozen=True, slots=True)
class _Trait:
    """What the devices have in common."""

    attribute: str
    value: str
    words: str


def exclude_and_continue(
    actor: Actor, rollout_id: UUID, *, attribute: str, value: str, reason: str
) -> Rollout:
    """Leaves the devices with a trait out, and lets a rollout that its gate halted go on.

    Those that wait are skipped; those at work finish, and are not tried again; outcomes of all of
    them say nothing to the gates any more. A paused rollout stays paused. An approval stands, for
    the target only becomes smaller. Doing so again changes nothing. Raises `InvalidRequest`,
    `NothingToExclude`, `GateStillHalts` where the other devices are too bad as well, and
    `RolloutNotContinuable` for a rollout that is over, or was halted by other than its gate.
    """
    rollout = lock_rollout(actor, rollout_id, ADVANCE_PHASE)
    reason, trait = checked_reason(reason), _checked_trait(actor, attribute, value)
    status = rollout.status()
    if (trait.attribute, trait.value) in status.exclusions:
        return reread_rollout(actor, rollout.id)
    _guard(actor, rollout, status)
    waiting = _leave_out(actor, rollout, trait)
    event = _event(actor, rollout, status, trait, reason, waiting)
    _refuse_halting(status, event)
    append_events(actor, rollout, [event])
    changes = {"state": [status.state.value, rollout.state], "devices": [trait.words]}
    record(actor, ACTION, rollout, changes={**changes, "waiting": waiting, "reason": reason})
    publish(actor, DevicesExcluded(rollout_id=rollout.id, devices=trait.words, waiting=waiting))
    wake(ADVANCE_TASK, actor, rollout_id=str(rollout.id))
    notify_gateways("deployments", organization_id=actor.organization_id)
    return reread_rollout(actor, rollout.id)


def _checked_trait(actor: Actor, attribute: str, value: str) -> _Trait:
    if attribute not in WORDS:
        known = ", ".join(WORDS)
        sentence = f"Devices are not told apart by {attribute!r}; known: {known}."
        raise invalid("attribute", "unknown_attribute", sentence)
    value = value.strip()
    is_text = 0 < len(value) <= MAX_VALUE and value.isprintable()
    words = name_trait(actor, attribute, value) if is_text else None
    if words is None:
        raise invalid("value", "unknown_value", "No device that you see has this.")
    return _Trait(attribute, value, words)


def _guard(actor: Actor, rollout: Rollout, status: RolloutStatus) -> None:
    if status.state not in (*AT_WORK, RolloutState.HALTED) or rollout.rollbacks.exists():
        raise RolloutNotContinuable(data={"state": rollout.state})
    refuse_recalled(actor, rollout.release_id)
    if status.end_at and status.end_at <= clock.now():
        raise RolloutNotContinuable("The time at which it had to end has passed.")
    if status.state is RolloutState.HALTED and not _was_halted_by_gate(actor, rollout):
        raise RolloutNotContinuable("It was not halted by its gate: that halt is for good.")


def _was_halted_by_gate(actor: Actor, rollout: Rollout) -> bool:
    """Whether the evidence of its time is what the halt was for, and not a person's word."""
    events = RolloutEvent.objects.for_org(actor.organization_id).filter(rollout_id=rollout.id)
    halt = events.filter(type=engine.PHASE_HALTED).order_by("-sequence").first()
    if halt is None:
        return False
    before = engine.replay(read_log(actor, rollout.id, until=halt.sequence - 1)[1])
    verdict = before.phases[halt.data["index"]].judged(halt.time)
    return verdict.decision is GateDecision.HALT and verdict.reason == halt.data["reason"]


def _leave_out(actor: Actor, rollout: Rollout, trait: _Trait) -> int:
    """Marks the devices and skips those that wait; answers how many these are.

    An attempt that failed while we waited for its lock may have left a new one: hence again.
    """
    marked: set[UUID] = set()
    matching = deployments_with(actor, rollout.id, trait.attribute, trait.value)
    while found := set(matching.values_list("id", flat=True)):
        parameters: dict[str, Any] = {
            "organization_id": actor.organization_id,
            "ids": sorted(found),
        }
        with connection.cursor() as cursor:
            cursor.execute(_LOCK, parameters)
            cursor.execute(_MARK, parameters)
        marked |= found
    if not marked:
        raise NothingToExclude
    message = f"{actor.label} went on without devices with {trait.words}."[:1024]
    end = End(DeploymentState.SKIPPED, "excluded", message)
    choice = Choice(rollout_id=rollout.id, is_excluded_waiting=True)
    return len(end_deployments(actor, choice, end, clock.now()))


def _event(
    actor: Actor,
    rollout: Rollout,
    status: RolloutStatus,
    trait: _Trait,
    reason: str,
    waiting: int,
) -> LogEvent:
    """What the log says of it, with all that the gates see from now on."""
    data: dict[str, Any] = {
        "attribute": trait.attribute,
        "value": trait.value,
        "words": trait.words,
        "waiting": waiting,
        "by": actor.label,
        "reason": f"{actor.label}: {reason}",
        **engine.differences(status, observe_without(actor, rollout, status)),
    }
    at: datetime = clock.now()
    return LogEvent(engine.EXCLUDED, at, data)


def _refuse_halting(status: RolloutStatus, event: LogEvent) -> None:
    """Nothing is gained by going on where the next look halts again."""
    for phase in engine.reduce(status, event).phases:
        verdict = phase.judged(event.time)
        if phase.opened_at and verdict.decision is GateDecision.HALT:
            raise GateStillHalts(
                f"The other devices are too bad as well: {verdict.reason}.",
                data={"reason": verdict.reason},
            )
