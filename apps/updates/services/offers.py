"""Handing deployments to devices, and taking their reports. Gateways call this, in batches."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require
from apps.events.services.outbox import publish
from apps.updates.domain.states import ACTIVE_DEPLOYMENT_STATES, DeploymentState
from apps.updates.models import Component, Deployment, Rollout
from apps.updates.permissions import CLAIM_DEPLOYMENTS
from apps.updates.selectors.signing import offered_component
from apps.updates.services.instructions import instruct
from apps.updates.services.links import make_link
from apps.updates.services.moves import Move, note_moves
from apps.updates.services.reports import apply_reports
from apps.updates.types import DeploymentOffered, Offer

__all__ = ["apply_reports", "claim_deployments", "offer_for_device", "offers_for_devices"]

_ACTIVE = "('" + "', '".join(s.value for s in ACTIVE_DEPLOYMENT_STATES) + "')"

# Every probe of a table goes through LATERAL … LIMIT: one look into an index per device, whatever
# the planner believes about a table that has just been filled and that nobody has analyzed yet.

_RUNNING = """
    SELECT id FROM updates_rollout
    WHERE organization_id = %(organization_id)s AND state = 'running' LIMIT 1
"""

_NEXT = """
    SELECT waiting.id, waiting.rollout_id, waiting.device_id, waiting.phase_index,
        rollout.deployment_timeout_seconds AS seconds
    FROM updates_deployment AS waiting
    JOIN updates_rollout AS rollout ON rollout.id = waiting.rollout_id
        AND rollout.organization_id = waiting.organization_id
    WHERE waiting.organization_id = %(organization_id)s
        AND waiting.device_id = free.device_id AND waiting.state = 'waiting'
        AND rollout.state = 'running' AND waiting.phase_index <= rollout.open_phase
"""

_IDLE = f"""
    FROM unnest(%(devices)s::uuid[]) AS free (device_id)
    LEFT JOIN LATERAL (
        SELECT true AS found FROM updates_deployment AS active
        WHERE active.organization_id = %(organization_id)s
            AND active.device_id = free.device_id AND active.state IN {_ACTIVE}
        LIMIT 1
    ) AS busy ON true
"""  # noqa: S608 - the only part put in is a constant

# Idle devices that have something to do, and in which rollout; without any lock, because most of
# the time there is nothing.
_WANTED = f"""
    SELECT free.device_id, next.rollout_id {_IDLE}
    CROSS JOIN LATERAL ({_NEXT} ORDER BY rollout.started_at, rollout.id LIMIT 1) AS next
    WHERE busy.found IS NULL
    LIMIT %(limit)s
"""

# Shared with other claims; whoever pauses or cancels waits until the claim is stored, and no
# claim begins after that.
_HOLD = """
    SELECT id FROM updates_rollout
    WHERE organization_id = %(organization_id)s AND id = ANY(%(rollouts)s) AND state = 'running'
    ORDER BY id FOR SHARE
"""

# One claim per device at a time: the device's row is held, and passed over while another claim
# holds it. In a statement of its own, so that the next one sees what that other claim stored.
_FREE = """
    SELECT device.id FROM unnest(%(devices)s::uuid[]) AS wanted (id)
    CROSS JOIN LATERAL (
        SELECT found.id FROM devices_device AS found
        WHERE found.id = wanted.id AND found.organization_id = %(organization_id)s
            AND found.lifecycle = 'active'
        LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
    ) AS device
"""

_CHOOSE = f"""
    SELECT next.* {_IDLE}
    CROSS JOIN LATERAL (
        {_NEXT} AND rollout.id = ANY(%(rollouts)s)
        ORDER BY rollout.started_at, rollout.id LIMIT 1
        FOR UPDATE OF waiting SKIP LOCKED
    ) AS next
    WHERE busy.found IS NULL
"""

# No join: with the ids at hand only an index on them comes into question.
_OFFER = """
    UPDATE updates_deployment SET
        state = 'offered', offers = offers + 1, started_at = %(at)s, state_changed_at = %(at)s,
        deadline_at = %(deadline)s, lease_until = %(deadline)s
    WHERE organization_id = %(organization_id)s AND id = ANY(%(ids)s)
"""


@dataclass(frozen=True, slots=True)
class _Claim:
    """One deployment under way, as much of it as an offer needs."""

    id: UUID
    rollout_id: UUID
    device_id: UUID
    phase_index: int
    deadline: datetime


def claim_deployments(actor: Actor, device_ids: Sequence[UUID], limit: int = 1000) -> list[Offer]:
    """Hands out the next deployment of each of these devices that is free to start.

    A device works on one deployment at a time, that of the oldest rollout first. Only active
    devices, running rollouts and open phases count. From here on the deadline runs. Safe to call
    from several gateways at once: a deployment is handed out once.
    """
    require(actor, CLAIM_DEPLOYMENTS)
    claims = _claim(actor, device_ids, limit, clock.now()) if device_ids else []
    if not claims:
        return []
    note_moves(actor, [_move(claim) for claim in claims])
    per_rollout = Counter(claim.rollout_id for claim in claims)
    publish(actor, *(DeploymentOffered(rollout_id=r, count=n) for r, n in per_rollout.items()))
    return _offers(actor, claims)


def offer_for_device(actor: Actor, device_id: UUID) -> Offer | None:
    """The deployment that a device is working on, with fresh links; None where there is none.

    For a device that came back, or whose links have expired. The deadline stays.
    """
    return next(iter(offers_for_devices(actor, [device_id])), None)


def offers_for_devices(actor: Actor, device_ids: Collection[UUID]) -> list[Offer]:
    """The deployments that these devices are working on, with fresh links."""
    require(actor, CLAIM_DEPLOYMENTS)
    rows = Deployment.objects.for_org(actor.organization_id).filter(
        device_id__in=device_ids, state__in=ACTIVE_DEPLOYMENT_STATES
    )
    values = rows.values_list("id", "rollout_id", "device_id", "phase_index", "deadline_at")
    return _offers(actor, [_Claim(*row) for row in values])


def _claim(actor: Actor, device_ids: Sequence[UUID], limit: int, at: datetime) -> list[_Claim]:
    scope: dict[str, Any] = {"organization_id": actor.organization_id}
    with connection.cursor() as cursor:
        if not _fetch(cursor, _RUNNING, scope):
            return []
        wanted = _fetch(cursor, _WANTED, {**scope, "devices": list(device_ids), "limit": limit})
        rollouts = [*{rollout_id for _, rollout_id in wanted}]
        held = _fetch(cursor, _HOLD, {**scope, "rollouts": rollouts}) if wanted else []
        if not held:
            return []
        devices = sorted(device_id for device_id, _ in wanted)
        scope["rollouts"] = [row[0] for row in held]
        scope["devices"] = [row[0] for row in _fetch(cursor, _FREE, {**scope, "devices": devices})]
        chosen = _fetch(cursor, _CHOOSE, scope)
        claims = [
            _Claim(id_, rollout_id, device_id, phase, at + timedelta(seconds=seconds))
            for id_, rollout_id, device_id, phase, seconds in chosen
        ]
        for deadline in {claim.deadline for claim in claims}:
            ids = [claim.id for claim in claims if claim.deadline == deadline]
            cursor.execute(_OFFER, {**scope, "ids": ids, "at": at, "deadline": deadline})
    return claims


def _fetch(cursor: Any, statement: str, parameters: dict[str, Any]) -> list[Any]:
    cursor.execute(statement, parameters)
    rows: list[Any] = cursor.fetchall()
    return rows


def _move(claim: _Claim) -> Move:
    return Move(
        claim.id,
        claim.rollout_id,
        claim.device_id,
        claim.phase_index,
        DeploymentState.WAITING,
        DeploymentState.OFFERED,
    )


def _offers(actor: Actor, claims: Iterable[_Claim]) -> list[Offer]:
    claims = list(claims)
    rollouts = Rollout.objects.for_org(actor.organization_id).select_related("release")
    plans = {r.id: r for r in rollouts.filter(id__in={c.rollout_id for c in claims})}
    parts = _components(actor, {plan.release_id for plan in plans.values()})
    return instruct(actor, [_offer(actor, c, plans[c.rollout_id], parts) for c in claims])


def _components(actor: Actor, release_ids: Collection[UUID]) -> dict[UUID, list[Component]]:
    rows = Component.objects.for_org(actor.organization_id).filter(release_id__in=release_ids)
    parts: dict[UUID, list[Component]] = defaultdict(list)
    for component in rows.select_related("artifact").order_by("position"):
        parts[component.release_id].append(component)
    return parts


def _offer(actor: Actor, claim: _Claim, plan: Rollout, parts: dict[UUID, list[Component]]) -> Offer:
    return Offer(
        deployment_id=claim.id,
        device_id=claim.device_id,
        rollout_id=plan.id,
        release_name=plan.release.name,
        release_version=plan.release.version,
        components=tuple(
            offered_component(
                plan.release, component, make_link(actor, claim.id, component.artifact.sha256)
            )
            for component in parts[plan.release_id]
        ),
        lease_seconds=plan.deployment_timeout_seconds,
        deadline=claim.deadline,
        bundle_mode=plan.release.bundle_mode,
    )
