"""What concerns several apps at once, as REST and RPC offer it."""

from uuid import UUID

from apps.core.actors import Actor
from apps.core.authz import declared
from apps.core.errors import NotFound, invalid
from apps.core.public import id_of, operation
from apps.organizations.permissions import VIEW_ORGANIZATION
from apps.teams.domain.explanation import Explained
from apps.web import access
from fleetd.pb.public.v1 import organization_pb2 as pb


@operation(VIEW_ORGANIZATION)
def explain_access(actor: Actor, request: pb.ExplainAccessRequest) -> pb.ExplainAccessResponse:
    """What somebody may do to a device, a group, a team, a rollout or the organization, and why.

    Without `user_id` about the caller; about others it needs `teams.explain_access`.
    """
    user_id = id_of(request.user_id) if request.user_id else actor.user_id
    if user_id is None:
        raise NotFound("There is no such member.")
    kind, object_id = _asked(actor, request)
    found = access.explain_access(
        actor, user_id=user_id, kind=kind, object_id=object_id, permission=request.permission
    )
    return pb.ExplainAccessResponse(
        user_id=str(found.user.id),
        email=found.user.email,
        object_kind=found.standing.kind,
        object_id=str(found.standing.id),
        object_name=found.standing.name,
        items=[_message(item) for item in found.items],
    )


def _asked(actor: Actor, request: pb.ExplainAccessRequest) -> tuple[str, UUID]:
    named = {
        "device": request.device_id,
        "device_group": request.device_group_id,
        "team": request.team_id,
        "rollout": request.rollout_id,
    }
    given = [(kind, text) for kind, text in named.items() if text]
    if len(given) > 1:
        raise invalid(f"{given[1][0]}_id", "one_object", "Ask about one object at a time.")
    if not given:
        return "organization", actor.organization_id
    return given[0][0], id_of(given[0][1])


def _message(item: Explained) -> pb.ExplainedPermission:
    return pb.ExplainedPermission(
        permission=item.permission,
        description=declared()[item.permission].description,
        allowed=item.allowed,
        because=list(item.because),
    )
