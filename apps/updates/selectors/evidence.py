"""What the gates of a rollout look at, read from what is stored: one query of each kind.

Metrics are compared with what the same device reported before the update, outcomes with those of
earlier rollouts; see docs/concepts/gates.md for why. Only rollouts whose gates ask for it pay.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import connection

from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require
from apps.updates.domain.engine import Observations, RolloutStatus
from apps.updates.domain.gate import Counts
from apps.updates.domain.gates import Arm, Comparison, MetricArms, MetricCondition
from apps.updates.domain.plan import Plan
from apps.updates.domain.states import FAILED_DEPLOYMENT_STATES, DeploymentState, RolloutState
from apps.updates.models import Phase, Rollout
from apps.updates.permissions import VIEW_ROLLOUTS
from apps.updates.selectors.rollouts import get_rollout_id

FAILED = [state.value for state in FAILED_DEPLOYMENT_STATES]
AT_WORK = (RolloutState.RUNNING, RolloutState.PAUSED)

# Hello makes a device seen, but only a heartbeat brings figures.
_BEATS = "state.uptime_seconds > 0"
_FRESH = f"""({_BEATS} AND state.last_seen_at > deployment.finished_at
    AND (state.connected_at IS NULL OR state.last_seen_at > state.connected_at))"""

# Devices that succeeded, of active ones: whoever was taken out of the fleet reports no more.
_UPDATED = """
    SELECT deployment.phase_index, count(*) FILTER (WHERE NOT {fresh}) {counts}
    FROM updates_deployment AS deployment
    JOIN devices_device AS device ON device.id = deployment.device_id
        AND device.organization_id = deployment.organization_id AND device.lifecycle = 'active'
    JOIN devices_device_state AS state ON state.device_id = device.id
        AND state.organization_id = device.organization_id
    WHERE deployment.organization_id = %(organization_id)s
        AND deployment.rollout_id = %(rollout_id)s AND deployment.state = 'succeeded'
        AND NOT deployment.is_retried AND NOT deployment.is_excluded
        AND deployment.phase_index = ANY(%(phases)s)
    GROUP BY deployment.phase_index
"""

# Devices that wait for phases that are not open, and can be reached now.
_HELD_BACK = """
    SELECT {counts}
    FROM updates_deployment AS deployment
    JOIN devices_device AS device ON device.id = deployment.device_id
        AND device.organization_id = deployment.organization_id AND device.lifecycle = 'active'
    JOIN devices_device_state AS state ON state.device_id = device.id
        AND state.organization_id = device.organization_id
    WHERE deployment.organization_id = %(organization_id)s
        AND deployment.rollout_id = %(rollout_id)s AND deployment.state = 'waiting'
        AND NOT deployment.is_excluded AND deployment.phase_index > %(open_phase)s
        AND state.uptime_seconds > 0 AND state.offline_at > %(now)s
        AND (state.connected_at IS NULL OR state.last_seen_at > state.connected_at)
"""

# The last outcome of each device of these phases from before the rollout, of updates only.
_HISTORY = """
    SELECT deployment.phase_index, count(*) FILTER (WHERE earlier.state = 'succeeded'),
        count(*) FILTER (WHERE earlier.state <> 'succeeded')
    FROM updates_deployment AS deployment
    CROSS JOIN LATERAL (
        SELECT before.state FROM updates_deployment AS before
        JOIN updates_rollout AS rollout ON rollout.id = before.rollout_id
            AND rollout.organization_id = before.organization_id AND rollout.rolls_back_id IS NULL
        WHERE before.organization_id = deployment.organization_id
            AND before.device_id = deployment.device_id
            AND before.rollout_id <> deployment.rollout_id
            AND before.state = ANY(%(judged)s) AND NOT before.is_retried
            AND before.finished_at <= %(started_at)s
        ORDER BY before.finished_at DESC LIMIT 1
    ) AS earlier
    WHERE deployment.organization_id = %(organization_id)s
        AND deployment.rollout_id = %(rollout_id)s AND deployment.attempt = 1
        AND NOT deployment.is_excluded AND deployment.phase_index = ANY(%(phases)s)
    GROUP BY deployment.phase_index
"""

_LEFT_OUT = """
    SELECT phase_index, count(*) FILTER (WHERE state = 'succeeded'),
        count(*) FILTER (WHERE state = ANY(%(failed)s))
    FROM updates_deployment
    WHERE organization_id = %(organization_id)s AND rollout_id = %(rollout_id)s
        AND is_excluded AND NOT is_retried
    GROUP BY phase_index
"""


def observe(
    actor: Actor, rollout: Rollout, status: RolloutStatus, *, is_sampling: bool = False
) -> Observations:
    """What the engine is to look at now. The caller has locked the rollout.

    The counts always; what is left out where somebody left devices out; metrics of opened phases
    that have just ended, or of all opened ones with `is_sampling`; a phase's history once.
    """
    require(actor, VIEW_ROLLOUTS)
    phases = Phase.objects.for_org(actor.organization_id).filter(rollout_id=rollout.id)
    counts = tuple(phase.counts for phase in phases.order_by("index"))
    scope = {"organization_id": actor.organization_id, "rollout_id": rollout.id}
    left_out = _left_out(scope, status) if status.exclusions else {}
    if status.state not in AT_WORK:
        return Observations(counts, left_out=left_out)
    return Observations(
        counts,
        controls=_histories(scope, status),
        metrics=_sampled(scope, status, counts, is_sampling=is_sampling),
        left_out=left_out,
    )


def observe_without(actor: Actor, rollout: Rollout, status: RolloutStatus) -> Observations:
    """What is left to see once devices were left out: everything is read anew."""
    get_rollout_id(actor, rollout.id)
    phases = Phase.objects.for_org(actor.organization_id).filter(rollout_id=rollout.id)
    counts = tuple(phase.counts for phase in phases.order_by("index"))
    scope = {"organization_id": actor.organization_id, "rollout_id": rollout.id}
    return Observations(
        counts,
        controls=_histories(scope, status, is_anew=True),
        metrics=_sampled(scope, status, counts, is_sampling=True),
        left_out=_left_out(scope, status),
    )


def list_measured_rollout_ids(actor: Actor) -> list[UUID]:
    """Rollouts at work whose gates look at metrics: these change while nothing is counted."""
    require(actor, VIEW_ROLLOUTS)
    rows = Rollout.objects.for_org(actor.organization_id).filter(state__in=AT_WORK)
    plans = rows.exclude(plan={}).order_by("id").values_list("id", "plan")
    return [
        id_
        for id_, plan in plans
        if any(phase.gate.conditions for phase in Plan.restore(plan).phases)
    ]


def _left_out(scope: Mapping[str, Any], status: RolloutStatus) -> dict[int, Arm]:
    found = _arms(_LEFT_OUT, {**scope, "failed": FAILED})
    return {index: found.get(index, Arm()) for index in range(len(status.phases))}


def _histories(
    scope: Mapping[str, Any], status: RolloutStatus, *, is_anew: bool = False
) -> dict[int, Arm]:
    """Of opened phases that compare outcomes; what was before the start does not change."""
    wanted = [
        index
        for index in range(status.open_phase + 1)
        if status.phases[index].gate.has_control
        and (is_anew or status.phases[index].control is None)
    ]
    if not wanted:
        return {}
    judged = [DeploymentState.SUCCEEDED.value, *FAILED]
    more = {"phases": wanted, "judged": judged, "started_at": status.started_at}
    found = _arms(_HISTORY, {**scope, **more})
    return {index: found.get(index, Arm()) for index in wanted}


def _sampled(
    scope: Mapping[str, Any],
    status: RolloutStatus,
    counts: Sequence[Counts],
    *,
    is_sampling: bool,
) -> dict[int, tuple[MetricArms, ...]]:
    wanted = [
        index
        for index in range(status.open_phase + 1)
        if status.phases[index].gate.conditions
        and (is_sampling or _has_ended(counts[index], status.phases[index].counts))
    ]
    if not wanted:
        return {}
    conditions = sorted({c for i in wanted for c in status.phases[i].gate.conditions}, key=str)
    updated, before, pending = _updated(scope, wanted, conditions)
    held_back = _held_back(scope, status, wanted, conditions)
    found: dict[int, tuple[MetricArms, ...]] = {}
    for index in wanted:
        own = conditions_of(status, index)
        controls = _controls(status, index, held_back or before.get(index, {}))
        found[index] = tuple(
            MetricArms(
                updated.get(index, {}).get(condition, Arm()),
                controls[place],
                pending.get(index, 0),
            )
            for place, condition in enumerate(own)
        )
    return found


def _has_ended(counts: Counts, noted: Counts) -> bool:
    """Whether nobody is at work any more since the last look: the gate waits for reports alone now,
    and must know of them."""
    return counts != noted and not counts.to_go


def conditions_of(status: RolloutStatus, index: int) -> tuple[MetricCondition, ...]:
    """The conditions of a phase's gate."""
    return status.phases[index].gate.conditions


def _controls(
    status: RolloutStatus, index: int, seen: Mapping[MetricCondition, Arm]
) -> list[Arm | None]:
    """The control of each condition: None where a device is its own, by its earlier value.

    Once the next phase is open its devices hold nothing back any more: the arm stays as it was.
    """
    phase = status.phases[index]
    if index < status.open_phase and phase.metrics:
        return [arms.control for arms in phase.metrics]
    return [
        seen.get(condition, Arm())
        if phase.gate.has_control and condition.comparison is Comparison.ABOVE
        else None
        for condition in phase.gate.conditions
    ]


Arms = dict[MetricCondition, Arm]


def _updated(
    scope: Mapping[str, Any], phases: Sequence[int], conditions: Sequence[MetricCondition]
) -> tuple[dict[int, Arms], dict[int, Arms], dict[int, int]]:
    """By phase: the updated devices now, the same ones before, and how many are to report yet."""
    now, parameters = _counting(conditions, "state.{metric}", _FRESH)
    earlier = "(deployment.baseline ->> '{metric}')::float8"
    then, _ = _counting(conditions, earlier, _FRESH)
    sql = _UPDATED.format(fresh=_FRESH, counts="".join(f", {c}" for c in (*now, *then)))
    updated, before, pending = {}, {}, {}
    for index, silent, *numbers in _rows(sql, {**scope, **parameters, "phases": list(phases)}):
        half = len(numbers) // 2
        updated[index] = _paired(conditions, numbers[:half])
        before[index] = _paired(conditions, numbers[half:])
        pending[index] = silent
    return updated, before, pending


def _held_back(
    scope: Mapping[str, Any],
    status: RolloutStatus,
    phases: Sequence[int],
    conditions: Sequence[MetricCondition],
) -> Arms:
    """The devices of later phases now; nothing where there is no later phase or nobody asks."""
    is_last = status.open_phase == len(status.phases) - 1
    if is_last or not any(status.phases[index].gate.has_control for index in phases):
        return {}
    absolute = [c for c in conditions if c.comparison is Comparison.ABOVE]
    counts, parameters = _counting(absolute, "state.{metric}", "true")
    if not counts:
        return {}
    more = {"open_phase": status.open_phase, "now": clock.now()}
    rows = _rows(_HELD_BACK.format(counts=", ".join(counts)), {**scope, **parameters, **more})
    return _paired(absolute, rows[0])


def _counting(
    conditions: Sequence[MetricCondition], value: str, fresh: str
) -> tuple[list[str], dict[str, float]]:
    """For each condition SQL that counts its good devices, and its bad ones; absent is neither."""
    counts, parameters = [], {}
    for place, condition in enumerate(conditions):
        figure = value.format(metric=condition.metric.value)
        if condition.comparison is Comparison.RISEN_BY:
            figure += f" - (deployment.baseline ->> '{condition.metric.value}')::float8"
        bad = f"{figure} > %(limit_{place})s::float8"
        parameters[f"limit_{place}"] = float(condition.limit)
        counts.append(f"count(*) FILTER (WHERE {fresh} AND NOT ({bad}))")
        counts.append(f"count(*) FILTER (WHERE {fresh} AND ({bad}))")
    return counts, parameters


def _paired(conditions: Sequence[MetricCondition], numbers: Sequence[int]) -> Arms:
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    return {c: Arm(good, bad) for c, (good, bad) in zip(conditions, pairs, strict=True)}


def _arms(sql: str, parameters: Mapping[str, Any]) -> dict[int, Arm]:
    return {index: Arm(good, bad) for index, good, bad in _rows(sql, parameters)}


def _rows(sql: str, parameters: Mapping[str, Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows: list[Any] = cursor.fetchall()
    return rows
