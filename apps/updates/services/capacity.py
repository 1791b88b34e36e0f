"""What running rollouts allow at this moment: rates, numbers in flight, and windows."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from apps.core.actors import Actor
from apps.updates.domain.plan import PhasePlan, Plan
from apps.updates.domain.schedule import device_zone
from apps.updates.models import Phase, Rollout

_ZONES = """
    SELECT DISTINCT coalesce(inventory ->> 'time_zone', '') FROM devices_device
    WHERE organization_id = %s AND id = ANY(%s)
"""


@dataclass(slots=True)
class Capacity:
    """What claims may take of limited rollouts.

    `rooms` says how many devices may start, by (rollout, phase), where that is limited; `windowed`
    are the rollouts with windows, `open_zones` the pairs (rollout, time zone) whose window is open.
    A device that has not told its zone has the zone "", which means UTC.
    """

    rooms: dict[tuple[UUID, int], int] = field(default_factory=dict)
    windowed: list[UUID] = field(default_factory=list)
    open_zones: list[tuple[UUID, str]] = field(default_factory=list)

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
        }

    def take(self, rollout_id: UUID, phase: int) -> bool:
        """Takes one device's place; says whether there was one."""
        key = (rollout_id, phase)
        if key not in self.rooms:
            return True
        self.rooms[key] -= 1
        return self.rooms[key] >= 0


# Of the next deployment of a device, where limited rollouts are running.
LIMITS = """
    AND NOT EXISTS (
        SELECT 1 FROM unnest(%(full_rollouts)s::uuid[], %(full_phases)s::int[])
            AS crowded (rollout_id, phase)
        WHERE crowded.rollout_id = rollout.id AND crowded.phase = waiting.phase_index)
    AND (rollout.id <> ALL(%(windowed)s::uuid[]) OR EXISTS (
        SELECT 1 FROM unnest(%(open_rollouts)s::uuid[], %(open_zones)s::text[])
            AS window_of (rollout_id, zone)
        JOIN devices_device AS local ON local.id = free.device_id
        WHERE window_of.rollout_id = rollout.id
            AND window_of.zone = coalesce(local.inventory ->> 'time_zone', '')))
"""


def find_capacity(
    actor: Actor, rollout_ids: Collection[UUID], device_ids: Sequence[UUID], now: datetime
) -> Capacity:
    """What these limited rollouts allow these devices now.

    Exact under the rollouts' locks: whoever counts devices in or out holds them then.
    """
    capacity = Capacity()
    rollouts = Rollout.objects.for_org(actor.organization_id).filter(id__in=rollout_ids)
    plans = {rollout.id: Plan.restore(rollout.plan) for rollout in rollouts.only("plan")}
    phases = Phase.objects.for_org(actor.organization_id).filter(
        rollout_id__in=plans, opened_at__isnull=False
    )
    for phase in phases:
        room = _room(plans[phase.rollout_id].phases[phase.index], phase, now)
        if room is not None:
            capacity.rooms[phase.rollout_id, phase.index] = room
    windowed = {id_: plan for id_, plan in plans.items() if not plan.schedule.is_always_open}
    capacity.windowed = [*windowed]
    if windowed:
        capacity.open_zones = _open_zones(actor, windowed, device_ids, now)
    return capacity


def _room(plan: PhasePlan, phase: Phase, now: datetime) -> int | None:
    """How many devices of an open phase may start now; None for as many as want to."""
    rooms = []
    if plan.maximum_in_flight:
        rooms.append(plan.maximum_in_flight - phase.active)
    if plan.rate is not None and phase.opened_at is not None:
        started = phase.active + phase.succeeded + phase.failed
        rooms.append(plan.rate.allowed((now - phase.opened_at).total_seconds()) - started)
    return min(rooms, default=None)


def _open_zones(
    actor: Actor, plans: dict[UUID, Plan], device_ids: Sequence[UUID], now: datetime
) -> list[tuple[UUID, str]]:
    with connection.cursor() as cursor:
        cursor.execute(_ZONES, [actor.organization_id, list(device_ids)])
        names = [name for (name,) in cursor.fetchall()]
    return [
        (rollout_id, name)
        for rollout_id, plan in plans.items()
        for name in names
        if plan.schedule.is_open(now, plan.schedule.zone(device_zone(name)))
    ]
