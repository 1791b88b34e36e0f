"""Which phase takes which devices."""

from collections.abc import Sequence
from typing import Any

from django.db.models import Case, Count, IntegerField, QuerySet, Value, When

from apps.core.actors import Actor
from apps.core.errors import FieldError
from apps.core.filters import FilterError
from apps.devices.models import Device
from apps.devices.selectors.filtering import DeviceFilter, read_filter
from apps.updates.domain.plan import PhasePlan, phase_sizes

NO_FILTER = -1


def read_phase_filters(actor: Actor, phases: Sequence[PhasePlan]) -> dict[int, DeviceFilter]:
    """The phases' filters by index, ready to run.

    Raises `FilterError` at the phase whose filter cannot be read.
    """
    found = {}
    for index, phase in enumerate(phases):
        try:
            if phase.filter:
                found[index] = read_filter(actor, phase.filter)
        except FilterError as error:
            error.fields = (FieldError(f"phases.{index}.filter", error.code, error.message),)
            raise
    return found


def in_parts(actor: Actor, devices: QuerySet[Device], phases: Sequence[PhasePlan]) -> QuerySet[Any]:
    """The devices with their `part`: the first phase whose filter they match, or `NO_FILTER`."""
    filters = read_phase_filters(actor, phases)
    taken = [When(found.q(), then=Value(index)) for index, found in filters.items()]
    return devices.annotate(
        part=Case(*taken, default=Value(NO_FILTER), output_field=IntegerField())
    )


def preview_phases(
    actor: Actor, devices: QuerySet[Device], phases: Sequence[PhasePlan]
) -> tuple[int, ...]:
    """How many of these devices each phase would get if the rollout started now."""
    if not any(phase.filter for phase in phases):
        return phase_sizes(devices.count(), phases)
    rows = in_parts(actor, devices, phases).order_by().values_list("part")
    counted: dict[int, int] = dict(rows.annotate(number=Count("id")))
    total = sum(counted.values())
    counted.pop(NO_FILTER, None)
    return phase_sizes(total, phases, counted)
