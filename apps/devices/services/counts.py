"""Keeping the totals by lifecycle and connectivity, in the transaction of each change."""

from collections import Counter
from collections.abc import Iterable, Mapping
from uuid import UUID

from django.db.models import F

from apps.core.actors import Actor
from apps.devices.domain.states import Connectivity, Lifecycle
from apps.devices.models import DeviceCount

Place = tuple[str, str]


def count_moves(actor: Actor, moves: Iterable[tuple[Place | None, Place]]) -> None:
    """Keeps the totals for devices that moved from one (lifecycle, connectivity) to another.

    A new device comes from None. Totals are locked in one fixed order, after the rows that
    changed, so that two changes never wait for each other.
    """
    change: Counter[Place] = Counter()
    for before, after in moves:
        if before is not None:
            change[before] -= 1
        change[after] += 1
    _add(actor.organization_id, {place: by for place, by in change.items() if by})


def _add(organization_id: UUID, change: Mapping[Place, int]) -> None:
    for lifecycle, connectivity in sorted(change):
        row = DeviceCount.objects.for_org(organization_id).filter(
            lifecycle=lifecycle, connectivity=connectivity
        )
        by = change[lifecycle, connectivity]
        if not row.update(count=F("count") + by):
            _make_all(organization_id)
            row.update(count=F("count") + by)


def _make_all(organization_id: UUID) -> None:
    """The organization's first change makes all its totals, at zero."""
    DeviceCount.objects.for_org(organization_id).bulk_create(
        [
            DeviceCount(organization_id=organization_id, lifecycle=lifecycle, connectivity=state)
            for lifecycle in sorted(Lifecycle)
            for state in sorted(Connectivity)
        ],
        ignore_conflicts=True,
    )
