"""How far the devices of a rollout are, for those who think of stopping it."""

from uuid import UUID

from apps.core.actors import Actor
from apps.updates.domain.states import STOPPABLE_DEPLOYMENT_STATES
from apps.updates.models import Deployment
from apps.updates.selectors.rollouts import get_rollout_id


def count_stoppable(actor: Actor, rollout_id: UUID) -> int:
    """How many devices are at work and would stop if the rollout was cancelled now."""
    get_rollout_id(actor, rollout_id)
    rows = Deployment.objects.for_org(actor.organization_id)
    return rows.filter(rollout_id=rollout_id, state__in=STOPPABLE_DEPLOYMENT_STATES).count()
