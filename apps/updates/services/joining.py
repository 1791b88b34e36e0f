"""Dynamic rollouts: devices that match the target later come in while it runs."""

from collections.abc import Sequence
from functools import reduce
from operator import or_
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor
from apps.core.filters import parse
from apps.core.filters.lexer import quoted
from apps.core.realtime import notify_gateways
from apps.core.tasks import wake
from apps.devices.filters import DEVICE_FIELDS, DeviceContext
from apps.devices.models import Device
from apps.events.services.outbox import publish
from apps.updates.domain import engine
from apps.updates.domain.states import RolloutState
from apps.updates.errors import RolloutNotRunning
from apps.updates.models import Component, Deployment, Rollout
from apps.updates.permissions import ADVANCE_ROLLOUT, CANCEL_ROLLOUT
from apps.updates.selectors.rollouts import reread_rollout
from apps.updates.services.hold_lock import lock_for_start
from apps.updates.services.moves import ADVANCE_TASK
from apps.updates.services.planning import hash_plan
from apps.updates.services.rollout_log import append_events, lock_rollout, new_event
from apps.updates.services.targets import join_deployments, receiving_devices
from apps.updates.types import DevicesJoined, RolloutClosed

JOIN_TASK = "updates.join_rollout"
# Where devices have what a person can have left out of a rollout: `domain.traits`.
_TRAITS = {
    "model": "model",
    "os": "os_name",
    "architecture": "architecture",
    "site": "inventory__facts__site",
    "region": "inventory__facts__region",
}


def join_rollout(actor: Actor, rollout_id: UUID) -> int:
    """Lets devices that the target means by now into a dynamic rollout; answers how many came.

    Each comes once, and only if a start would take it; none that has a newer version already.
    At most `JOINING_AT_ONCE` in one look. Nothing happens to a rollout that takes none. One whose
    groups have come to mean others than somebody approved is closed.
    """
    rollout = lock_rollout(actor, rollout_id, ADVANCE_ROLLOUT)
    if not rollout.snapshot.get("is_dynamic") or not rollout.status().takes_devices(clock.now()):
        return 0
    if rollout.approved_hash and rollout.approved_hash != hash_plan(actor, rollout):
        _close(actor, rollout, reason="a group of its plan is not what was approved")
        return 0
    lock_for_start(actor)
    joined = join_deployments(actor, rollout, _newcomers(actor, rollout))
    if not joined:
        return 0
    count = sum(joined.values())
    phases = {str(index): joined[index] for index in sorted(joined)}
    append_events(actor, rollout, [new_event(engine.JOINED, joined=phases)])
    record(actor, "updates.join_rollout", rollout, changes={"devices": count, "phases": phases})
    publish(actor, DevicesJoined(rollout_id=rollout.id, count=count))
    notify_gateways("deployments", organization_id=actor.organization_id)
    return count


def close_rollout(actor: Actor, rollout_id: UUID) -> Rollout:
    """Lets no further device into a dynamic rollout: it completes once its devices are through.

    Closing again changes nothing, and neither does closing one that nobody joins. Raises
    `RolloutNotRunning`.
    """
    rollout = lock_rollout(actor, rollout_id, CANCEL_ROLLOUT)
    if rollout.state not in (RolloutState.RUNNING, RolloutState.PAUSED):
        raise RolloutNotRunning("Only a running rollout can be closed.")
    if not rollout.status().is_dynamic:
        return reread_rollout(actor, rollout.id)
    _close(actor, rollout)
    return reread_rollout(actor, rollout.id)


def _close(actor: Actor, rollout: Rollout, **why: str) -> None:
    append_events(actor, rollout, [new_event(engine.CLOSED, by=actor.label, **why)])
    record(actor, "updates.close_rollout", rollout, changes=why)
    publish(actor, RolloutClosed(rollout_id=rollout.id))
    wake(ADVANCE_TASK, actor, rollout_id=str(rollout.id))


def _newcomers(actor: Actor, rollout: Rollout) -> QuerySet[Device]:
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
    if rollout.planned().installation.allow_downgrade:
        return devices
    return devices.exclude(_has_newer(rollout.release.version, names))


def _has_newer(version: str, names: Sequence[str]) -> Q:
    """Devices on which one of these components has a later version."""
    context, found = DeviceContext(clock.now()), Q()
    for name in names:
        newer = parse(f"version({quoted(name)}) > {quoted(version)}", DEVICE_FIELDS)
        found |= newer.to_q(context)
    return found


def _has_trait(attribute: str, value: str, names: Sequence[str]) -> Q:
    """Devices with a trait that a person has left out of the rollout."""
    if attribute == "tag":
        return Q(tags__contains=[value])
    if attribute == "group":
        return Q(group_ids__contains=[UUID(value)])
    if attribute == "previous_version":
        return reduce(or_, (Q(installed__contains={name: value}) for name in names))
    return Q(**{_TRAITS[attribute]: value})
