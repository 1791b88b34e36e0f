"""Who is calling: API keys on public services, nobody or a device certificate on internal ones."""

import hashlib
import time
from dataclasses import dataclass, replace
from enum import Enum

from connectrpc.request import Headers

from apps.core.actors import Actor, Call, Source, system_actor
from apps.core.errors import Unauthenticated
from apps.core.rpc import orm
from apps.core.tenancy import tenant
from apps.organizations.errors import NoOrganization
from apps.organizations.selectors import get_organization
from apps.organizations.services.authentication import authenticate_api_key

REMEMBERED_SECONDS = 5.0
MAX_REMEMBERED = 4096


class Credentials(Enum):
    """What a service accepts. A credential of another kind is refused, not ignored."""

    PUBLIC = "an API key"
    CERTIFICATE = "a device certificate"
    NONE = "nothing"


@dataclass(frozen=True, slots=True)
class KnownKey:
    """What an API key stood for when it was last looked up."""

    actor: Actor
    organization_slug: str
    until: float


class KeyCache:
    """The actors of recently used API keys, so that not every call asks the database.

    An entry lives five seconds, which is how long a revoked key may still be accepted. Keys are
    held by their digest only.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, KnownKey] = {}

    async def find(self, secret: str, call: Call) -> KnownKey:
        """Raises `InvalidApiKey`, and `TooMany` for an address that keeps guessing."""
        digest = hashlib.sha256(secret.encode()).digest()
        known = self._known.get(digest)
        if known is None or known.until < time.monotonic():
            self._known.pop(digest, None)
            known = await orm(None, _look_up, secret, call)
            self._remember(digest, known)
        return known

    def _remember(self, digest: bytes, known: KnownKey) -> None:
        if len(self._known) >= MAX_REMEMBERED:
            self._known.pop(next(iter(self._known)))
        self._known[digest] = known


def _look_up(secret: str, call: Call) -> KnownKey:
    actor = authenticate_api_key(call, secret)
    with tenant(actor.organization_id):
        # As the system: the key's scopes need not include reading the organization.
        system = system_actor(actor.organization_id, source=Source.RPC)
        organization = get_organization(system, actor.organization_id)
    return KnownKey(actor, organization.slug, time.monotonic() + REMEMBERED_SECONDS)


_KEYS = KeyCache()


async def authenticate(credentials: Credentials, headers: Headers, call: Call) -> Actor | None:
    """The actor of a call to a service with these credentials.

    None where the service needs none or looks at the certificate itself. Internal services refuse
    public credentials: whoever sends one there has mixed up two doors.
    """
    secret = _presented(headers)
    if credentials is not Credentials.PUBLIC:
        if secret is not None:
            raise Unauthenticated("This service does not take public credentials.")
        return None
    if not secret:
        raise Unauthenticated
    known = await _KEYS.find(secret, call)
    wanted = headers.get("fleetd-organization", "")
    if wanted not in ("", known.organization_slug, str(known.actor.organization_id)):
        raise NoOrganization
    return replace(known.actor, call=call)


def forget_keys() -> None:
    """Empties the cache."""
    _KEYS._known.clear()


def _presented(headers: Headers) -> str | None:
    """The API key in the headers, None where there is no credential of any kind.

    An unknown scheme is presented but is no key: the empty string. Two different keys are too.
    """
    key, authorization = headers.get("x-api-key"), headers.get("authorization")
    if authorization is None:
        return key
    scheme, _, token = authorization.partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    return bearer if key in (None, bearer) else ""
