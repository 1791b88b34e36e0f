"""Changing the state of many deployments at once, with the counters of their phases."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from apps.core.actors import Actor
from apps.core.tasks import wake
from apps.events.services.outbox import publish
from apps.updates.domain.states import (
    FINAL_DEPLOYMENT_STATES,
    Bucket,
    DeploymentState,
    bucket_of,
    deployment_states_before,
)
from apps.updates.types import DeploymentFinished

ADVANCE_TASK = "updates.advance_rollout"

_COUNT = """
    WITH change AS (
        SELECT * FROM unnest(%(rollouts)s::uuid[], %(phases)s::int[], %(waiting)s::int[],
            %(active)s::int[], %(succeeded)s::int[], %(failed)s::int[], %(cancelled)s::int[],
            %(skipped)s::int[])
        AS c (rollout_id, phase, waiting, active, succeeded, failed, cancelled, skipped)
    ), locked AS (
        SELECT p.id, c.* FROM updates_phase AS p
        JOIN change AS c ON c.rollout_id = p.rollout_id AND c.phase = p.index
        WHERE p.organization_id = %(organization_id)s
        ORDER BY p.id FOR NO KEY UPDATE OF p
    )
    UPDATE updates_phase AS phase SET
        waiting = phase.waiting + locked.waiting,
        active = phase.active + locked.active,
        succeeded = phase.succeeded + locked.succeeded,
        failed = phase.failed + locked.failed,
        cancelled = phase.cancelled + locked.cancelled,
        skipped = phase.skipped + locked.skipped
    FROM locked WHERE phase.id = locked.id
"""

# What is locked by others is waited for, or passed over where `skip` says so.
_CHOOSE = """
    SELECT id, rollout_id, device_id, phase_index, state FROM updates_deployment
    WHERE organization_id = %(organization_id)s AND state = ANY(%(states)s) AND {condition}
    ORDER BY id {limit} FOR UPDATE {skip}
"""

# No join: with the ids at hand only an index on them comes into question, whatever the planner
# believes about a table that has just been filled.
_END = """
    UPDATE updates_deployment SET
        state = %(target)s, reason_code = %(reason_code)s, message = %(message)s,
        state_changed_at = %(at)s, finished_at = %(at)s, lease_until = NULL
    WHERE organization_id = %(organization_id)s AND id = ANY(%(ids)s)
"""


@dataclass(frozen=True, slots=True)
class Move:
    """One deployment that went from one state to another."""

    deployment_id: UUID
    rollout_id: UUID
    device_id: UUID
    phase_index: int
    before: DeploymentState
    after: DeploymentState
    reason_code: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """How deployments end that the platform ends: the state, and why."""

    state: DeploymentState
    reason_code: str
    message: str


@dataclass(frozen=True, slots=True)
class Choice:
    """Which deployments: those of a rollout, of a device, or past their deadline."""

    rollout_id: UUID | None = None
    device_id: UUID | None = None
    deadline_before: datetime | None = None
    limit: int | None = None


def end_deployments(actor: Actor, choice: Choice, end: End, at: datetime) -> list[Move]:
    """Ends all chosen deployments that may end so, counts them, and says so.

    Those in a state from which the transition table knows no way stay as they are.
    """
    parameters: dict[str, Any] = {
        "organization_id": actor.organization_id,
        "states": [s.value for s in deployment_states_before(end.state)],
        "target": end.state.value,
        "reason_code": end.reason_code,
        "message": end.message,
        "at": at,
        "rollout_id": choice.rollout_id,
        "device_id": choice.device_id,
        "deadline": choice.deadline_before,
        "limit": choice.limit,
    }
    with connection.cursor() as cursor:
        cursor.execute(_choosing(choice), parameters)
        rows = cursor.fetchall()
        if rows:
            cursor.execute(_END, {**parameters, "ids": [row[0] for row in rows]})
    moves = [
        Move(id_, rollout, device, phase, DeploymentState(before), end.state, end.reason_code)
        for id_, rollout, device, phase, before in rows
    ]
    note_moves(actor, moves)
    return moves


def note_moves(actor: Actor, moves: Sequence[Move]) -> None:
    """Counts moves in their phases, publishes the ends, and wakes the scheduler.

    What ends before it began is told by the event of the rollout or the device that ended it.
    """
    count_moves(actor, moves)
    ended = [
        m
        for m in moves
        if m.after in FINAL_DEPLOYMENT_STATES and bucket_of(m.before) is Bucket.ACTIVE
    ]
    if ended:
        publish(actor, *(_finished(move) for move in ended))
    for rollout_id in {m.rollout_id for m in moves if bucket_of(m.before) != bucket_of(m.after)}:
        wake(ADVANCE_TASK, actor, rollout_id=str(rollout_id))


def count_moves(actor: Actor, moves: Iterable[Move]) -> None:
    """Adds moves to the counters of their phases, in the caller's transaction."""
    changes: dict[tuple[UUID, int], Counter[Bucket]] = defaultdict(Counter)
    for move in moves:
        before, after = bucket_of(move.before), bucket_of(move.after)
        if before != after:
            changes[move.rollout_id, move.phase_index][before] -= 1
            changes[move.rollout_id, move.phase_index][after] += 1
    if not changes:
        return
    parameters: dict[str, Any] = {
        "organization_id": actor.organization_id,
        "rollouts": [rollout_id for rollout_id, _ in changes],
        "phases": [phase for _, phase in changes],
    }
    for bucket in Bucket:
        parameters[bucket.value] = [change[bucket] for change in changes.values()]
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, parameters)


def _choosing(choice: Choice) -> str:
    conditions = ["true"]
    if choice.rollout_id is not None:
        conditions.append("rollout_id = %(rollout_id)s")
    if choice.device_id is not None:
        conditions.append("device_id = %(device_id)s")
    if choice.deadline_before is not None:
        conditions.append("deadline_at < %(deadline)s")
    return _CHOOSE.format(
        condition=" AND ".join(conditions),
        limit="LIMIT %(limit)s" if choice.limit else "",
        skip="SKIP LOCKED" if choice.limit else "",
    )


def _finished(move: Move) -> DeploymentFinished:
    return DeploymentFinished(
        rollout_id=move.rollout_id,
        deployment_id=move.deployment_id,
        device_id=move.device_id,
        state=move.after.value,
        reason_code=move.reason_code,
    )
