"""Making and revoking API keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from apps.accounts.domain import secrets
from apps.accounts.models import ApiKey
from apps.accounts.permissions import CREATE_API_KEY, REVOKE_API_KEY
from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor, ActorKind
from apps.core.authz import declared, require
from apps.core.errors import NotFound, PermissionDenied, invalid

DEFAULT_LIFETIME = timedelta(days=90)
MAX_LIFETIME = timedelta(days=366)
USE_NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key just made, with its secret, which is nowhere else."""

    api_key: ApiKey
    secret: str


def create_api_key(
    actor: Actor, *, name: str, scopes: Sequence[str] = (), lifetime: timedelta | None = None
) -> NewApiKey:
    """Makes a key for the caller. It acts as its maker, within `scopes` (all when empty).

    Not idempotent: each call makes another key. The secret is in the answer and never again. A key
    that has scopes makes keys with those scopes or fewer. Raises `InvalidRequest` for unknown
    scopes and for lifetimes over a year, `PermissionDenied` for scopes beyond the caller's own.
    """
    require(actor, CREATE_API_KEY)
    if actor.user_id is None:
        raise PermissionDenied("Only a person can have API keys.")
    lifetime = lifetime or DEFAULT_LIFETIME
    _check(name, scopes, lifetime)
    scopes = _within_own_scopes(actor, scopes)
    secret = secrets.new_secret(secrets.API_KEY)
    at = clock.now()
    key = ApiKey(
        organization_id=actor.organization_id,
        user_id=actor.user_id,
        name=name.strip(),
        prefix=secrets.shown_prefix(secret),
        secret_hash=secrets.secret_hash(secret),
        scopes=sorted(set(scopes)),
        created_at=at,
        expires_at=at + lifetime,
    )
    key.save(force_insert=True)
    record(actor, CREATE_API_KEY.name, key, changes={"name": key.name, "scopes": key.scopes})
    return NewApiKey(key, secret)


def revoke_api_key(actor: Actor, api_key_id: UUID) -> ApiKey:
    """Ends one of the caller's keys at once. Revoking a revoked key changes nothing."""
    keys = ApiKey.objects.for_org(actor.organization_id).filter(user_id=actor.user_id)
    key: ApiKey | None = keys.select_for_update().filter(id=api_key_id).first()
    if key is None:
        raise NotFound
    require(actor, REVOKE_API_KEY)
    if key.revoked_at is None:
        key.revoked_at = clock.now()
        key.save(update_fields=["revoked_at"])
        record(actor, REVOKE_API_KEY.name, key)
    return key


def note_api_key_use(actor: Actor) -> None:
    """Remembers when and from where the actor's key was used, at most once a minute."""
    at = clock.now()
    ApiKey.objects.for_org(actor.organization_id).filter(id=actor.id).exclude(
        last_used_at__gt=at - USE_NOTED_EVERY
    ).update(last_used_at=at, last_used_address=(actor.call.address or "")[:45])


def _within_own_scopes(actor: Actor, scopes: Sequence[str]) -> Sequence[str]:
    """A narrow key must not make itself a wide one: what it makes has its scopes at most."""
    if actor.kind is not ActorKind.API_KEY:
        return scopes
    own: list[str] = ApiKey.objects.for_org(actor.organization_id).get(id=actor.id).scopes
    if own and not set(scopes) <= set(own):
        raise PermissionDenied("A key cannot make a key that may do more than itself.")
    return scopes or own


def _check(name: str, scopes: Sequence[str], lifetime: timedelta) -> None:
    if not name.strip() or len(name) > 100:
        raise invalid("name", "invalid_name", "A key needs a name of at most 100 characters.")
    unknown = sorted(set(scopes) - declared().keys())
    if unknown:
        raise invalid("scopes", "unknown_scope", f"There is no permission {unknown[0]!r}.")
    if not timedelta(0) < lifetime <= MAX_LIFETIME:
        raise invalid("lifetime", "invalid_lifetime", "A key lives at most 366 days.")
