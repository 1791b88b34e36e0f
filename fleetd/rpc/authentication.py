"""Who is calling: people and keys on public services, nobody or a certificate on internal ones."""

from enum import Enum

import structlog
from connectrpc.request import Headers

from apps.accounts.services.service_tokens import find_live_service_token
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
    SERVICE = "a service token"
    NONE = "nothing"


# Asked before anybody is known. A credential that comes with them is not looked at.
OPEN_METHODS = frozenset({"public.v1.AuthService/Login", "public.v1.AuthService/Refresh"})


async def authenticate(credentials: Credentials, headers: Headers, call: Call) -> Actor | None:
    """The actor of a call to a service with these credentials.

    None where the service needs none, looks at the certificate itself, or is for the platform's own
    services. These refuse public credentials, and public services refuse theirs: whoever sends one
    there has mixed up two doors.
    """
    sent = headers.get("authorization"), headers.get("x-api-key")
    if credentials is Credentials.SERVICE:
        await _require_service_token(*sent)
        return None
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


async def _require_service_token(authorization: str | None, api_key: str | None) -> None:
    """Raises `Unauthenticated` unless one of the platform's own services calls."""
    scheme, _, secret = (authorization or "").partition(" ")
    is_bearer = scheme.lower() == "bearer" and api_key is None
    token = await orm(None, find_live_service_token, secret.strip()) if is_bearer else None
    if token is None:
        raise Unauthenticated("This service takes service tokens only.")
    structlog.contextvars.bind_contextvars(service=token.name)
