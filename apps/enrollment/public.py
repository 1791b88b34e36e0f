"""Enrollment tokens, as REST and RPC offer them."""

from datetime import timedelta

from apps.core.actors import Actor
from apps.core.public import id_of, ids_of, operation, page_of, timestamp
from apps.enrollment import selectors
from apps.enrollment.models import EnrollmentToken
from apps.enrollment.permissions import (
    CREATE_ENROLLMENT_TOKEN,
    REVOKE_ENROLLMENT_TOKEN,
    VIEW_ENROLLMENT_TOKENS,
)
from apps.enrollment.services import tokens as services
from fleetd.pb.public.v1 import fleet_pb2 as pb


@operation(VIEW_ENROLLMENT_TOKENS)
def list_enrollment_tokens(
    actor: Actor, request: pb.ListEnrollmentTokensRequest
) -> pb.ListEnrollmentTokensResponse:
    """The organization's enrollment tokens, newest first."""
    page = selectors.list_enrollment_tokens(actor, page_of(request))
    return pb.ListEnrollmentTokensResponse(
        items=[token_message(token) for token in page.items], next_page_token=page.next_page_token
    )


@operation(VIEW_ENROLLMENT_TOKENS)
def get_enrollment_token(
    actor: Actor, request: pb.GetEnrollmentTokenRequest
) -> pb.GetEnrollmentTokenResponse:
    """One enrollment token."""
    token = selectors.get_enrollment_token(actor, id_of(request.id))
    return pb.GetEnrollmentTokenResponse(enrollment_token=token_message(token))


@operation(CREATE_ENROLLMENT_TOKEN)
def create_enrollment_token(
    actor: Actor, request: pb.CreateEnrollmentTokenRequest
) -> pb.CreateEnrollmentTokenResponse:
    """Makes a token with which devices can join. The secret is shown this once."""
    lifetime = timedelta(seconds=request.lifetime_seconds)
    made = services.create_enrollment_token(
        actor,
        name=request.name,
        max_uses=request.max_uses or 1,
        lifetime=lifetime or services.DEFAULT_LIFETIME,
        requires_approval=request.requires_approval,
        tags=list(request.tags),
        group_ids=ids_of(request.group_ids, "group_ids"),
    )
    return pb.CreateEnrollmentTokenResponse(
        enrollment_token=token_message(made.token), secret=made.secret
    )


@operation(REVOKE_ENROLLMENT_TOKEN)
def revoke_enrollment_token(
    actor: Actor, request: pb.RevokeEnrollmentTokenRequest
) -> pb.RevokeEnrollmentTokenResponse:
    """Ends a token at once; devices that joined with it stay."""
    token = services.revoke_enrollment_token(actor, id_of(request.id))
    return pb.RevokeEnrollmentTokenResponse(enrollment_token=token_message(token))


def token_message(token: EnrollmentToken) -> pb.EnrollmentToken:
    """A token without its secret."""
    return pb.EnrollmentToken(
        id=str(token.id),
        name=token.name,
        prefix=token.prefix,
        max_uses=token.max_uses,
        uses_left=token.uses_left,
        expires_at=timestamp(token.expires_at),
        revoked_at=timestamp(token.revoked_at),
        requires_approval=token.requires_approval,
        tags=token.tags,
        group_ids=[str(group_id) for group_id in token.group_ids],
        created_at=timestamp(token.created_at),
    )
