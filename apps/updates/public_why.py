"""Why devices get deployments or not, previews of targets, and pins, as REST and RPC offer them."""

from datetime import UTC

import orjson

from apps.core.actors import Actor
from apps.core.public import id_of, operation, page_of, timestamp
from apps.devices.models import Device
from apps.devices.permissions import VIEW_DEVICES
from apps.updates.domain.eligibility import Reason
from apps.updates.models import DeviceHold
from apps.updates.permissions import PIN_DEVICE, UNPIN_DEVICE, VIEW_ROLLOUTS
from apps.updates.plans import phases_of, target_of
from apps.updates.selectors import eligibility, holds, previews
from apps.updates.services import holds as services
from fleetd.pb.public.v1 import fleet_pb2 as pb


@operation(VIEW_ROLLOUTS)
def explain_device(actor: Actor, request: pb.ExplainDeviceRequest) -> pb.ExplainDeviceResponse:
    """Why a device gets a rollout's deployment now, or why not: every condition in its order.

    Without `rollout_id` for the newest rollouts that are under way.
    """
    device_id = id_of(request.id)
    if request.rollout_id:
        found = [eligibility.explain_device(actor, device_id, id_of(request.rollout_id))]
    else:
        found = eligibility.explain_under_way(actor, device_id)
    return pb.ExplainDeviceResponse(explanations=[_explanation(each) for each in found])


@operation(VIEW_ROLLOUTS)
def preview_rollout(actor: Actor, request: pb.PreviewRolloutRequest) -> pb.PreviewRolloutResponse:
    """How many devices a rollout would update, and why not the others. Nothing is stored."""
    release_id, target = id_of(request.release_id), target_of(request.target)
    excluded = target_of(request.excluded, "excluded")
    older = request.allow_downgrade
    found = previews.preview_target(actor, release_id, target, excluded, allows_downgrade=older)
    phases = phases_of(request.phases)
    sizes = previews.preview_sizes(
        actor, release_id, target, excluded, phases, allows_downgrade=older
    )
    return pb.PreviewRolloutResponse(
        matched=found.matched,
        will_update=found.will_update,
        reasons=[
            pb.ReasonCount(
                code=each.code, words=each.words, count=each.count, leaves_out=each.leaves_out
            )
            for each in found.reasons
        ],
        phase_devices=sizes,
        sample=[_named(device) for device in found.sample],
    )


@operation(VIEW_ROLLOUTS)
def list_left_out_devices(
    actor: Actor, request: pb.ListLeftOutDevicesRequest
) -> pb.ListLeftOutDevicesResponse:
    """The devices of a target that a rollout would leave out for one reason, by name."""
    page = previews.list_excluded(
        actor,
        id_of(request.release_id),
        target_of(request.target),
        target_of(request.excluded, "excluded"),
        code=request.code,
        page=page_of(request),
        allows_downgrade=request.allow_downgrade,
    )
    return pb.ListLeftOutDevicesResponse(
        items=[_named(device) for device in page.items], next_page_token=page.next_page_token
    )


@operation(VIEW_DEVICES)
def list_device_holds(
    actor: Actor, request: pb.ListDeviceHoldsRequest
) -> pb.ListDeviceHoldsResponse:
    """The devices that rollouts leave alone now, and why; the newest first."""
    device_id = id_of(request.device_id) if request.device_id else None
    page = holds.list_device_holds(actor, page_of(request), device_id=device_id)
    return pb.ListDeviceHoldsResponse(
        items=[_hold(each) for each in page.items], next_page_token=page.next_page_token
    )


@operation(PIN_DEVICE)
def pin_device(actor: Actor, request: pb.PinDeviceRequest) -> pb.PinDeviceResponse:
    """Lets a device keep what it has: no rollout reaches it, roll backs included."""
    until = request.until.ToDatetime(UTC) if request.HasField("until") else None
    hold = services.pin_device(actor, id_of(request.id), reason=request.reason, until=until)
    return pb.PinDeviceResponse(device_hold=_hold(hold))


@operation(UNPIN_DEVICE)
def unpin_device(actor: Actor, request: pb.UnpinDeviceRequest) -> pb.UnpinDeviceResponse:
    """Ends a pin: rollouts that begin from now on reach the device."""
    services.unpin_device(actor, id_of(request.id))
    return pb.UnpinDeviceResponse()


def _explanation(found: eligibility.Explanation) -> pb.DeviceExplanation:
    return pb.DeviceExplanation(
        rollout_id=str(found.rollout.id),
        rollout_name=found.rollout.name,
        is_eligible=found.is_eligible,
        is_chosen=found.is_chosen,
        verdict=found.verdict,
        reasons=[_reason(reason) for reason in found.reasons],
    )


def _reason(reason: Reason) -> pb.EligibilityReason:
    return pb.EligibilityReason(
        code=reason.code,
        holds=reason.holds,
        words=reason.words,
        evidence_json=orjson.dumps(dict(reason.evidence)).decode(),
    )


def _named(device: Device) -> pb.NamedDevice:
    return pb.NamedDevice(id=str(device.id), name=device.name)


def _hold(hold: DeviceHold) -> pb.DeviceHold:
    return pb.DeviceHold(
        id=str(hold.id),
        device_id=str(hold.device_id),
        device_name=hold.device.name,
        kind=hold.kind,
        reason=hold.reason,
        created_at=timestamp(hold.created_at),
        until=timestamp(hold.until),
    )
