"""From a target to deployments."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import F, QuerySet, UUIDField, Value

from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require
from apps.core.errors import invalid
from apps.devices.models import Device
from apps.updates.domain.engine import STARTED
from apps.updates.domain.plan import late_bounds, shared_phases
from apps.updates.models import Phase, Rollout, RolloutEvent
from apps.updates.permissions import CREATE_ROLLOUT
from apps.updates.selectors.candidates import chosen_devices
from apps.updates.selectors.phases import NO_FILTER, in_parts
from apps.updates.selectors.reversible import EARLIER, TOUCHED
from apps.updates.selectors.rollouts import reaches_rollout, target_devices
from apps.updates.services.moves import new_id
from apps.updates.types import Target

MAX_DEVICES, MAX_TAGS, MAX_GROUPS, MAX_REASON = 1000, 64, 64, 64
MAX_PLACES = 10_000_000

# Sorting 100,000 devices without files takes about 20 MB, once per rollout.
_SORT_IN_MEMORY = "SELECT set_config('work_mem', '64MB', true)"

# Places are counted from 0 in the order of `domain.plan.order_key`. What no phase's filter takes
# has a place of its own among the rest: a phase holds the places before its end, which is
# `domain.plan.phase_ends` in the same integer arithmetic. Ordered by the key that the
# places come from: what is sorted once need not be sorted again.
_INSERT = """
    WITH target (device_id, release_id, part) AS ({devices}),
    ordered AS (
        SELECT *, sha256((device_id::text || %s)::bytea) AS key FROM target
    ),
    placed AS (
        SELECT device_id, release_id, part, key, row_number() OVER (ORDER BY key) - 1 AS place,
            row_number() OVER ({parts} ORDER BY key) - 1 AS share
        FROM ordered
    ),
    planned AS (
        SELECT n, CASE WHEN devices > 0 THEN least(devices, counted.total)
            ELSE (counted.total * percent + 99) / 100 END AS until
        FROM (SELECT count(*) AS total FROM target WHERE part < 0) AS counted,
            unnest(%s::bigint[], %s::bigint[]) WITH ORDINALITY AS phase (percent, devices, n)
    ),
    ends AS (
        SELECT array_agg(until ORDER BY n) AS list
        FROM (SELECT n, max(until) OVER (ORDER BY n) AS until FROM planned) AS rising
    ),
    stored AS (
        INSERT INTO updates_deployment (
            id, organization_id, rollout_id, device_id, release_id, phase_index, position, state,
            progress_percent, report_sequence, reason_code, message, log_tail, offers,
            created_at, state_changed_at)
        SELECT {new_id}, %s, %s, device_id, release_id, CASE WHEN part >= 0 THEN part
                ELSE (%s::int[])[1 + width_bucket(share, (SELECT list FROM ends))] END, place,
            'waiting', 0, 0, '', '', '', 0, %s, %s
        FROM placed
        ORDER BY key
        RETURNING phase_index
    )
    SELECT phase_index, count(*) FROM stored GROUP BY 1
"""


JOINING_AT_ONCE = 2000
# The first four bytes of the key say the place of a latecomer: `domain.plan.late_place`. Behind
# all that are there already, in the order of the key.
_JOIN = """
    WITH target (device_id, part) AS ({devices}),
    ordered AS (
        SELECT *, sha256((device_id::text || %s)::bytea) AS key FROM target
        ORDER BY key LIMIT %s
    ),
    stored AS (
        INSERT INTO updates_deployment (
            id, organization_id, rollout_id, device_id, release_id, phase_index, position, state,
            progress_percent, report_sequence, reason_code, message, log_tail, offers,
            created_at, state_changed_at)
        SELECT {new_id}, %s, %s, device_id, %s,
            greatest(%s, CASE WHEN part >= 0 THEN part
                ELSE (%s::int[])[1 + width_bucket(
                    ('x' || encode(substr(key, 1, 4), 'hex'))::bit(32)::bigint, %s::bigint[])]
                END),
            (SELECT coalesce(max(position), -1) FROM updates_deployment WHERE rollout_id = %s)
                + row_number() OVER (ORDER BY key),
            'waiting', 0, 0, '', '', '', 0, %s, %s
        FROM ordered
        ORDER BY key
        RETURNING phase_index
    )
    SELECT phase_index, count(*) FROM stored GROUP BY 1
"""


def checked_target(actor: Actor, target: Target) -> dict[str, Any]:
    """The target as it is stored: every name once, in order.

    Raises what `checked_names` does, and `PermissionDenied` for others than those that the actor
    may roll out to.
    """
    stored = checked_names(actor, target)
    if not reaches_rollout(actor, CREATE_ROLLOUT, target):
        require(actor, CREATE_ROLLOUT)
    return stored


def checked_names(actor: Actor, target: Target) -> dict[str, Any]:
    """The same without the question who may roll out there.

    Raises `InvalidRequest` for too many names, `NotFound` for devices, groups and rollouts that are
    missing or out of sight.
    """
    _limit("device_ids", target.device_ids, MAX_DEVICES)
    _limit("tags", target.tags, MAX_TAGS)
    _limit("group_ids", target.group_ids, MAX_GROUPS)
    _check_reason(target)
    _check_part(target)
    target_devices(actor, target)
    return target.stored()


def create_deployments(actor: Actor, rollout: Rollout) -> list[int]:
    """One deployment per device of the target onto which the release fits, in one statement;
    returns the phases' sizes.

    Each gets its place in the rollout's own order and with it its phase.
    """
    phases = rollout.planned().phases
    rows = in_parts(actor, chosen_devices(actor, rollout), phases)
    rows = rows.order_by().annotate(release_id=Value(rollout.release_id, UUIDField()))
    try:
        query = rows.values_list("id", "release_id", "part").query
        sql, parameters = query.sql_with_params()
    except EmptyResultSet:
        return _sized(actor, rollout, {})
    return _sized(actor, rollout, _insert(actor, rollout, sql, parameters))


def join_deployments(actor: Actor, rollout: Rollout, devices: QuerySet[Device]) -> dict[int, int]:
    """One more deployment for some of these devices, none of which has one; how many went where.

    A device goes into the phase whose filter it matches, or that its share says, if that comes
    before the first phase whose gate is not passed then into that one.
    """
    status, phases = rollout.status(), rollout.planned().phases
    rows = in_parts(actor, devices, phases).order_by().values_list("id", "part")
    try:
        sql, parameters = rows.query.sql_with_params()
    except EmptyResultSet:
        return {}
    indexes, at = shared_phases(phases), clock.now()
    started = _sizes_at_start(actor, rollout)
    total = sum(started[index] for index in indexes)
    bounds = late_bounds(total, [phases[index] for index in indexes])
    with connection.cursor() as cursor:
        statement = _JOIN.format(devices=sql, new_id=new_id())
        own: list[Any] = [actor.organization_id, rollout.id, rollout.release_id]
        places: list[Any] = [status.entry, [*indexes], [*bounds], rollout.id]
        order: list[Any] = [str(rollout.id), JOINING_AT_ONCE]
        cursor.execute(statement, [*parameters, *order, *own, *places, at, at])
        joined = dict(cursor.fetchall())
    _grow(actor, rollout, joined)
    return joined


def _sizes_at_start(actor: Actor, rollout: Rollout) -> list[int]:
    rows = RolloutEvent.objects.for_org(actor.organization_id)
    started = rows.get(rollout_id=rollout.id, type=STARTED)
    sizes: list[int] = started.data["sizes"]
    return sizes


def _grow(actor: Actor, rollout: Rollout, joined: Mapping[int, int]) -> None:
    """Tells the phases of their new devices."""
    rows = Phase.objects.for_org(actor.organization_id).filter(rollout_id=rollout.id)
    for phase in rows.filter(index__in=joined).order_by("id").select_for_update(no_key=True):
        number = joined[phase.index]
        rows.filter(id=phase.id).update(total=F("total") + number, waiting=F("waiting") + number)


def create_rollback_deployments(actor: Actor, rollout: Rollout, source: Rollout) -> list[int]:
    """One deployment for each device that the source reached and that had a release before."""
    parameters = (actor.organization_id, source.id, TOUCHED)
    devices = f"SELECT device_id, release_id, {NO_FILTER} FROM ({EARLIER}) AS back"  # noqa: S608
    return _sized(actor, rollout, _insert(actor, rollout, devices, parameters))


def _sized(actor: Actor, rollout: Rollout, counted: Mapping[int, int]) -> list[int]:
    """Tells the phases how many devices they have."""
    phases = Phase.objects.for_org(actor.organization_id).filter(rollout_id=rollout.id)
    sizes = []
    for phase in phases.order_by("index"):
        phase.total = phase.waiting = counted.get(phase.index, 0)
        phase.save(update_fields=["total", "waiting"])
        sizes.append(phase.total)
    return sizes


def _insert(
    actor: Actor, rollout: Rollout, devices: str, parameters: Sequence[Any]
) -> dict[int, int]:
    """How many devices came into which phase."""
    at, phases = clock.now(), rollout.planned().phases
    indexes = shared_phases(phases)
    shared = [phases[index] for index in indexes[:-1]]
    # The last phase ends with the last device.
    percents = [phase.percent for phase in shared] + [100]
    numbers = [phase.devices for phase in shared] + [0]
    order: list[Any] = [str(rollout.id), percents, numbers]
    own: list[Any] = [actor.organization_id, rollout.id, [*indexes], at, at]
    parts = "PARTITION BY part" if len(indexes) < len(phases) else ""
    with connection.cursor() as cursor:
        # What is put in is our own SQL and the ORM's; values are parameters.
        statement = _INSERT.format(devices=devices, parts=parts, new_id=new_id())
        cursor.execute(_SORT_IN_MEMORY)
        cursor.execute(statement, [*parameters, *order, *own])
        return dict(cursor.fetchall())


def _check_reason(target: Target) -> None:
    if target.failed_because and target.failed_in is None:
        message = "A reason needs the rollout in which devices failed for it."
        raise invalid("failed_because", "reason_without_rollout", message)
    if len(target.failed_because) > MAX_REASON or "\0" in target.failed_because:
        message = f"A reason has at most {MAX_REASON} characters, none of them NUL."
        raise invalid("failed_because", "invalid_reason", message)


def _check_part(target: Target) -> None:
    for field, number, most in (
        ("percent", target.percent, 100),
        ("maximum", target.maximum, MAX_PLACES),
    ):
        if not 0 <= number <= most:
            raise invalid(field, "out_of_range", f"This is a whole number from 0 to {most}.")


def _limit(field: str, names: tuple[Any, ...], most: int) -> None:
    if len(names) > most:
        raise invalid(field, "too_many", f"A target names at most {most} of these.")
