"""What a rollout's verdict says besides its log: who is offline now, and whether it is signed."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.core.cache import cache
from django.db import connection

from apps.core import clock
from apps.core.actors import Actor
from apps.devices.domain.states import CONNECTED
from apps.updates.domain.states import RolloutState
from apps.updates.domain.verdict import Standing, verdict
from apps.updates.models import Rollout
from apps.updates.selectors.reasons import TO_GO
from apps.updates.selectors.signing import allows_unsigned, unsigned_among

AT_WORK = (RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.HALTED)
OVER = (RolloutState.COMPLETED, RolloutState.ROLLED_BACK, RolloutState.CANCELLED)


FRESH_SECONDS = 5
# As `apps.devices.filters.has_connectivity` says of one that is offline or was never seen.
_OFFLINE = """
    SELECT deployment.rollout_id, count(*)
    FROM updates_deployment AS deployment
    JOIN updates_rollout AS rollout ON rollout.id = deployment.rollout_id
    JOIN devices_device_state AS state ON state.device_id = deployment.device_id
    WHERE deployment.organization_id = %(organization_id)s
        AND deployment.rollout_id = ANY(%(rollout_ids)s) AND deployment.state = ANY(%(to_go)s)
        AND deployment.phase_index <= rollout.open_phase
        AND (state.connectivity <> ALL(%(connected)s) OR state.offline_at IS NULL
            OR state.offline_at <= %(at)s)
    GROUP BY 1
"""


def verdicts(actor: Actor, rollouts: Sequence[Rollout]) -> dict[UUID, str]:
    """The sentence about each of these rollouts, by id, as every door says it.

    A page of a list costs as many queries as one of them.

    The caller has read the rollouts, and with them the right to see them.
    """
    working = [rollout.id for rollout in rollouts if rollout.state in AT_WORK]
    offline = _offline(actor, working) if working else {}
    unsigned = _unsigned(actor, [each for each in rollouts if each.state not in OVER])
    now = clock.now()
    return {
        rollout.id: verdict(
            rollout, now, Standing(offline.get(rollout.id, 0), rollout.release_id in unsigned)
        )
        for rollout in rollouts
    }


def count_offline(actor: Actor, rollout: Rollout) -> int:
    """How many devices of the phases that were opened are still to finish and not connected now."""
    return _offline(actor, [rollout.id]).get(rollout.id, 0)


def _offline(actor: Actor, rollout_ids: Sequence[UUID]) -> dict[UUID, int]:
    """By rollout; a page that is open in many tabs counts once in `FRESH_SECONDS`."""
    keys = {_key(rollout_id): rollout_id for rollout_id in rollout_ids}
    known = {keys[key]: number for key, number in cache.get_many(keys).items()}
    missing = [rollout_id for rollout_id in rollout_ids if rollout_id not in known]
    if missing:
        counted = _count(actor, missing)
        cache.set_many({_key(id_): counted.get(id_, 0) for id_ in missing}, FRESH_SECONDS)
        known |= counted
    return known


def _key(rollout_id: UUID) -> str:
    return f"rollout_offline:{rollout_id}"


def _count(actor: Actor, rollout_ids: Sequence[UUID]) -> dict[UUID, int]:
    parameters: dict[str, Any] = {
        "organization_id": actor.organization_id,
        "rollout_ids": list(rollout_ids),
        "to_go": [state.value for state in TO_GO],
        "connected": [state.value for state in CONNECTED],
        "at": clock.now(),
    }
    with connection.cursor() as cursor:
        cursor.execute(_OFFLINE, parameters)
        return dict(cursor.fetchall())


def _unsigned(actor: Actor, rollouts: Sequence[Rollout]) -> set[UUID]:
    """The releases that go out only because the organization is in its trial mode."""
    if not rollouts or not allows_unsigned(actor.organization_id):
        return set()
    return unsigned_among(actor, {rollout.release_id for rollout in rollouts})
