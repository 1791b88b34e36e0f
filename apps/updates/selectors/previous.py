"""What devices of rollouts had before, for lists."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from django.db import connection

from apps.core.actors import Actor
from apps.updates.models import Rollout

# Devices that are asked per rollout: a list says what is usual, a roll back looks at each one.
SAMPLE = 20
_PREVIOUS = """
    SELECT DISTINCT asked.id, earlier.version
    FROM unnest(%s::uuid[]) AS asked (id)
    CROSS JOIN LATERAL (
        SELECT device_id, release_id, created_at FROM updates_deployment
        WHERE organization_id = %s AND rollout_id = asked.id LIMIT %s
    ) AS deployment
    JOIN updates_release AS release ON release.id = deployment.release_id
    CROSS JOIN LATERAL (
        SELECT had.version FROM updates_deployment AS before
        JOIN updates_release AS had ON had.id = before.release_id AND had.name = release.name
        WHERE before.organization_id = %s AND before.device_id = deployment.device_id
            AND before.state = 'succeeded' AND before.finished_at <= deployment.created_at
        ORDER BY before.finished_at DESC LIMIT 1
    ) AS earlier
    WHERE earlier.version <> release.version
"""


def previous_versions(actor: Actor, rollouts: Sequence[Rollout]) -> dict[UUID, list[str]]:
    """The versions that devices of these rollouts had before, by rollout, as a sample shows them.

    The caller has read the rollouts, and with them the right to see them.
    """
    started = [rollout.id for rollout in rollouts if rollout.started_at]
    if not started:
        return {}
    organization_id = actor.organization_id
    found: dict[UUID, list[str]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_PREVIOUS, [started, organization_id, SAMPLE, organization_id])
        for rollout_id, version in cursor.fetchall():
            found[rollout_id].append(version)
    return {rollout_id: sorted(versions) for rollout_id, versions in found.items()}
