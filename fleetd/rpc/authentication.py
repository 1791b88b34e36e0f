"""Who is calling: people and keys on public services, nobody or a certificate on internal ones."""

from enum import Enum

from connectrpc.request import Headers

from apps.core.actors import Actor, Call
from apps.core.errors import Unauthenticated
from apps.core.rpc import orm
from apps.organizations.services.authentication import (
    authenticate_caller,
    presented_credential,
    recall_caller,
)


class Credentials(Enum):
    """What a service accepts. A credential of another kind is refused, not ignored."""

    PUBLIC = "an access token or an API key"
    CERTIFICATE = "a device certificate"
    NONE = "nothing"


# Asked before anybody is known. A credential that comes with them is not looked at.
OPEN_METHODS = frozenset({"public.v1.AuthService/Login", "public.v1.AuthService/Refresh"})


async def authenticate(credentials: Credentials, headers: Headers, call: Call) -> Actor | None:
    """The actor of a call to a service with these credentials.

    None where the service needs none or looks at the certificate itself. Internal services refuse
    public credentials: whoever sends one there has mixed up two doors.
    """
    sent = headers.get("authorization"), headers.get("x-api-key")
    if credentials is not Credentials.PUBLIC:
        if sent != (None, None):
            raise Unauthenticated("This service does not take public credentials.")
        return None
    credential = presented_credential(*sent)
    if credential is None:
        raise Unauthenticated
    wanted = headers.get("fleetd-organization", "")
    known = recall_caller(call, credential, wanted)
    return known or await orm(None, authenticate_caller, call, credential, wanted)
