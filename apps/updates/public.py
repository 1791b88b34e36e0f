"""Rollouts and deployments, as REST and RPC offer them."""

from uuid import UUID

from apps.core.actors import Actor
from apps.core.errors import invalid
from apps.core.public import enum_word, id_of, operation, page_of
from apps.updates.domain.plan import simple_plan
from apps.updates.messages import (
    deployment_message,
    event_message,
    rollout_message,
    rollout_messages,
)
from apps.updates.permissions import (
    ADVANCE_PHASE,
    APPROVE_ROLLOUT,
    CANCEL_ROLLOUT,
    CREATE_ROLLOUT,
    HALT_ROLLOUT,
    PAUSE_ROLLOUT,
    RESUME_ROLLOUT,
    ROLL_BACK_ROLLOUT,
    START_ROLLOUT,
    SUBMIT_ROLLOUT,
    VIEW_DEPLOYMENTS,
    VIEW_ROLLOUTS,
)
from apps.updates.plans import phases_of, plan_of, target_of
from apps.updates.selectors import deployments, rollouts
from apps.updates.selectors.channels import find_release
from apps.updates.services import joining, planning, rollbacks
from apps.updates.services import rollouts as services
from fleetd.pb.public.v1 import fleet_pb2 as pb


@operation(VIEW_ROLLOUTS)
def list_rollouts(actor: Actor, request: pb.ListRolloutsRequest) -> pb.ListRolloutsResponse:
    """The organization's rollouts, newest first."""
    state = enum_word(pb.RolloutState, request.state)
    page = rollouts.list_rollouts(actor, page_of(request), state=state)
    return pb.ListRolloutsResponse(
        items=rollout_messages(actor, page.items),
        next_page_token=page.next_page_token,
    )


@operation(VIEW_ROLLOUTS)
def get_rollout(actor: Actor, request: pb.GetRolloutRequest) -> pb.GetRolloutResponse:
    """One rollout with its phases, counts and verdict."""
    rollout = rollouts.get_rollout(actor, id_of(request.id))
    return pb.GetRolloutResponse(rollout=rollout_message(actor, rollout))


@operation(CREATE_ROLLOUT)
def create_rollout(actor: Actor, request: pb.CreateRolloutRequest) -> pb.CreateRolloutResponse:
    """Plans a rollout as a draft. With `validate_only` the same runs and nothing is stored."""
    has_plan = request.HasField("plan")
    release_id, channel = _release(actor, request)
    rollout = planning.create_rollout(
        actor,
        name=request.name,
        release_id=release_id,
        channel=channel,
        target=target_of(request.target),
        excluded=target_of(request.excluded, "excluded"),
        plan=plan_of(request.plan) if has_plan else simple_plan(request.phase_percents),
        requires_approval=request.requires_approval,
        deployment_timeout_seconds=request.deployment_timeout_seconds
        or planning.DEFAULT_TIMEOUT_SECONDS,
        validate_only=request.validate_only,
    )
    return pb.CreateRolloutResponse(rollout=rollout_message(actor, rollout))


@operation(CREATE_ROLLOUT)
def update_rollout(actor: Actor, request: pb.UpdateRolloutRequest) -> pb.UpdateRolloutResponse:
    """Replaces the plan of a rollout that was not started; what was approved is so no more."""
    release_id, channel = _release(actor, request)
    rollout = planning.update_rollout(
        actor,
        id_of(request.id),
        name=request.name,
        release_id=release_id,
        channel=channel,
        target=target_of(request.target),
        excluded=target_of(request.excluded, "excluded"),
        plan=plan_of(request.plan),
        requires_approval=request.requires_approval,
        deployment_timeout_seconds=request.deployment_timeout_seconds
        or planning.DEFAULT_TIMEOUT_SECONDS,
    )
    return pb.UpdateRolloutResponse(rollout=rollout_message(actor, rollout))


@operation(CREATE_ROLLOUT)
def clone_rollout(actor: Actor, request: pb.CloneRolloutRequest) -> pb.CloneRolloutResponse:
    """A new draft with the plan of another rollout."""
    rollout = planning.clone_rollout(actor, id_of(request.id), name=request.name)
    return pb.CloneRolloutResponse(rollout=rollout_message(actor, rollout))


@operation(CREATE_ROLLOUT)
def retry_rollout(actor: Actor, request: pb.RetryRolloutRequest) -> pb.RetryRolloutResponse:
    """A new draft for the devices of a rollout that failed, all or those with one reason."""
    rollout = planning.retry_rollout(
        actor, id_of(request.id), name=request.name, reason=request.reason
    )
    return pb.RetryRolloutResponse(rollout=rollout_message(actor, rollout))


@operation(SUBMIT_ROLLOUT)
def submit_rollout(actor: Actor, request: pb.SubmitRolloutRequest) -> pb.SubmitRolloutResponse:
    """Asks for approval of the plan as it stands; one that needs none is ready at once."""
    rollout = planning.submit_rollout(actor, id_of(request.id))
    return pb.SubmitRolloutResponse(rollout=rollout_message(actor, rollout))


@operation(APPROVE_ROLLOUT)
def approve_rollout(actor: Actor, request: pb.ApproveRolloutRequest) -> pb.ApproveRolloutResponse:
    """Approves exactly the plan whose hash is given, by somebody other than its maker."""
    rollout = planning.approve_rollout(actor, id_of(request.id), plan_hash=request.plan_hash)
    return pb.ApproveRolloutResponse(rollout=rollout_message(actor, rollout))


@operation(APPROVE_ROLLOUT)
def reject_rollout(actor: Actor, request: pb.RejectRolloutRequest) -> pb.RejectRolloutResponse:
    """Sends a plan back to its maker, with the reason."""
    rollout = planning.reject_rollout(actor, id_of(request.id), reason=request.reason)
    return pb.RejectRolloutResponse(rollout=rollout_message(actor, rollout))


@operation(START_ROLLOUT)
def start_rollout(actor: Actor, request: pb.StartRolloutRequest) -> pb.StartRolloutResponse:
    """Turns the target into deployments and opens the first phase."""
    rollout = services.start_rollout(actor, id_of(request.id))
    return pb.StartRolloutResponse(rollout=rollout_message(actor, rollout))


@operation(PAUSE_ROLLOUT)
def pause_rollout(actor: Actor, request: pb.PauseRolloutRequest) -> pb.PauseRolloutResponse:
    """No further device starts; devices at work finish."""
    rollout = services.pause_rollout(actor, id_of(request.id))
    return pb.PauseRolloutResponse(rollout=rollout_message(actor, rollout))


@operation(RESUME_ROLLOUT)
def resume_rollout(actor: Actor, request: pb.ResumeRolloutRequest) -> pb.ResumeRolloutResponse:
    """Devices start again."""
    rollout = services.resume_rollout(actor, id_of(request.id))
    return pb.ResumeRolloutResponse(rollout=rollout_message(actor, rollout))


@operation(ADVANCE_PHASE)
def advance_phase(actor: Actor, request: pb.AdvancePhaseRequest) -> pb.AdvancePhaseResponse:
    """Passes the gate of the open phase by hand, or lets a phase open that needs approval."""
    rollout = services.advance_phase(
        actor, id_of(request.id), index=request.index, reason=request.reason
    )
    return pb.AdvancePhaseResponse(rollout=rollout_message(actor, rollout))


@operation(HALT_ROLLOUT)
def halt_rollout(actor: Actor, request: pb.HaltRolloutRequest) -> pb.HaltRolloutResponse:
    """Stops a rollout for good: no device starts any more, devices at work finish."""
    rollout = services.halt_rollout(actor, id_of(request.id), reason=request.reason)
    return pb.HaltRolloutResponse(rollout=rollout_message(actor, rollout))


@operation(ROLL_BACK_ROLLOUT)
def roll_back_rollout(
    actor: Actor, request: pb.RollBackRolloutRequest
) -> pb.RollBackRolloutResponse:
    """Brings each device back to its own last good release; answers the rollout that does it."""
    phases = phases_of(request.phases) or rollbacks.CAREFUL
    rollout = rollbacks.roll_back_rollout(actor, id_of(request.id), phases=phases)
    return pb.RollBackRolloutResponse(rollout=rollout_message(actor, rollout))


@operation(CANCEL_ROLLOUT)
def cancel_rollout(actor: Actor, request: pb.CancelRolloutRequest) -> pb.CancelRolloutResponse:
    """No further device starts; devices that have not begun to install are told to stop."""
    rollout = services.cancel_rollout(actor, id_of(request.id))
    return pb.CancelRolloutResponse(rollout=rollout_message(actor, rollout))


@operation(CANCEL_ROLLOUT)
def close_rollout(actor: Actor, request: pb.CloseRolloutRequest) -> pb.CloseRolloutResponse:
    """No further device joins; it completes once its devices are through."""
    rollout = joining.close_rollout(actor, id_of(request.id))
    return pb.CloseRolloutResponse(rollout=rollout_message(actor, rollout))


@operation(VIEW_ROLLOUTS)
def list_rollout_events(
    actor: Actor, request: pb.ListRolloutEventsRequest
) -> pb.ListRolloutEventsResponse:
    """A rollout's log, oldest first."""
    page = rollouts.list_rollout_events(actor, id_of(request.rollout_id), page_of(request))
    return pb.ListRolloutEventsResponse(
        items=[event_message(each) for each in page.items], next_page_token=page.next_page_token
    )


# ---- deployments ----


@operation(VIEW_DEPLOYMENTS)
def list_deployments(
    actor: Actor, request: pb.ListDeploymentsRequest
) -> pb.ListDeploymentsResponse:
    """Deployments, newest first, of a rollout or of a device."""
    page = deployments.list_deployments(
        actor,
        page_of(request),
        rollout_id=id_of(request.rollout_id) if request.rollout_id else None,
        device_id=id_of(request.device_id) if request.device_id else None,
        state=enum_word(pb.DeploymentState, request.state),
        reason=request.reason,
    )
    return pb.ListDeploymentsResponse(
        items=[deployment_message(each) for each in page.items],
        next_page_token=page.next_page_token,
    )


@operation(VIEW_DEPLOYMENTS)
def get_deployment(actor: Actor, request: pb.GetDeploymentRequest) -> pb.GetDeploymentResponse:
    """One device's part of one rollout."""
    deployment = deployments.get_deployment(actor, id_of(request.id))
    return pb.GetDeploymentResponse(deployment=deployment_message(deployment))


def _release(
    actor: Actor, request: pb.CreateRolloutRequest | pb.UpdateRolloutRequest
) -> tuple[UUID, str]:
    """The release of a plan by its id or by its name, and the channel that names it."""
    if not request.release:
        return id_of(request.release_id), ""
    if request.release_id:
        raise invalid("release", "two_releases", "Give either release or release_id.")
    return find_release(actor, request.release)
