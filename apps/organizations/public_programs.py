"""Programs that are signed in, as REST and RPC offer them: tokens and sessions."""

from apps.accounts.models import RefreshFamily
from apps.accounts.selectors import list_sessions as select_sessions
from apps.core.actors import Actor, Call
from apps.core.public import SIGNED_IN, id_of, open_operation, operation, timestamp
from apps.organizations.services import programs as services
from fleetd.pb.public.v1 import auth_pb2


@open_operation
def login(call: Call, request: auth_pb2.LoginRequest) -> auth_pb2.LoginResponse:
    """Signs a program in with e-mail and password; `mfa_required` asks for `code` as well."""
    made = services.sign_in_program(
        call,
        email=request.email,
        password=request.password,
        code=request.code,
        organization=request.organization,
        client=request.client,
    )
    found = made.organization
    return auth_pb2.LoginResponse(
        access_token=made.tokens.access_token,
        refresh_token=made.tokens.refresh_token,
        expires_in=made.tokens.expires_in,
        user=auth_pb2.SignedInUser(
            id=str(made.user.id), email=made.user.email, name=made.user.name
        ),
        organization=auth_pb2.TokenOrganization(id=str(found.id), slug=found.slug, name=found.name)
        if found
        else None,
    )


@open_operation
def refresh(call: Call, request: auth_pb2.RefreshRequest) -> auth_pb2.RefreshResponse:
    """New tokens for a refresh token, which is used up by this.

    The same one again within ten seconds gives the same answer, because answers get lost; later it
    ends the sign-in.
    """
    pair = services.refresh_program(call, request.refresh_token)
    return auth_pb2.RefreshResponse(
        access_token=pair.access_token,
        refresh_token=pair.refresh_token,
        expires_in=pair.expires_in,
    )


@operation(SIGNED_IN)
def logout(actor: Actor, request: auth_pb2.LogoutRequest) -> auth_pb2.LogoutResponse:
    """Ends the sign-in that the access token belongs to, within five seconds."""
    services.sign_out_program(actor)
    return auth_pb2.LogoutResponse()


@operation(SIGNED_IN)
def logout_everywhere(
    actor: Actor, request: auth_pb2.LogoutEverywhereRequest
) -> auth_pb2.LogoutEverywhereResponse:
    """Ends every sign-in of the caller, in browsers too. API keys stay."""
    services.sign_out_person_everywhere(actor)
    return auth_pb2.LogoutEverywhereResponse()


@operation(SIGNED_IN)
def list_sessions(
    actor: Actor, request: auth_pb2.ListSessionsRequest
) -> auth_pb2.ListSessionsResponse:
    """The caller's programs that are signed in, newest first; a hundred at most."""
    items = [session_message(family, actor) for family in select_sessions(actor)]
    return auth_pb2.ListSessionsResponse(items=items)


@operation(SIGNED_IN)
def revoke_session(
    actor: Actor, request: auth_pb2.RevokeSessionRequest
) -> auth_pb2.RevokeSessionResponse:
    """Ends one of the caller's sign-ins; ending it again changes nothing."""
    services.revoke_session(actor, id_of(request.id))
    return auth_pb2.RevokeSessionResponse()


def session_message(family: RefreshFamily, actor: Actor) -> auth_pb2.Session:
    """A sign-in of a program."""
    return auth_pb2.Session(
        id=str(family.id),
        client=family.client,
        organization=family.bound_to.slug if family.bound_to else "",
        methods=family.methods,
        last_address=family.last_address,
        created_at=timestamp(family.created_at),
        last_used_at=timestamp(family.last_used_at),
        expires_at=timestamp(family.expires_at),
        is_current=family.id == actor.session_id,
    )
