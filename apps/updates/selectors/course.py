"""How a rollout went: what had succeeded and failed by when, and what happened meanwhile."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from apps.core import clock
from apps.core.actors import Actor
from apps.updates.domain import engine
from apps.updates.domain.states import FAILED_DEPLOYMENT_STATES
from apps.updates.models import Rollout, RolloutEvent
from apps.updates.selectors.rollouts import get_rollout

POINTS = 60
MOST_MARKS = 40
SHORTEST = timedelta(seconds=60)
# What people and gates decide; what is counted meanwhile is the curve itself.
MARKED = (
    engine.PHASE_OPENED,
    engine.PHASE_APPROVED,
    engine.PHASE_HALTED,
    engine.PAUSED,
    engine.RESUMED,
    engine.EXCLUDED,
    engine.CLOSED,
    engine.CANCELLED,
    engine.COMPLETED,
    engine.ROLLBACK_STARTED,
    engine.ROLLED_BACK,
)
# One pass over the rollout's rows, whatever their number; at most `POINTS` rows come back.
_ENDS = """
    SELECT least(greatest(width_bucket(extract(epoch FROM finished_at), %(from)s, %(until)s,
            %(points)s), 1), %(points)s) AS place,
        count(*) FILTER (WHERE state = 'succeeded'),
        count(*) FILTER (WHERE state = ANY(%(failed)s))
    FROM updates_deployment
    WHERE organization_id = %(organization_id)s AND rollout_id = %(rollout_id)s
        AND state = ANY(%(ended)s) AND NOT is_retried AND NOT is_excluded
        AND finished_at IS NOT NULL
    GROUP BY 1 ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Point:
    """How many devices had succeeded and failed by a moment."""

    time: datetime
    succeeded: int
    failed: int


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that was decided."""

    time: datetime
    type: str
    data: dict[str, object]
    actor_label: str


@dataclass(frozen=True, slots=True)
class Course:
    """The curve of a rollout from its start to its end, or to now; empty before the start."""

    points: tuple[Point, ...] = ()
    marks: tuple[Mark, ...] = ()
    total: int = 0


def read_course(actor: Actor, rollout_id: UUID) -> Course:
    """How many devices had succeeded and failed by when, at `POINTS` moments, and what was decided.

    Who sees the rollout sees its numbers; they name no device.
    """
    rollout = get_rollout(actor, rollout_id)
    if rollout.started_at is None:
        return Course()
    total = sum(phase.total for phase in rollout.phases.all())
    return Course(tuple(_points(rollout, rollout.started_at)), tuple(_marks(actor, rollout)), total)


def _points(rollout: Rollout, begin: datetime) -> list[Point]:
    end = max(_end(rollout), begin + SHORTEST)
    step = (end - begin) / POINTS
    counted = _counted(rollout, begin, end)
    points, succeeded, failed = [Point(begin, 0, 0)], 0, 0
    for place in range(1, POINTS + 1):
        more = counted.get(place, (0, 0))
        succeeded, failed = succeeded + more[0], failed + more[1]
        points.append(Point(begin + place * step, succeeded, failed))
    return points


def _end(rollout: Rollout) -> datetime:
    """When the work was over, or now; devices may report after a cancel."""
    is_over = rollout.finished_at is not None and not any(p.active for p in rollout.phases.all())
    return rollout.finished_at if is_over and rollout.finished_at else clock.now()


def _counted(rollout: Rollout, begin: datetime, end: datetime) -> dict[int, tuple[int, int]]:
    failed = [state.value for state in FAILED_DEPLOYMENT_STATES]
    parameters: dict[str, Any] = {
        "from": begin.timestamp(),
        "until": end.timestamp(),
        "points": POINTS,
        "failed": failed,
        "ended": ["succeeded", *failed],
        "organization_id": rollout.organization_id,
        "rollout_id": rollout.id,
    }
    with connection.cursor() as cursor:
        cursor.execute(_ENDS, parameters)
        return {place: (succeeded, failures) for place, succeeded, failures in cursor.fetchall()}


def _marks(actor: Actor, rollout: Rollout) -> list[Mark]:
    """The newest of what was decided, oldest first."""
    rows = RolloutEvent.objects.for_org(actor.organization_id)
    found = rows.filter(rollout_id=rollout.id, type__in=MARKED, time__gte=rollout.started_at)
    newest = found.order_by("-sequence")[:MOST_MARKS]
    return [Mark(e.time, e.type, e.data, e.actor_label) for e in reversed(list(newest))]
