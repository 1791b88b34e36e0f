"""What running rollouts allow at this moment: rates, numbers in flight, and windows."""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from apps.core.actors import Actor
from apps.updates.domain.plan import PhasePlan, Plan
from apps.updates.domain.rooms import room_of
from apps.updates.domain.schedule import device_zone
from apps.updates.domain.sites import SiteLimit
from apps.updates.models import Phase, Rollout
from apps.updates.selectors.sites import at_work_by_site, sites_of
from apps.updates.selectors.zones import organization_zone

# As the device's agent tells it with its other facts.
_ZONE_OF = "coalesce({device}.inventory -> 'facts' ->> 'time_zone', '')"
_ZONES = f"""
    SELECT DISTINCT {_ZONE_OF.format(device="device")} FROM devices_device AS device
    WHERE device.organization_id = %s AND device.id = ANY(%s)
"""  # noqa: S608 - the only part put in is a constant

# After the counters of the same phases, so that the rows are locked in their order already.
_START = """
    UPDATE updates_phase AS phase SET
        rate_minute = taken.minute,
        rate_started = taken.number
            + CASE WHEN phase.rate_minute = taken.minute THEN phase.rate_started ELSE 0 END
    FROM unnest(%s::uuid[], %s::int[], %s::int[], %s::int[])
        AS taken (rollout_id, phase, minute, number)
    WHERE phase.organization_id = %s AND phase.rollout_id = taken.rollout_id
        AND phase.index = taken.phase
"""


@dataclass(slots=True)
class Capacity:
    """What claims may take of limited rollouts.

    `rooms` says how many devices may start, by (rollout, phase), where that is limited; `minutes`
    which minute of a phase with a rate this is, and `taken` how many start in it; `windowed` are
    the rollouts with windows, `open_zones` the pairs (rollout, time zone) whose window is open. A
    device that has not told its zone has the zone "", which means the organization's. `sites` says
    at which site each device is, by (rollout, device), where sites have limits, and `site_rooms`
    how many may start there; `begun` are the sites of those that start, by device.
    """

    rooms: dict[tuple[UUID, int], int] = field(default_factory=dict)
    minutes: dict[tuple[UUID, int], int] = field(default_factory=dict)
    taken: Counter[tuple[UUID, int]] = field(default_factory=Counter)
    windowed: list[UUID] = field(default_factory=list)
    open_zones: list[tuple[UUID, str]] = field(default_factory=list)
    sites: dict[tuple[UUID, UUID], str] = field(default_factory=dict)
    site_rooms: dict[tuple[UUID, str], int] = field(default_factory=dict)
    begun: dict[str, str] = field(default_factory=dict)

    @property
    def parameters(self) -> dict[str, Any]:
        """As `LIMITS` wants them."""
        full = [key for key, room in self.rooms.items() if room <= 0]
        return {
            "full_rollouts": [rollout_id for rollout_id, _ in full],
            "full_phases": [phase for _, phase in full],
            "windowed": self.windowed,
            "open_rollouts": [rollout_id for rollout_id, _ in self.open_zones],
            "open_zones": [zone for _, zone in self.open_zones],
            "crowded": json.dumps(
                {
                    f"{rollout_id}{device_id}": 1
                    for (rollout_id, device_id), site in self.sites.items()
                    if self.site_rooms[rollout_id, site] <= 0
                }
            ),
        }

    def take(self, rollout_id: UUID, phase: int, device_id: UUID) -> bool:
        """Takes one device's place; says whether there was one."""
        key, site = (rollout_id, phase), self.sites.get((rollout_id, device_id))
        at = (rollout_id, site or "")
        if self.rooms.get(key, 1) <= 0 or (site is not None and self.site_rooms[at] <= 0):
            return False
        if key in self.rooms:
            self.rooms[key] -= 1
        if site is not None:
            self.site_rooms[at] -= 1
            self.begun[str(device_id)] = site
        if key in self.minutes:
            self.taken[key] += 1
        return True


# Of the next deployment of a device, where limited rollouts are running.
LIMITS = f"""
    AND NOT EXISTS (
        SELECT 1 FROM unnest(%(full_rollouts)s::uuid[], %(full_phases)s::int[])
            AS crowded (rollout_id, phase)
        WHERE crowded.rollout_id = rollout.id AND crowded.phase = waiting.phase_index)
    AND NOT %(crowded)s::jsonb ? (rollout.id::text || free.device_id::text)
    AND (rollout.id <> ALL(%(windowed)s::uuid[]) OR EXISTS (
        SELECT 1 FROM unnest(%(open_rollouts)s::uuid[], %(open_zones)s::text[])
            AS window_of (rollout_id, zone)
        JOIN devices_device AS local ON local.id = free.device_id
        WHERE window_of.rollout_id = rollout.id
            AND window_of.zone = {_ZONE_OF.format(device="local")}))
"""  # noqa: S608 - the only part put in is a constant


def find_capacity(
    actor: Actor,
    capacity: Capacity,
    rollout_ids: Collection[UUID],
    device_ids: Sequence[UUID],
    now: datetime,
) -> None:
    """Fills in what these limited rollouts allow these devices now.

    Under the rollouts' locks no other claim counts devices in; reports only make more room.
    """
    rollouts = Rollout.objects.for_org(actor.organization_id).filter(id__in=rollout_ids)
    plans = {rollout.id: Plan.restore(rollout.plan) for rollout in rollouts.only("plan")}
    phases = Phase.objects.for_org(actor.organization_id).filter(
        rollout_id__in=plans, opened_at__isnull=False
    )
    for phase in phases:
        _add_phase(capacity, plans[phase.rollout_id].phases[phase.index], phase, now)
    windowed = {id_: plan for id_, plan in plans.items() if not plan.schedule.is_always_open}
    capacity.windowed = [*windowed]
    if windowed:
        capacity.open_zones = _open_zones(actor, windowed, device_ids, now)
    limits = {id_: plan.site_limit for id_, plan in plans.items() if plan.site_limit}
    if limits:
        _add_sites(actor, capacity, limits, device_ids)


def note_starts(actor: Actor, capacity: Capacity) -> None:
    """Keeps how many devices started in this minute, where a rate says how many may."""
    if not capacity.taken:
        return
    keys = list(capacity.taken)
    columns: list[list[Any]] = [
        [rollout_id for rollout_id, _ in keys],
        [phase for _, phase in keys],
        [capacity.minutes[key] for key in keys],
        [capacity.taken[key] for key in keys],
    ]
    with connection.cursor() as cursor:
        cursor.execute(_START, [*columns, actor.organization_id])


def _add_phase(capacity: Capacity, plan: PhasePlan, phase: Phase, now: datetime) -> None:
    """How many devices of an open phase may start now; nothing for as many as want to."""
    key, room = (phase.rollout_id, phase.index), room_of(plan, phase.use, now)
    if room.minute is not None:
        capacity.minutes[key] = room.minute
    if room.devices is not None:
        capacity.rooms[key] = room.devices


def _add_sites(
    actor: Actor,
    capacity: Capacity,
    limits: Mapping[UUID, SiteLimit],
    device_ids: Sequence[UUID],
) -> None:
    """Where these devices are, and how many more may start there."""
    labels = {limit.label for limit in limits.values()}
    found = sites_of(actor.organization_id, labels, device_ids)
    at_work = at_work_by_site(actor.organization_id, [*limits])
    for rollout_id, limit in limits.items():
        for (label, device_id), site in found.items():
            if label == limit.label:
                at = (rollout_id, site)
                capacity.sites[rollout_id, device_id] = site
                capacity.site_rooms[at] = limit.in_flight - at_work.get(at, 0)


def _open_zones(
    actor: Actor, plans: dict[UUID, Plan], device_ids: Sequence[UUID], now: datetime
) -> list[tuple[UUID, str]]:
    with connection.cursor() as cursor:
        cursor.execute(_ZONES, [actor.organization_id, list(device_ids)])
        names = [name for (name,) in cursor.fetchall()]
    default = device_zone(organization_zone(actor.organization_id))
    return [
        (rollout_id, name)
        for rollout_id, plan in plans.items()
        for name in names
        if plan.schedule.is_open(now, plan.schedule.zone(device_zone(name, default)))
    ]
