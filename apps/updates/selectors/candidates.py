"""Which devices of a target get its release: all that can, or those that come first."""

from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.db.models import (
    BinaryField,
    Exists,
    Func,
    OuterRef,
    Q,
    QuerySet,
    TextField,
    Value,
)
from django.db.models.functions import Cast

from apps.core.actors import Actor
from apps.devices.models import Device
from apps.updates.domain.plan import order_key
from apps.updates.models import Component, Deployment, Rollout
from apps.updates.selectors.rollouts import fitting, target_devices
from apps.updates.types import Target

# Where devices have what a person can have left out of a rollout: `domain.traits`.
_TRAITS = {
    "model": "model",
    "os": "os_name",
    "architecture": "architecture",
    "site": "inventory__facts__site",
    "region": "inventory__facts__region",
}


class _OrderKey(Func):
    """`domain.plan.order_key`, in SQL."""

    template = "sha256((%(expressions)s)::bytea)"
    arg_joiner = " || "
    output_field = BinaryField()


def receiving_devices(actor: Actor, rollout: Rollout) -> QuerySet[Device]:
    """The devices of a rollout's target that can get its release now."""
    excluded = Target.restore(rollout.excluded) if rollout.excluded else None
    devices = target_devices(actor, Target.restore(rollout.target), excluded)
    allowed = rollout.planned().installation.allow_downgrade
    return fitting(devices, rollout.release, allows_downgrade=allowed)


def chosen_devices(actor: Actor, rollout: Rollout) -> QuerySet[Device]:
    """Those of them with which the rollout would begin now."""
    devices, target = receiving_devices(actor, rollout), Target.restore(rollout.target)
    if not target.is_partial:
        return devices
    return first_devices(actor, devices, rollout.id, target.places(devices.count()))


def joining_devices(actor: Actor, rollout: Rollout) -> QuerySet[Device]:
    """The devices that may join a dynamic rollout now, as far as its target has places."""
    devices, target = newcomers(actor, rollout), Target.restore(rollout.target)
    if not target.is_partial:
        return devices
    taken = count_taken(actor, rollout)
    room = target.places(taken + devices.count()) - taken
    return first_devices(actor, devices, rollout.id, room)


def first_devices(
    actor: Actor, devices: QuerySet[Device], rollout_id: UUID, number: int
) -> QuerySet[Device]:
    """So many of these devices: those that come first in the rollout's order."""
    ordered = _keyed(devices.order_by(), rollout_id).order_by("order_key")
    chosen = ordered.values("id")[: max(number, 0)]
    return Device.objects.for_org(actor.organization_id).filter(id__in=chosen)


def place_among(devices: QuerySet[Device], rollout_id: UUID, device_id: UUID) -> int:
    """How many of these devices come before one in the rollout's order."""
    key = order_key(device_id, rollout_id)
    return _keyed(devices.order_by(), rollout_id).filter(order_key__lt=key).count()


def count_taken(actor: Actor, rollout: Rollout) -> int:
    """How many devices are in the rollout, whatever became of them."""
    rows = Deployment.objects.for_org(actor.organization_id)
    return rows.filter(rollout_id=rollout.id, is_retried=False).count()


def newcomers(actor: Actor, rollout: Rollout) -> QuerySet[Device]:
    """The devices that a start would take now and that were never in the rollout."""
    devices = receiving_devices(actor, rollout)
    rows = Deployment.objects.for_org(actor.organization_id).filter(rollout_id=rollout.id)
    devices = devices.filter(~Exists(rows.filter(device_id=OuterRef("id"))))
    parts = Component.objects.for_org(actor.organization_id).filter(release_id=rollout.release_id)
    names = list(parts.values_list("name", flat=True))
    every = Device.objects.for_org(actor.organization_id)
    for attribute, value in rollout.status().exclusions:
        # By id: what a device does not tell is neither equal nor different in SQL.
        left_out = every.filter(_has_trait(attribute, value, names))
        devices = devices.exclude(id__in=left_out.values("id"))
    return devices


def _keyed(devices: QuerySet[Device], rollout_id: UUID) -> QuerySet[Any]:
    key = _OrderKey(Cast("id", TextField()), Value(str(rollout_id)))
    return devices.annotate(order_key=key)


def _has_trait(attribute: str, value: str, names: Sequence[str]) -> Q:
    """Devices with a trait that a person has left out of the rollout."""
    if attribute == "tag":
        return Q(tags__contains=[value])
    if attribute == "group":
        return Q(group_ids__contains=[UUID(value)])
    if attribute == "previous_version":
        return reduce(or_, (Q(installed__contains={name: value}) for name in names))
    return Q(**{_TRAITS[attribute]: value})
