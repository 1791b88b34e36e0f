"""What a bearer credential stands for, for the platform's own services (RFC 7662 in spirit)."""

from dataclasses import dataclass
from datetime import UTC, datetime

from apps.accounts.domain import jwt
from apps.accounts.selectors import find_usable_api_key
from apps.accounts.services.signing_keys import RING
from apps.core.actors import Actor, ActorKind, Call
from apps.core.errors import FleetdError, Kind
from apps.core.tenancy import tenant
from apps.organizations.selectors import find_organization_slug
from apps.organizations.services.authentication import authenticate_caller


@dataclass(frozen=True, slots=True)
class Introspection:
    """A credential that is good now."""

    actor: Actor
    organization_slug: str
    expires_at: datetime | None


def introspect(call: Call, credential: str, organization: str = "") -> Introspection | None:
    """Whom a credential speaks for, as if it had been presented in `call`; None when it is no good.

    Why is not said. Raises `TooMany` for an address with too many bad credentials.
    """
    try:
        actor = authenticate_caller(call, credential, organization)
        ends = _end_of(actor, credential)
    except jwt.TokenRefused:
        return None
    except FleetdError as error:
        if error.kind in (Kind.EXHAUSTED, Kind.UNAVAILABLE):
            raise
        return None
    return Introspection(actor, find_organization_slug(actor.organization_id), ends)


def _end_of(actor: Actor, credential: str) -> datetime | None:
    if actor.kind is not ActorKind.API_KEY:
        return datetime.fromtimestamp(RING.verify(credential).expires_at, UTC)
    with tenant(actor.organization_id):
        key = find_usable_api_key(actor.organization_id, actor.id)
    return key.expires_at if key else None
