"""Tokens with which the platform's own services call each other.

They stand above organizations and open internal services only; public ones refuse them. Whoever
runs the server makes them with `fleetd service-token`.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog

from apps.accounts.domain import secrets
from apps.accounts.models import ServiceToken
from apps.core import clock
from apps.core.errors import NotFound, invalid

log = structlog.get_logger(__name__)

MAX_LIFETIME = timedelta(days=366)
USE_NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class NewServiceToken:
    """A token just made, with its secret, which is nowhere else."""

    token: ServiceToken
    secret: str


def create_service_token(*, name: str, lifetime: timedelta) -> NewServiceToken:
    """Makes a token. The secret is in the answer and never again. Raises `InvalidRequest`."""
    name = name.strip()
    if not name or len(name) > 100 or not name.isprintable():
        raise invalid("name", "invalid_name", "A name has 1 to 100 characters.")
    if not timedelta(0) < lifetime <= MAX_LIFETIME:
        raise invalid("lifetime", "invalid_lifetime", "A service token lives at most 366 days.")
    at = clock.now()
    secret = secrets.new_secret(secrets.SERVICE_TOKEN)
    token = ServiceToken.objects.create(
        name=name,
        prefix=secrets.shown_prefix(secret),
        token_hash=secrets.secret_hash(secret),
        created_at=at,
        expires_at=at + lifetime,
    )
    log.info("service_token_created", name=name, prefix=token.prefix)
    return NewServiceToken(token, secret)


def list_service_tokens() -> list[ServiceToken]:
    """All of them, newest first."""
    return list(ServiceToken.objects.order_by("-id"))


def revoke_service_token(token_id: UUID) -> ServiceToken:
    """Ends a token within five seconds; doing it again changes nothing. Raises `NotFound`."""
    token = ServiceToken.objects.filter(id=token_id).first()
    if token is None:
        raise NotFound
    if token.revoked_at is None:
        token.revoked_at = clock.now()
        token.save(update_fields=["revoked_at"])
        log.info("service_token_revoked", name=token.name, prefix=token.prefix)
    return token


def find_live_service_token(secret: str) -> ServiceToken | None:
    """The token, if it is good now; remembers its use, once a minute at most."""
    if not secrets.is_well_formed(secret, secrets.SERVICE_TOKEN):
        return None
    at = clock.now()
    tokens = ServiceToken.objects.filter(revoked_at=None, expires_at__gt=at)
    token = tokens.filter(token_hash=secrets.secret_hash(secret)).first()
    used = token.last_used_at if token else None
    if token is not None and (used is None or used < at - USE_NOTED_EVERY):
        ServiceToken.objects.filter(id=token.id).update(last_used_at=at)
    return token
