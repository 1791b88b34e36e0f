"""From a target to deployments."""

from typing import Any, cast

from django.core.exceptions import EmptyResultSet
from django.db import connection

from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require
from apps.core.errors import invalid
from apps.devices.selectors import resolve_target
from apps.updates.domain.plan import phase_sizes
from apps.updates.models import Phase, Rollout
from apps.updates.permissions import CREATE_ROLLOUT
from apps.updates.selectors.rollouts import reaches_rollout
from apps.updates.types import Target

MAX_DEVICES, MAX_TAGS, MAX_GROUPS = 1000, 64, 64

# Before version 18 PostgreSQL has no function for a UUIDv7: this is 48 bits of milliseconds over a
# random UUIDv4, whose version is changed from 4 to 7.
_HAS_UUID7 = 180_000
_UUID7 = """encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING substring(
    int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
    FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid"""

# Places are counted from 0 in the order of `domain.plan.order_key`; a phase holds the places
# before its end, `domain.plan.phase_ends`, in the same integer arithmetic.
_INSERT = """
    WITH target (device_id) AS ({devices}),
    placed AS (
        SELECT device_id, row_number() OVER (
            ORDER BY sha256((device_id::text || %s)::bytea)) - 1 AS place
        FROM target
    ),
    ends AS (
        SELECT array_agg((counted.total * percent + 99) / 100 ORDER BY percent) AS list
        FROM (SELECT count(*) AS total FROM target) AS counted, unnest(%s::bigint[]) AS percent
    )
    INSERT INTO updates_deployment (
        id, organization_id, rollout_id, device_id, phase_index, position, state,
        progress_percent, report_sequence, reason_code, message, log_tail, offers,
        created_at, state_changed_at)
    SELECT {new_id}, %s, %s, device_id, width_bucket(place, ends.list), place, 'waiting',
        0, 0, '', '', '', 0, %s, %s
    FROM placed, ends
    ORDER BY place
"""


def checked_target(actor: Actor, target: Target) -> dict[str, list[str]]:
    """The target as it is stored: every name once, in order.

    Raises `InvalidRequest` for too many names, `NotFound` for devices and groups that are missing
    or out of sight, `PermissionDenied` for others than those that the actor may roll out to.
    """
    _limit("device_ids", target.device_ids, MAX_DEVICES)
    _limit("tags", target.tags, MAX_TAGS)
    _limit("group_ids", target.group_ids, MAX_GROUPS)
    resolve_target(
        actor, device_ids=target.device_ids, tags=target.tags, group_ids=target.group_ids
    )
    if not reaches_rollout(actor, CREATE_ROLLOUT, target):
        require(actor, CREATE_ROLLOUT)
    return target.stored()


def create_deployments(actor: Actor, rollout: Rollout) -> int:
    """One deployment per device of the target, in one statement; returns how many.

    Each gets its place in the rollout's own order and with it its phase. Phases get their sizes.
    """
    target = Target.restore(rollout.target)
    devices = resolve_target(
        actor, device_ids=target.device_ids, tags=target.tags, group_ids=target.group_ids
    )
    phases = list(
        Phase.objects.for_org(actor.organization_id).filter(rollout_id=rollout.id).order_by("index")
    )
    percents = [phase.percent for phase in phases]
    total = _insert(actor, rollout, devices.order_by().values("id"), percents)
    for phase, size in zip(phases, phase_sizes(total, percents), strict=True):
        phase.total = phase.waiting = size
        phase.save(update_fields=["total", "waiting"])
    return total


def _insert(actor: Actor, rollout: Rollout, devices: Any, percents: list[int]) -> int:
    try:
        sql, parameters = devices.query.sql_with_params()
    except EmptyResultSet:
        return 0
    at = clock.now()
    own: list[Any] = [str(rollout.id), percents, actor.organization_id, rollout.id, at, at]
    with connection.cursor() as cursor:
        version = cast(Any, connection).pg_version
        new_id = "uuidv7()" if version >= _HAS_UUID7 else _UUID7
        # What is put in is our own SQL and the ORM's; values are parameters.
        cursor.execute(_INSERT.format(devices=sql, new_id=new_id), [*parameters, *own])
        return int(cursor.rowcount)


def _limit(field: str, names: tuple[Any, ...], most: int) -> None:
    if len(names) > most:
        raise invalid(field, "too_many", f"A target names at most {most} of these.")
