"""Which devices of a rollout have something to go back to, and what."""

from uuid import UUID

from django.db import connection

from apps.core.actors import Actor
from apps.core.authz import require
from apps.updates.domain.states import DeploymentState
from apps.updates.models import Release, Rollout
from apps.updates.permissions import ROLL_BACK_ROLLOUT
from apps.updates.selectors.rollouts import get_rollout, reaches_rollout
from apps.updates.types import Target

# What each device of a rollout had before: the release of the same name that its latest earlier
# deployment put there. Devices that came back on their own, or never began, have it still;
# those that somebody pinned keep what they have.
EARLIER = """
    SELECT deployment.device_id, earlier.release_id
    FROM updates_deployment AS deployment
    JOIN updates_release AS release ON release.id = deployment.release_id
    JOIN devices_device AS device ON device.id = deployment.device_id
        AND device.lifecycle = 'active'
    CROSS JOIN LATERAL (
        SELECT before.release_id FROM updates_deployment AS before
        JOIN updates_release AS had ON had.id = before.release_id AND had.name = release.name
            AND had.recalled_at IS NULL AND had.files_removed_at IS NULL
        WHERE before.organization_id = deployment.organization_id
            AND before.device_id = deployment.device_id AND before.state = 'succeeded'
            AND before.release_id <> deployment.release_id
            AND before.finished_at <= deployment.created_at
        ORDER BY before.finished_at DESC LIMIT 1
    ) AS earlier
    WHERE deployment.organization_id = %s AND deployment.rollout_id = %s
        AND NOT deployment.is_retried AND deployment.state = ANY(%s)
        AND NOT EXISTS (
            SELECT 1 FROM updates_device_hold AS hold
            WHERE hold.organization_id = deployment.organization_id
                AND hold.device_id = deployment.device_id AND hold.kind = 'pinned'
                AND hold.ended_at IS NULL AND (hold.until IS NULL OR hold.until > now()))
"""
# Devices that may have a release of the rollout now, or will soon.
TOUCHED = [
    s.value
    for s in (
        DeploymentState.INSTALLING,
        DeploymentState.REBOOTING,
        DeploymentState.VERIFYING,
        DeploymentState.SUCCEEDED,
        DeploymentState.FAILED,
        DeploymentState.TIMED_OUT,
    )
]


def preview_roll_back(actor: Actor, rollout_id: UUID) -> list[tuple[Release, int]]:
    """How many devices a roll back would bring to which release, the most frequent first.

    For those who may roll it back. A rollout that devices are still at can have more later.
    """
    rollout = get_rollout(actor, rollout_id)
    if not reaches_rollout(actor, ROLL_BACK_ROLLOUT, Target.restore(rollout.target)):
        require(actor, ROLL_BACK_ROLLOUT)
    counted = count_reversible(actor, rollout)
    rows = Release.objects.for_org(actor.organization_id)
    releases = rows.in_bulk([release_id for release_id, _ in counted])
    return [(releases[release_id], number) for release_id, number in counted]


def count_reversible(actor: Actor, source: Rollout) -> list[tuple[UUID, int]]:
    """How many devices of a rollout would go back to which release, the most frequent first."""
    statement = f"SELECT release_id, count(*) FROM ({EARLIER}) AS back GROUP BY 1 ORDER BY 2 DESC"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(statement, [actor.organization_id, source.id, TOUCHED])
        return [(release_id, int(number)) for release_id, number in cursor.fetchall()]
