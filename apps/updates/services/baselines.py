"""What devices reported before an update, for gates that compare with it."""

from collections.abc import Iterable

from django.db import connection

from apps.core.actors import Actor
from apps.core.authz import require
from apps.updates.domain.gates import Metric
from apps.updates.permissions import CLAIM_DEPLOYMENTS
from apps.updates.types import Offer

_FIGURES = ", ".join(f"'{metric.value}', state.{metric.value}" for metric in Metric)

# The first attempt's stays: what a failed one left behind is no measure.
_KEEP = f"""
    UPDATE updates_deployment AS deployment SET baseline = coalesce(
        (SELECT first.baseline FROM updates_deployment AS first
         WHERE first.organization_id = deployment.organization_id
            AND first.rollout_id = deployment.rollout_id
            AND first.device_id = deployment.device_id AND first.attempt = 1),
        jsonb_strip_nulls(jsonb_build_object({_FIGURES})))
    FROM devices_device_state AS state
    WHERE deployment.organization_id = %(organization_id)s AND deployment.id = ANY(%(ids)s)
        AND state.organization_id = deployment.organization_id
        AND state.device_id = deployment.device_id AND state.uptime_seconds > 0
"""  # noqa: S608 - the only part put in is made from an enumeration


def keep_baselines(actor: Actor, offers: Iterable[Offer]) -> None:
    """Keeps the last heartbeat's figures of devices that are offered something, where a gate of the
    plan looks at metrics. A device that never sent any has none. Safe to repeat.
    """
    require(actor, CLAIM_DEPLOYMENTS)
    offers = list(offers)
    plans = {offer.rollout_id: offer.plan for offer in offers if offer.plan}
    measured = {id_ for id_, plan in plans.items() if any(p.gate.conditions for p in plan.phases)}
    ids = [offer.deployment_id for offer in offers if offer.rollout_id in measured]
    if not ids:
        return
    with connection.cursor() as cursor:
        cursor.execute(_KEEP, {"organization_id": actor.organization_id, "ids": ids})
