"""Who fails in a rollout and why, and going on without them, as REST and RPC offer it."""

from apps.core.actors import Actor
from apps.core.public import id_of, operation
from apps.updates.messages import rollout_message
from apps.updates.permissions import ADVANCE_PHASE, VIEW_DEPLOYMENTS, VIEW_ROLLOUTS
from apps.updates.selectors import reasons, suspects
from apps.updates.services import exclusions
from fleetd.pb.public.v1 import fleet_pb2 as pb


@operation(VIEW_ROLLOUTS)
def find_suspects(actor: Actor, request: pb.FindSuspectsRequest) -> pb.FindSuspectsResponse:
    """What the devices that fail have in common, the most certain first."""
    found = suspects.find_suspects(actor, id_of(request.rollout_id))
    return pb.FindSuspectsResponse(
        suspects=[_suspect(each) for each in found.items],
        outcomes=found.outcomes,
        failures=found.failures,
        is_partial=found.is_partial,
    )


@operation(VIEW_DEPLOYMENTS)
def list_rollout_reasons(
    actor: Actor, request: pb.ListRolloutReasonsRequest
) -> pb.ListRolloutReasonsResponse:
    """Why devices did not get the release, the most frequent reason first."""
    found = reasons.list_reasons(actor, id_of(request.rollout_id))
    return pb.ListRolloutReasonsResponse(reasons=[_reason(each) for each in found])


@operation(ADVANCE_PHASE)
def exclude_and_continue(
    actor: Actor, request: pb.ExcludeAndContinueRequest
) -> pb.ExcludeAndContinueResponse:
    """Leaves devices with one trait out; a rollout that its gate halted goes on without them."""
    rollout = exclusions.exclude_and_continue(
        actor,
        id_of(request.id),
        attribute=request.attribute,
        value=request.value,
        reason=request.reason,
    )
    return pb.ExcludeAndContinueResponse(rollout=rollout_message(actor, rollout))


def _reason(group: reasons.ReasonGroup) -> pb.RolloutReason:
    message = pb.RolloutReason(
        reason=group.reason,
        devices=group.count,
        failed=group.failed,
        states=dict(group.states),
        sample_line=group.line,
    )
    if sample := group.sample:
        message.sample_deployment_id = str(sample.id)
        message.sample_device_id = str(sample.device_id)
        message.sample_device_name = sample.device.name
    return message


def _suspect(found: suspects.Suspicion) -> pb.Suspect:
    suspect = found.suspect
    return pb.Suspect(
        attribute=suspect.attribute,
        value=suspect.value,
        words=found.words,
        sentence=found.sentence,
        failed=suspect.failed,
        total=suspect.total,
        lift=suspect.lift,
        p_value=suspect.p_value,
        q_value=suspect.q_value,
        waiting=found.waiting,
        active=found.active,
    )
