"""Reading what people were told about rollouts."""

from uuid import UUID

from apps.core.actors import Actor
from apps.core.pagination import Page, PageRequest, paginate
from apps.updates.models import RolloutNotification
from apps.updates.selectors.rollouts import get_rollout_id


def list_rollout_notifications(
    actor: Actor, rollout_id: UUID, page: PageRequest
) -> Page[RolloutNotification]:
    """Mails about a rollout that the actor may see, newest first."""
    get_rollout_id(actor, rollout_id)
    rows = RolloutNotification.objects.for_org(actor.organization_id).filter(rollout_id=rollout_id)
    return paginate(rows, page, order_by=["-created_at", "-id"])
