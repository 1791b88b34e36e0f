"""Devices that rollouts leave alone: pinned by a person, or in quarantine after failures."""

from datetime import datetime
from uuid import UUID

from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import Permission, require
from apps.core.errors import NotFound, invalid
from apps.devices.domain.states import Lifecycle
from apps.devices.errors import DeviceIsDecommissioned
from apps.devices.models import Device
from apps.devices.permissions import RELEASE_DEVICE, VIEW_DEVICES
from apps.devices.selectors.places import require_either, require_on_devices
from apps.events.services.outbox import publish
from apps.organizations.domain.settings import value
from apps.organizations.models import Organization
from apps.updates.domain.holds import HoldKind, consecutive_failures
from apps.updates.domain.states import FINAL_DEPLOYMENT_STATES, DeploymentState
from apps.updates.errors import checked_reason
from apps.updates.hold_types import (
    DeviceKeptFailing,
    DevicePinned,
    DeviceTrusted,
    DeviceUnpinned,
    moment_text,
)
from apps.updates.models import Deployment, DeviceHold
from apps.updates.permissions import PIN_DEVICE, QUARANTINE_FAILING_DEVICE, UNPIN_DEVICE
from apps.updates.services.hold_lock import lock_for_holds
from apps.updates.services.moves import Move, note_moves

AFTER_FAILURES = "updates.quarantine_after_failures"
RECENT = 200


def pin_device(
    actor: Actor, device_id: UUID, *, reason: str, until: datetime | None = None
) -> DeviceHold:
    """Lets a device keep what it has: no rollout reaches it, roll backs included, until it is
    unpinned or until its end, if it has one.

    What waits for it is skipped; what it is installing goes on. Pinning again with the same words
    changes nothing, with others it replaces the pin. Raises `InvalidRequest` without a reason or
    for an end that has passed, `DeviceIsDecommissioned`.
    """
    device = _locked(actor, device_id, PIN_DEVICE)
    reason = checked_reason(reason)
    found = _present(device, HoldKind.PINNED)
    if found is not None and (found.reason, found.until) == (reason, until):
        return found
    _require_life(device)
    if until is not None and until <= clock.now():
        raise invalid("until", "in_the_past", "The end of a pin lies in the future.")
    hold = _hold(actor, device, HoldKind.PINNED, reason, until)
    changes = {"reason": reason, **({"until": moment_text(until)} if until else {})}
    record(actor, PIN_DEVICE.name, device, changes=changes)
    publish(actor, DevicePinned(device_id=device.id, reason=reason, until=moment_text(until)))
    return hold


def unpin_device(actor: Actor, device_id: UUID) -> Device:
    """Ends a pin: rollouts that begin from now on reach the device. Repeating it changes nothing.

    What was skipped meanwhile stays so.
    """
    device = _locked(actor, device_id, UNPIN_DEVICE)
    found = _present(device, HoldKind.PINNED)
    if found is None:
        return device
    _end(found)
    record(actor, UNPIN_DEVICE.name, device, changes={"reason": found.reason})
    publish(actor, DeviceUnpinned(device_id=device.id))
    return device


def quarantine_failing_device(actor: Actor, device_id: UUID) -> DeviceHold | None:
    """Puts a device into quarantine that has failed as often as the organization bears.

    Deployments count one after the other, since the last release from quarantine; of several
    attempts in one rollout the last. What waits for the device is skipped, but for roll backs,
    which reach it still. Nothing happens to others; safe to repeat.
    """
    require(actor, QUARANTINE_FAILING_DEVICE)
    limit = _failures_borne(actor)
    if not limit or _failures(actor, device_id) < limit:
        return None
    device = _locked(actor, device_id, QUARANTINE_FAILING_DEVICE)
    if device.lifecycle == Lifecycle.DECOMMISSIONED:
        return None
    # Asked again under the lock: somebody may have released the device meanwhile.
    failures = _failures(actor, device_id)
    found = _present(device, HoldKind.QUARANTINED)
    if found is not None or failures < limit:
        return found
    reason = f"{failures} deployments failed one after the other."
    hold = _hold(actor, device, HoldKind.QUARANTINED, reason, None)
    record(actor, QUARANTINE_FAILING_DEVICE.name, device, changes={"reason": reason})
    publish(actor, DeviceKeptFailing(device_id=device.id, reason=reason))
    return hold


def release_failing_device(actor: Actor, device: Device) -> bool:
    """Ends the quarantine of a device, locked, that had kept failing; says whether there was one.

    For `release_device`, which has asked for the right.
    """
    found = _present(device, HoldKind.QUARANTINED)
    if found is None:
        return False
    _end(found)
    record(actor, RELEASE_DEVICE.name, device, changes={"reason": found.reason})
    publish(actor, DeviceTrusted(device_id=device.id))
    return True


def _locked(actor: Actor, device_id: UUID, permission: Permission) -> Device:
    """The device, while no rollout begins; one out of sight is not found."""
    require_either(actor, permission, VIEW_DEVICES)
    rows = Device.objects.for_org(actor.organization_id)
    if not rows.filter(id=device_id).exists():
        raise NotFound("There is no such device.")
    require_on_devices(actor, permission, [device_id])
    lock_for_holds(actor)
    device: Device = rows.select_for_update(no_key=True).get(id=device_id)
    return device


def _present(device: Device, kind: HoldKind) -> DeviceHold | None:
    """The hold that nobody has ended, unless its own end has come."""
    rows = DeviceHold.objects.for_org(device.organization_id)
    found: DeviceHold | None = rows.filter(
        device_id=device.id, kind=kind.value, ended_at=None
    ).first()
    if found is not None and found.until is not None and found.until <= clock.now():
        return None
    return found


def _hold(
    actor: Actor, device: Device, kind: HoldKind, reason: str, until: datetime | None
) -> DeviceHold:
    """Begins a hold, in place of one that is there, and skips what waits for the device."""
    at = clock.now()
    rows = DeviceHold.objects.for_org(actor.organization_id)
    rows.filter(device_id=device.id, kind=kind.value, ended_at=None).update(ended_at=at)
    hold = DeviceHold(
        organization_id=actor.organization_id,
        device=device,
        kind=kind.value,
        reason=reason,
        created_at=at,
        created_by_id=actor.user_id,
        until=until,
    )
    hold.save(force_insert=True)
    _skip_waiting(actor, device, kind, reason)
    return hold


def _skip_waiting(actor: Actor, device: Device, kind: HoldKind, reason: str) -> None:
    waiting = Deployment.objects.for_org(actor.organization_id).filter(
        device_id=device.id, state=DeploymentState.WAITING.value
    )
    if kind is HoldKind.QUARANTINED:
        waiting = waiting.filter(rollout__rolls_back=None)
    rows = list(waiting.select_for_update(of=("self",)).order_by("id"))
    at, after = clock.now(), DeploymentState.SKIPPED
    message = f"The device was {'pinned' if kind is HoldKind.PINNED else 'quarantined'}: {reason}"
    Deployment.objects.for_org(actor.organization_id).filter(id__in=[r.id for r in rows]).update(
        state=after.value,
        reason_code=kind.value,
        message=message,
        state_changed_at=at,
        finished_at=at,
    )
    before = DeploymentState.WAITING
    note_moves(
        actor,
        [
            Move(r.id, r.rollout_id, r.device_id, r.phase_index, before, after, kind.value)
            for r in rows
        ],
    )


def _end(hold: DeviceHold) -> None:
    hold.ended_at = clock.now()
    hold.save(update_fields=["ended_at"])


def _failures_borne(actor: Actor) -> int:
    rows = Organization.objects.filter(id=actor.organization_id)
    return int(value(rows.only("settings").get(), AFTER_FAILURES))


def _failures(actor: Actor, device_id: UUID) -> int:
    """How many of its deployments failed one after the other, since it was released last."""
    holds = DeviceHold.objects.for_org(actor.organization_id).filter(
        device_id=device_id, kind=HoldKind.QUARANTINED.value
    )
    released = holds.exclude(ended_at=None).order_by("-ended_at").first()
    rows = Deployment.objects.for_org(actor.organization_id).filter(
        device_id=device_id,
        is_retried=False,
        state__in=[state.value for state in FINAL_DEPLOYMENT_STATES],
    )
    if released is not None:
        rows = rows.filter(finished_at__gt=released.ended_at)
    newest = rows.order_by("-finished_at", "-id").values_list("state", flat=True)
    return consecutive_failures(newest[:RECENT])


def _require_life(device: Device) -> None:
    if device.lifecycle == Lifecycle.DECOMMISSIONED:
        raise DeviceIsDecommissioned
