"""What a rollout's verdict says besides its log: who is offline now, and whether it is signed."""

from collections.abc import Sequence
from uuid import UUID

from django.db.models import Count, F

from apps.core.actors import Actor
from apps.updates.domain.states import RolloutState
from apps.updates.domain.verdict import Standing
from apps.updates.models import Deployment, Rollout
from apps.updates.selectors.reasons import is_offline_to_go
from apps.updates.selectors.signing import allows_unsigned, unsigned_among

AT_WORK = (RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.HALTED)
OVER = (RolloutState.COMPLETED, RolloutState.ROLLED_BACK, RolloutState.CANCELLED)


def standings(actor: Actor, rollouts: Sequence[Rollout]) -> dict[UUID, Standing]:
    """How these rollouts stand now, by id: a page of a list costs as many queries as one of them.

    The caller has read the rollouts, and with them the right to see them.
    """
    working = [rollout.id for rollout in rollouts if rollout.state in AT_WORK]
    offline = _offline(actor, working) if working else {}
    unsigned = _unsigned(actor, [each for each in rollouts if each.state not in OVER])
    return {
        rollout.id: Standing(offline.get(rollout.id, 0), rollout.release_id in unsigned)
        for rollout in rollouts
    }


def count_offline(actor: Actor, rollout: Rollout) -> int:
    """How many devices of the phases that were opened are still to finish and not connected now."""
    return _offline(actor, [rollout.id]).get(rollout.id, 0)


def _offline(actor: Actor, rollout_ids: Sequence[UUID]) -> dict[UUID, int]:
    rows = Deployment.objects.for_org(actor.organization_id)
    found = rows.filter(
        is_offline_to_go(actor),
        rollout_id__in=rollout_ids,
        phase_index__lte=F("rollout__open_phase"),
    )
    counted = found.order_by().values_list("rollout_id").annotate(number=Count("id"))
    return dict(counted)


def _unsigned(actor: Actor, rollouts: Sequence[Rollout]) -> set[UUID]:
    """The releases that go out only because the organization is in its trial mode."""
    if not rollouts or not allows_unsigned(actor.organization_id):
        return set()
    return unsigned_among(actor, {rollout.release_id for rollout in rollouts})
