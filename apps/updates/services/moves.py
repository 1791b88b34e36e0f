"""Changing the state of many deployments at once, with the counters of their phases."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from django.db import connection

from apps.core import clock
from apps.core.actors import Actor
from apps.core.tasks import wake
from apps.events.services.outbox import publish
from apps.updates.domain.installation import Installation
from apps.updates.domain.states import (
    FINAL_DEPLOYMENT_STATES,
    Bucket,
    DeploymentState,
    bucket_of,
    deployment_states_before,
)
from apps.updates.services.hold_lock import lock_for_start
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

# Before version 18 PostgreSQL has no function for a UUIDv7: this is 48 bits of milliseconds over a
# random UUIDv4, whose version is changed from 4 to 7.
_HAS_UUID7 = 180_000
_UUID7 = """encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING substring(
    int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
    FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid"""

# Failed attempts that may be followed by another one.
_RETRYABLE = """
    SELECT deployment.id, deployment.attempt, rollout.plan -> 'installation'
    FROM updates_deployment AS deployment
    JOIN updates_rollout AS rollout ON rollout.id = deployment.rollout_id
    WHERE deployment.organization_id = %(organization_id)s AND deployment.id = ANY(%(ids)s)
        AND deployment.attempt < rollout.maximum_attempts
        AND NOT EXISTS (
            SELECT 1 FROM updates_device_hold AS hold
            WHERE hold.organization_id = deployment.organization_id
                AND hold.device_id = deployment.device_id AND hold.ended_at IS NULL
                AND (hold.until IS NULL OR hold.until > %(at)s)
                AND (hold.kind = 'pinned' OR rollout.rolls_back_id IS NULL))
        AND rollout.state IN ('running', 'paused') AND NOT deployment.is_excluded
"""
_RETRY = """
    WITH failed AS (
        UPDATE updates_deployment AS deployment SET is_retried = true
        FROM unnest(%(ids)s::uuid[], %(not_before)s::timestamptz[]) AS next (id, not_before)
        WHERE deployment.organization_id = %(organization_id)s AND deployment.id = next.id
        RETURNING deployment.*, next.not_before AS begins
    )
    INSERT INTO updates_deployment (
        id, organization_id, rollout_id, device_id, release_id, attempt, not_before, phase_index,
        position, state, progress_percent, report_sequence, reason_code, message, log_tail, offers,
        created_at, state_changed_at)
    SELECT {new_id}, organization_id, rollout_id, device_id, release_id, attempt + 1, begins,
        phase_index, position, 'waiting', 0, 0, '', '', '', 0, %(at)s, %(at)s
    FROM failed
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
    # Another attempt follows: for the counters the device waits again.
    is_retried: bool = False

    @property
    def bucket(self) -> Bucket:
        """What the device counts as from now on."""
        return Bucket.WAITING if self.is_retried else bucket_of(self.after)


@dataclass(frozen=True, slots=True)
class End:
    """How deployments end that the platform ends: the state, and why."""

    state: DeploymentState
    reason_code: str
    message: str


@dataclass(frozen=True, slots=True)
class Choice:
    """Which deployments: those of a rollout, a device or a release, or past their deadline."""

    rollout_id: UUID | None = None
    release_id: UUID | None = None
    device_id: UUID | None = None
    deadline_before: datetime | None = None
    limit: int | None = None
    # Those that a person left out and that have not begun.
    is_excluded_waiting: bool = False
    # These, as far as they have not begun.
    waiting_ids: Sequence[UUID] | None = None


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
        "release_id": choice.release_id,
        "device_id": choice.device_id,
        "deadline": choice.deadline_before,
        "limit": choice.limit,
        "waiting_ids": list(choice.waiting_ids or ()),
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
    return note_moves(actor, moves)


def note_moves(actor: Actor, moves: Sequence[Move]) -> list[Move]:
    """Counts moves in their phases, publishes the ends, and wakes the scheduler.

    Failed attempts that may be repeated are; the answer says which. What ends before it began is
    told by the event of the rollout or the device that ended it.
    """
    moves = _retry(actor, moves)
    count_moves(actor, moves)
    ended = [
        m
        for m in moves
        if m.after in FINAL_DEPLOYMENT_STATES and bucket_of(m.before) is Bucket.ACTIVE
    ]
    if ended:
        publish(actor, *(_finished(move) for move in ended))
    for rollout_id in {m.rollout_id for m in moves if bucket_of(m.before) != m.bucket}:
        wake(ADVANCE_TASK, actor, rollout_id=str(rollout_id))
    return moves


def new_id() -> str:
    """SQL for a new UUIDv7."""
    return "uuidv7()" if cast(Any, connection).pg_version >= _HAS_UUID7 else _UUID7


def _retry(actor: Actor, moves: Sequence[Move]) -> list[Move]:
    """Queues the next attempt of devices that failed and have one left; what has ended stays so."""
    failed = [m.deployment_id for m in moves if bucket_of(m.after) is Bucket.FAILED]
    if not failed:
        return list(moves)
    # No hold begins before the next attempts are there to be skipped.
    lock_for_start(actor)
    at, organization_id = clock.now(), actor.organization_id
    parameters: dict[str, Any] = {"organization_id": organization_id, "ids": failed, "at": at}
    with connection.cursor() as cursor:
        cursor.execute(_RETRYABLE, parameters)
        rows = cursor.fetchall()
        if not rows:
            return list(moves)
        ids = [id_ for id_, _attempt, _installation in rows]
        begins = [at + _backoff(installation, attempt) for _id, attempt, installation in rows]
        again = {**parameters, "ids": ids, "not_before": begins}
        cursor.execute(_RETRY.format(new_id=new_id()), again)
    retried = set(ids)
    return [replace(m, is_retried=m.deployment_id in retried) for m in moves]


def _backoff(installation: str, attempt: int) -> timedelta:
    rules = Installation.restore(json.loads(installation))
    return timedelta(seconds=rules.backoff(attempt))


def note_starting(actor: Actor, started: Mapping[tuple[UUID, int], int]) -> None:
    """Counts devices that begin, by (rollout, phase), and wakes the scheduler."""
    counted = {
        phase: Counter({Bucket.WAITING: -number, Bucket.ACTIVE: number})
        for phase, number in started.items()
    }
    _count(actor, counted)
    for rollout_id in {rollout_id for rollout_id, _ in started}:
        wake(ADVANCE_TASK, actor, rollout_id=str(rollout_id))


def count_moves(actor: Actor, moves: Iterable[Move]) -> None:
    """Adds moves to the counters of their phases, in the caller's transaction."""
    changes: dict[tuple[UUID, int], Counter[Bucket]] = defaultdict(Counter)
    for move in moves:
        before, after = bucket_of(move.before), move.bucket
        if before != after:
            changes[move.rollout_id, move.phase_index][before] -= 1
            changes[move.rollout_id, move.phase_index][after] += 1
    if changes:
        _count(actor, changes)


def _count(actor: Actor, changes: Mapping[tuple[UUID, int], Counter[Bucket]]) -> None:
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
    if choice.release_id is not None:
        conditions.append("release_id = %(release_id)s")
    if choice.device_id is not None:
        conditions.append("device_id = %(device_id)s")
    if choice.is_excluded_waiting:
        conditions.append("is_excluded AND state = 'waiting'")
    if choice.waiting_ids is not None:
        conditions.append("id = ANY(%(waiting_ids)s) AND state = 'waiting'")
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
