"""A rollout's log as people read it: the newest first, page after page."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from apps.core.actors import Actor
from apps.updates.models import RolloutEvent
from apps.updates.selectors.rollouts import get_rollout_id


def list_moments(
    actor: Actor,
    rollout_id: UUID,
    *,
    limit: int,
    before: datetime | None = None,
    without: Collection[str] = (),
) -> list[RolloutEvent]:
    """The last entries of a rollout's log, newest first: from before a moment, and not of some
    types, where that is asked."""
    get_rollout_id(actor, rollout_id)
    rows = RolloutEvent.objects.for_org(actor.organization_id).filter(rollout_id=rollout_id)
    if before is not None:
        rows = rows.filter(time__lt=before)
    return list(rows.exclude(type__in=without).order_by("-sequence")[:limit])
