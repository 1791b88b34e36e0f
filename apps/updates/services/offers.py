"""Handing deployments to devices, and taking their reports. Gateways call this, in batches."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

from django.db import connection

from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require
from apps.events.services.outbox import publish
from apps.updates.domain.plan import Plan
from apps.updates.domain.states import ACTIVE_DEPLOYMENT_STATES, DeploymentState
from apps.updates.models import Component, Deployment, Release, Rollout
from apps.updates.permissions import CLAIM_DEPLOYMENTS
from apps.updates.selectors.signing import offered_component
from apps.updates.selectors.zones import devices_without_zone, organization_zone
from apps.updates.services.baselines import keep_baselines
from apps.updates.services.capacity import LIMITS, Capacity, find_capacity, note_starts
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
    SELECT id, is_limited FROM updates_rollout
    WHERE organization_id = %(organization_id)s AND state = 'running'
"""

# What a device does next: the highest priority first, then the oldest rollout.
_ORDER = "ORDER BY rollout.priority DESC, rollout.started_at, rollout.id LIMIT 1"
_NEXT = """
    SELECT waiting.id, waiting.rollout_id, waiting.device_id, waiting.phase_index,
        waiting.position, waiting.release_id, rollout.deployment_timeout_seconds AS seconds
    FROM updates_deployment AS waiting
    JOIN updates_rollout AS rollout ON rollout.id = waiting.rollout_id
        AND rollout.organization_id = waiting.organization_id
    WHERE waiting.organization_id = %(organization_id)s
        AND waiting.device_id = free.device_id AND waiting.state = 'waiting'
        AND rollout.state = 'running' AND waiting.phase_index <= rollout.open_phase
        AND (waiting.not_before IS NULL OR waiting.not_before <= %(at)s)
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
    CROSS JOIN LATERAL ({_NEXT} {{limits}} {_ORDER}) AS next
    WHERE busy.found IS NULL
    LIMIT %(limit)s
"""

# Shared with other claims, but of limited rollouts one claim counts at a time. Whoever pauses or
# cancels waits until the claim is stored, and no claim begins after that.
_HOLD = """
    SELECT id FROM updates_rollout
    WHERE organization_id = %(organization_id)s AND id = ANY(%(rollouts)s) AND state = 'running'
        AND is_limited = %(limited)s
    ORDER BY id FOR {lock}
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
        {_NEXT} AND rollout.id = ANY(%(rollouts)s) {{limits}}
        {_ORDER}
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
    release_id: UUID


def claim_deployments(actor: Actor, device_ids: Sequence[UUID], limit: int = 1000) -> list[Offer]:
    """Hands out the next deployment of each of these devices that is free to start.

    A device works on one deployment at a time, that of the rollout with the highest priority first,
    then that of the oldest. Only active devices, running rollouts, open phases and open windows
    count, and no more start than rates and numbers in flight allow. From here on the deadline
    runs. Safe to call from several gateways at once: a deployment is handed out once.
    """
    require(actor, CLAIM_DEPLOYMENTS)
    capacity = Capacity()
    claims = _claim(actor, capacity, device_ids, limit, clock.now()) if device_ids else []
    if not claims:
        return []
    note_moves(actor, [_move(claim) for claim in claims])
    note_starts(actor, capacity)
    per_rollout = Counter(claim.rollout_id for claim in claims)
    publish(actor, *(DeploymentOffered(rollout_id=r, count=n) for r, n in per_rollout.items()))
    offers = _offers(actor, claims)
    keep_baselines(actor, offers)
    return offers


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
    values = rows.values_list(
        "id", "rollout_id", "device_id", "phase_index", "deadline_at", "release_id"
    )
    return _offers(actor, [_Claim(*row) for row in values])


def _claim(
    actor: Actor, capacity: Capacity, device_ids: Sequence[UUID], limit: int, at: datetime
) -> list[_Claim]:
    """`capacity` knows afterwards what was allowed and what of it was taken."""
    scope: dict[str, Any] = {"organization_id": actor.organization_id, "at": at}
    with connection.cursor() as cursor:
        running = _fetch(cursor, _RUNNING, scope)
        limited = [rollout_id for rollout_id, is_limited in running if is_limited]
        if not running:
            return []
        limits = LIMITS if limited else ""
        if limited:
            find_capacity(actor, capacity, limited, device_ids, at)
            scope |= capacity.parameters
        wanted = _fetch(
            cursor,
            _WANTED.format(limits=limits),
            {**scope, "devices": list(device_ids), "limit": limit},
        )
        held = _hold(cursor, scope, {rollout_id for _, rollout_id in wanted}, limited)
        if not held:
            return []
        devices = sorted(device_id for device_id, _ in wanted)
        find_capacity(actor, capacity, held & {*limited}, devices, at)
        scope |= {"rollouts": [*held], **(capacity.parameters if limited else {})}
        scope["devices"] = [row[0] for row in _fetch(cursor, _FREE, {**scope, "devices": devices})]
        chosen = _fetch(cursor, _CHOOSE.format(limits=limits), scope)
        claims = _within(capacity, chosen, at)
        for deadline in {claim.deadline for claim in claims}:
            ids = [claim.id for claim in claims if claim.deadline == deadline]
            cursor.execute(_OFFER, {**scope, "ids": ids, "deadline": deadline})
    return claims


def _hold(
    cursor: Any, scope: dict[str, Any], rollout_ids: set[UUID], limited: Sequence[UUID]
) -> set[UUID]:
    """Locks those of these rollouts that are running still, in the order of their ids, always."""
    held: set[UUID] = set()
    for is_limited, ids in groupby(sorted(rollout_ids), key=lambda id_: id_ in limited):
        lock = "NO KEY UPDATE" if is_limited else "SHARE"
        parameters = {**scope, "rollouts": [*ids], "limited": is_limited}
        held |= {row[0] for row in _fetch(cursor, _HOLD.format(lock=lock), parameters)}
    return held


def _within(capacity: Capacity, chosen: Sequence[Any], at: datetime) -> list[_Claim]:
    """As many as there is room for, those that come first in their rollout first."""
    return [
        _Claim(id_, rollout_id, device_id, phase, at + timedelta(seconds=seconds), release_id)
        for id_, rollout_id, device_id, phase, _position, release_id, seconds in sorted(
            chosen, key=lambda row: row[4]
        )
        if capacity.take(rollout_id, phase)
    ]


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
    found = Rollout.objects.for_org(actor.organization_id).filter(
        id__in={c.rollout_id for c in claims}
    )
    rollouts = {
        id_: (seconds, Plan.restore(plan) if plan else Plan())
        for id_, seconds, plan in found.values_list("id", "deployment_timeout_seconds", "plan")
    }
    rows = Release.objects.for_org(actor.organization_id)
    releases = {r.id: r for r in rows.filter(id__in={c.release_id for c in claims})}
    parts = _components(actor, releases)
    zones = _zones(actor, claims, {id_: plan for id_, (_, plan) in rollouts.items()})
    offers = [
        _offer(
            actor,
            claim,
            releases[claim.release_id],
            parts[claim.release_id],
            rollouts[claim.rollout_id][0],
            _in_zone(rollouts[claim.rollout_id][1], zones.get(claim.id, "")),
        )
        for claim in claims
    ]
    return instruct(actor, offers)


def _zones(actor: Actor, claims: list[_Claim], plans: dict[UUID, Plan]) -> dict[UUID, str]:
    """The organization's zone, for deployments with windows of devices that tell none.

    The device looks at its windows again: by the same time as `services.capacity` did.
    """
    local = {
        id_
        for id_, plan in plans.items()
        if not plan.schedule.is_always_open and not plan.schedule.time_zone
    }
    asked = [claim for claim in claims if claim.rollout_id in local]
    if not asked:
        return {}
    silent = devices_without_zone(actor.organization_id, {claim.device_id for claim in asked})
    zone = organization_zone(actor.organization_id) if silent else ""
    return {claim.id: zone for claim in asked if claim.device_id in silent}


def _in_zone(plan: Plan, zone: str) -> Plan:
    return replace(plan, schedule=replace(plan.schedule, time_zone=zone)) if zone else plan


def _components(actor: Actor, release_ids: Collection[UUID]) -> dict[UUID, list[Component]]:
    rows = Component.objects.for_org(actor.organization_id).filter(release_id__in=release_ids)
    parts: dict[UUID, list[Component]] = defaultdict(list)
    for component in rows.select_related("artifact").order_by("position"):
        parts[component.release_id].append(component)
    return parts


def _offer(
    actor: Actor,
    claim: _Claim,
    release: Release,
    parts: list[Component],
    seconds: int,
    plan: Plan,
) -> Offer:
    return Offer(
        deployment_id=claim.id,
        device_id=claim.device_id,
        rollout_id=claim.rollout_id,
        release_name=release.name,
        release_version=release.version,
        components=tuple(
            offered_component(release, part, make_link(actor, claim.id, part.artifact.sha256))
            for part in parts
        ),
        lease_seconds=seconds,
        deadline=claim.deadline,
        bundle_mode=release.bundle_mode,
        plan=plan,
        allow_downgrade=plan.installation.allow_downgrade,
    )
