"""RPC of the platform's own services: what a credential stands for."""

from uuid import UUID

from apps.core.actors import Call, Source
from apps.core.public import timestamp
from apps.core.rpc import current_call, orm
from apps.organizations.services.introspection import Introspection, introspect
from fleetd.pb.internal.fleetd.v1 import access_pb2


class AccessServicer:
    """AccessService. The service token has been checked before a request gets here."""

    async def introspect(
        self, request: access_pb2.IntrospectRequest, ctx: object
    ) -> access_pb2.IntrospectResponse:
        """What an access token or API key stands for now."""
        # The address is the one that the credential was presented from, not the service's own.
        call = Call(Source.RPC, request.address or None, current_call().request_id)
        found = await orm(None, introspect, call, request.credential, request.organization)
        return _message(found) if found else access_pb2.IntrospectResponse()


def _message(found: Introspection) -> access_pb2.IntrospectResponse:
    actor = found.actor
    return access_pb2.IntrospectResponse(
        active=True,
        subject=str(actor.user_id),
        kind=actor.kind.value,
        organization_id=str(actor.organization_id),
        organization_slug=found.organization_slug,
        role=actor.role,
        permissions=sorted(actor.permissions),
        grants=[
            access_pb2.NarrowGrant(
                permissions=sorted(grant.permissions),
                team_id=_text(grant.team_id),
                group_id=_text(grant.group_id),
            )
            for grant in actor.grants
        ],
        expires_at=timestamp(found.expires_at),
    )


def _text(value: UUID | None) -> str:
    return str(value) if value else ""
