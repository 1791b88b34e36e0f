"""RPC of the platform's own services: may somebody do something, and why."""

from uuid import UUID

from apps.core.actors import Source, system_actor
from apps.core.public import id_of
from apps.core.rpc import orm
from apps.web.access import explain_access
from fleetd.pb.internal.fleetd.v1 import access_pb2


class CheckAccessServicer:
    """The part of AccessService that explains rights. The service token has been checked."""

    async def check_access(
        self, request: access_pb2.CheckAccessRequest, ctx: object
    ) -> access_pb2.CheckAccessResponse:
        """The decision that every operation would make, with its reasons."""
        organization_id = id_of(request.organization_id)
        return await orm(organization_id, _answer, organization_id, request)


def _answer(
    organization_id: UUID, request: access_pb2.CheckAccessRequest
) -> access_pb2.CheckAccessResponse:
    """As the system, which may ask about everybody."""
    has_device = bool(request.device_id)
    found = explain_access(
        system_actor(organization_id, source=Source.RPC),
        user_id=id_of(request.user_id),
        kind="device" if has_device else "organization",
        object_id=id_of(request.device_id) if has_device else organization_id,
        permission=request.permission,
    )
    answer = found.items[0]
    return access_pb2.CheckAccessResponse(allowed=answer.allowed, because=list(answer.because))
