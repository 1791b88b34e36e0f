"""Handing deployments to devices, and taking their reports. Gateways call this, in batches."""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain, groupby
from operator import attrgetter, itemgetter
from typing import Any
from uuid import UUID

from django.db import connection

from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require
from apps.devices.domain.states import Lifecycle
from apps.events.services.outbox import publish
from apps.updates.domain.plan import Plan
from apps.updates.domain.states import ACTIVE_DEPLOYMENT_STATES
from apps.updates.models import Component, Deployment, Release, Rollout
from apps.updates.permissions import CLAIM_DEPLOYMENTS
from apps.updates.selectors.signing import allows_unsigned, offered_component
from apps.updates.selectors.zones import devices_without_zone, organization_zone
from apps.updates.services.baselines import keep_baselines
from apps.updates.services.capacity import LIMITS, Capacity, find_capacity, note_starts
from apps.updates.services.instructions import instruct
from apps.updates.services.links import link_maker
from apps.updates.services.moves import note_starting
from apps.updates.services.reports import apply_reports
from apps.updates.types import DeploymentOffered, Offer, OfferedComponent

__all__ = ["apply_reports", "claim_deployments", "offer_for_device", "offers_for_devices"]

# Where a chosen row has the place of its device in the rollout.
_POSITION = 4

_ACTIVE = "('" + "', '".join(s.value for s in ACTIVE_DEPLOYMENT_STATES) + "')"

# Every probe of a table goes through LATERAL … LIMIT: one look into an index per device, whatever
# the planner believes about a table that has just been filled and that nobody has analyzed yet.

_RUNNING = """
    SELECT id, is_limited FROM updates_rollout
    WHERE organization_id = %(organization_id)s AND state = 'running'
"""

# What a device does next: the highest priority first, then the oldest rollout. Ids that many rows
# share come as text, which is compared and hashed ten times as fast as UUIDs are.
_ORDER = "ORDER BY rollout.priority DESC, rollout.started_at, rollout.id LIMIT 1"
_NEXT = """
    SELECT waiting.id, waiting.rollout_id::text, waiting.device_id, waiting.phase_index,
        waiting.position, waiting.release_id::text, rollout.deployment_timeout_seconds AS seconds
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
        deadline_at = %(deadline)s, lease_until = %(deadline)s,
        site = %(sites)s::jsonb ->> device_id::text
    WHERE organization_id = %(organization_id)s AND id = ANY(%(ids)s::uuid[])
"""


@dataclass(slots=True)
class _Work:
    """Deployments under way that differ in nothing that an offer needs but their devices.

    `starts` holds the pairs (deployment, device).
    """

    rollout_id: UUID
    phase_index: int
    release_id: UUID
    deadline: datetime
    starts: list[tuple[UUID, UUID]] = field(default_factory=list)


def claim_deployments(actor: Actor, device_ids: Sequence[UUID], limit: int = 1000) -> list[Offer]:
    """Hands out the next deployment of each of these devices that is free to start.

    A device works on one deployment at a time, that of the rollout with the highest priority first,
    then that of the oldest. Only active devices, running rollouts, open phases and open windows
    count, and no more start than rates and numbers in flight allow. From here on the deadline
    runs. Safe to call from several gateways at once: a deployment is handed out once.
    """
    require(actor, CLAIM_DEPLOYMENTS)
    capacity = Capacity()
    works = _claim(actor, capacity, device_ids, limit, clock.now()) if device_ids else []
    if not works:
        return []
    per_phase: Counter[tuple[UUID, int]] = Counter()
    per_rollout: Counter[UUID] = Counter()
    for work in works:
        per_phase[work.rollout_id, work.phase_index] += len(work.starts)
        per_rollout[work.rollout_id] += len(work.starts)
    note_starting(actor, per_phase)
    note_starts(actor, capacity)
    publish(actor, *(DeploymentOffered(rollout_id=r, count=n) for r, n in per_rollout.items()))
    offers = _offers(actor, works)
    keep_baselines(actor, offers)
    return offers


def offer_for_device(actor: Actor, device_id: UUID) -> Offer | None:
    """The deployment that a device is working on, with fresh links; None where there is none.

    For a device that came back, or whose links have expired. The deadline stays.
    """
    return next(iter(offers_for_devices(actor, [device_id])), None)


def offers_for_devices(actor: Actor, device_ids: Collection[UUID]) -> list[Offer]:
    """The deployments that these devices are working on, with fresh links.

    Those in quarantine are told nothing: somebody may have them who should not.
    """
    require(actor, CLAIM_DEPLOYMENTS)
    rows = Deployment.objects.for_org(actor.organization_id).filter(
        device_id__in=device_ids,
        state__in=ACTIVE_DEPLOYMENT_STATES,
        device__lifecycle=Lifecycle.ACTIVE,
    )
    columns = ("rollout_id", "phase_index", "release_id", "deadline_at")
    works: dict[Any, _Work] = {}
    for deployment_id, of_device, *shared in rows.values_list("id", "device_id", *columns):
        work = works.setdefault((*shared,), _Work(*shared))
        work.starts.append((deployment_id, of_device))
    return _offers(actor, [*works.values()])


def _claim(
    actor: Actor, capacity: Capacity, device_ids: Sequence[UUID], limit: int, at: datetime
) -> list[_Work]:
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
            {**scope, "devices": _array(device_ids), "limit": limit},
        )
        rollouts = {UUID(rollout_id) for rollout_id in {rollout_id for _, rollout_id in wanted}}
        held = _hold(cursor, scope, rollouts, limited)
        if not held:
            return []
        devices = sorted((device_id for device_id, _ in wanted), key=attrgetter("int"))
        find_capacity(actor, capacity, held & {*limited}, devices, at)
        scope |= {"rollouts": [*held], **(capacity.parameters if limited else {})}
        free = _fetch(cursor, _FREE, {**scope, "devices": _array(devices)})
        scope["devices"] = _array(row[0] for row in free)
        chosen = _fetch(cursor, _CHOOSE.format(limits=limits), scope)
        works = _within(capacity, chosen, at) if limited else _grouped(chosen, at)
        scope["sites"] = json.dumps(capacity.begun)
        for deadline in {work.deadline for work in works}:
            starts = chain.from_iterable(w.starts for w in works if w.deadline == deadline)
            ids = _array(deployment_id for deployment_id, _ in starts)
            cursor.execute(_OFFER, {**scope, "ids": ids, "deadline": deadline})
    return works


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


def _within(capacity: Capacity, chosen: Iterable[Any], at: datetime) -> list[_Work]:
    """As many as there is room for, those that come first in their rollout first."""
    ordered = sorted(chosen, key=itemgetter(_POSITION))
    return _grouped((row for row in ordered if capacity.take(UUID(row[1]), row[3], row[2])), at)


def _grouped(chosen: Iterable[Any], at: datetime) -> list[_Work]:
    works: dict[Any, _Work] = {}
    for id_, rollout_id, device_id, phase, _position, release_id, seconds in chosen:
        key = (rollout_id, phase, release_id, seconds)
        work = works.get(key)
        if work is None:
            deadline = at + timedelta(seconds=seconds)
            work = works[key] = _Work(UUID(rollout_id), phase, UUID(release_id), deadline)
        work.starts.append((id_, device_id))
    return [*works.values()]


def _array(ids: Iterable[UUID]) -> str:
    """As PostgreSQL reads an array; ten times as fast as the driver's list of UUIDs."""
    return "{" + ",".join([f"{id_.int:032x}" for id_ in ids]) + "}"


def _fetch(cursor: Any, statement: str, parameters: dict[str, Any]) -> list[Any]:
    cursor.execute(statement, parameters)
    rows: list[Any] = cursor.fetchall()
    return rows


def _offers(actor: Actor, works: Sequence[_Work]) -> list[Offer]:
    if not works:
        return []
    found = Rollout.objects.for_org(actor.organization_id).filter(
        id__in={work.rollout_id for work in works}
    )
    rollouts = {
        id_: (seconds, Plan.restore(plan).told if plan else Plan())
        for id_, seconds, plan in found.values_list("id", "deployment_timeout_seconds", "plan")
    }
    rows = Release.objects.for_org(actor.organization_id)
    releases = {r.id: r for r in rows.filter(id__in={work.release_id for work in works})}
    parts, link = _components(actor, releases), link_maker(actor)
    is_trial = allows_unsigned(actor.organization_id)
    zoned = _zoned(actor, works, {id_: plan for id_, (_, plan) in rollouts.items()})
    offers: list[Offer] = []
    for work in works:
        release, own = releases[work.release_id], parts[work.release_id]
        seconds, plan = rollouts[work.rollout_id]
        offers += [
            Offer(
                deployment_id=id_,
                device_id=device_id,
                rollout_id=work.rollout_id,
                release_name=release.name,
                release_version=release.version,
                components=tuple([part.linked(link(id_, part.sha256)) for part in own]),
                lease_seconds=seconds,
                deadline=work.deadline,
                bundle_mode=release.bundle_mode,
                plan=zoned.get(id_, plan) if zoned else plan,
                allow_downgrade=plan.installation.allow_downgrade,
                is_trial_unsigned=is_trial,
            )
            for id_, device_id in work.starts
        ]
    return instruct(actor, offers)


def _zoned(actor: Actor, works: Iterable[_Work], plans: Mapping[UUID, Plan]) -> dict[UUID, Plan]:
    """Plans in the organization's zone, for deployments with windows of devices that tell none.

    The device looks at its windows again: by the same time as `services.capacity` did.
    """
    local = {
        id_
        for id_, plan in plans.items()
        if not plan.schedule.is_always_open and not plan.schedule.time_zone
    }
    asked = [work for work in works if work.rollout_id in local]
    if not asked:
        return {}
    devices = {device_id for work in asked for _, device_id in work.starts}
    silent = devices_without_zone(actor.organization_id, devices)
    zone = organization_zone(actor.organization_id) if silent else ""
    if not zone:
        return {}
    moved = {work.rollout_id: _in_zone(plans[work.rollout_id], zone) for work in asked}
    return {
        id_: moved[work.rollout_id]
        for work in asked
        for id_, device_id in work.starts
        if device_id in silent
    }


def _in_zone(plan: Plan, zone: str) -> Plan:
    return replace(plan, schedule=replace(plan.schedule, time_zone=zone))


def _components(
    actor: Actor, releases: Mapping[UUID, Release]
) -> dict[UUID, list[OfferedComponent]]:
    """What each release consists of, without the links, which every deployment has of its own."""
    rows = Component.objects.for_org(actor.organization_id).filter(release_id__in=releases)
    parts: dict[UUID, list[OfferedComponent]] = defaultdict(list)
    for component in rows.select_related("artifact").order_by("position"):
        release = releases[component.release_id]
        parts[release.id].append(offered_component(release, component))
    return parts
