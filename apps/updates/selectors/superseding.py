"""Which rollouts take the place of older ones, and on which devices."""

from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet

from apps.core.actors import Actor
from apps.core.authz import require
from apps.updates.domain.states import ACTIVE_DEPLOYMENT_STATES, RolloutState
from apps.updates.models import Phase, Rollout
from apps.updates.permissions import VIEW_ROLLOUTS

# In these devices wait, for their turn or for a person.
WITH_WAITING = (RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.HALTED)
_GOING_BACK = (RolloutState.ROLLING_BACK, RolloutState.ROLLED_BACK)
_ACTIVE = ", ".join(f"'{state.value}'" for state in ACTIVE_DEPLOYMENT_STATES)
# It is a device's turn where its phase is open, and it has had it where it succeeded. Whoever
# failed there may still get the older release. One look into an index per device.
_REPLACED = f"""
    SELECT waiting.id FROM updates_deployment AS waiting
    CROSS JOIN LATERAL (
        SELECT 1 FROM updates_deployment AS later
        WHERE later.organization_id = %(organization_id)s
            AND later.device_id = waiting.device_id AND later.rollout_id = %(newer_id)s
            AND NOT later.is_retried AND (later.state = 'succeeded'
                OR (%(is_under_way)s AND later.phase_index <= %(open_phase)s
                    AND later.state IN ('waiting', {_ACTIVE})))
        LIMIT 1
    ) AS replaced
    WHERE waiting.organization_id = %(organization_id)s AND waiting.rollout_id = %(older_id)s
        AND waiting.state = 'waiting'
    LIMIT %(limit)s
"""  # noqa: S608 - the only part put in is a constant


def superseding_rollouts(actor: Actor, older: Rollout) -> QuerySet[Rollout]:
    """The rollouts that take the place of this one, the newest first.

    They began later with a release of the same name, and their plan says so. None takes the place
    of a roll back, nor of one with a higher priority, and one that is taken back takes none.
    """
    rows = Rollout.objects.for_org(actor.organization_id)
    if older.rolls_back_id is not None or older.started_at is None:
        return rows.none()
    newer = _superseding(rows).filter(
        release__name=older.release.name,
        started_at__gt=older.started_at,
        priority__gte=older.priority,
    )
    return newer.select_related("release").order_by("-started_at", "-id")


def list_superseded_rollout_ids(actor: Actor) -> list[UUID]:
    """Rollouts with devices that wait, and whose place others may take."""
    require(actor, VIEW_ROLLOUTS)
    rows = Rollout.objects.for_org(actor.organization_id)
    newer = _superseding(rows).filter(
        release__name=OuterRef("release__name"),
        started_at__gt=OuterRef("started_at"),
        priority__gte=OuterRef("priority"),
    )
    waiting = Phase.objects.for_org(actor.organization_id).filter(
        rollout_id=OuterRef("id"), waiting__gt=0
    )
    found = rows.filter(
        Exists(waiting),
        Exists(newer),
        rolls_back=None,
        state__in=[state.value for state in WITH_WAITING],
    )
    return list(found.order_by("id").values_list("id", flat=True))


def replaced_deployments(older: Rollout, newer: Rollout, limit: int) -> list[UUID]:
    """The deployments that wait in the older rollout and whose devices have their turn in the
    newer one."""
    parameters: dict[str, Any] = {
        "organization_id": older.organization_id,
        "older_id": older.id,
        "newer_id": newer.id,
        "is_under_way": newer.state in (RolloutState.RUNNING, RolloutState.PAUSED),
        "open_phase": newer.open_phase,
        "limit": limit,
    }
    with connection.cursor() as cursor:
        cursor.execute(_REPLACED, parameters)
        return [row[0] for row in cursor.fetchall()]


def _superseding(rows: QuerySet[Rollout]) -> QuerySet[Rollout]:
    is_kept = ~Q(state__in=[state.value for state in _GOING_BACK])
    found: QuerySet[Rollout] = rows.filter(is_kept, plan__supersedes=True, rolls_back=None)
    return found
