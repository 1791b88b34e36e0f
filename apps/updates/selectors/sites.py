"""At which sites devices are, and how many of each are at work in rollouts that limit that."""

from collections.abc import Collection, Sequence
from uuid import UUID

from django.db import connection

from apps.updates.domain.states import ACTIVE_DEPLOYMENT_STATES

# As the device's agent tells it with its other facts; devices without the label are one site.
_SITE_OF = "coalesce(device.inventory -> 'facts' ->> asked.label, '')"
_SITES = f"""
    SELECT asked.label, device.id, {_SITE_OF}
    FROM unnest(%(labels)s::text[]) AS asked (label)
    CROSS JOIN devices_device AS device
    WHERE device.organization_id = %(organization_id)s AND device.id = ANY(%(devices)s)
"""  # noqa: S608 - the only part put in is a constant

# By the site where they began: labels may change while a device is at work.
_AT_WORK = """
    SELECT rollout_id, site, count(*) FROM updates_deployment
    WHERE organization_id = %(organization_id)s AND rollout_id = ANY(%(rollouts)s)
        AND state = ANY(%(states)s) AND site IS NOT NULL
    GROUP BY rollout_id, site
"""


def sites_of(
    organization_id: UUID, labels: Collection[str], device_ids: Sequence[UUID]
) -> dict[tuple[str, UUID], str]:
    """The site of each of these devices, by the label that tells sites apart and its id."""
    with connection.cursor() as cursor:
        cursor.execute(
            _SITES,
            {
                "organization_id": organization_id,
                "labels": sorted(labels),
                "devices": list(device_ids),
            },
        )
        return {(label, device_id): site for label, device_id, site in cursor.fetchall()}


def at_work_by_site(
    organization_id: UUID, rollout_ids: Collection[UUID]
) -> dict[tuple[UUID, str], int]:
    """How many devices of each site are at work, in each of these rollouts."""
    with connection.cursor() as cursor:
        cursor.execute(
            _AT_WORK,
            {
                "organization_id": organization_id,
                "rollouts": list(rollout_ids),
                "states": [state.value for state in ACTIVE_DEPLOYMENT_STATES],
            },
        )
        return {(rollout_id, site): number for rollout_id, site, number in cursor.fetchall()}
