"""Making, rotating and revoking API keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q

from apps.accounts.domain import networks as blocks
from apps.accounts.domain import secrets
from apps.accounts.domain.key_states import USABLE, state_of
from apps.accounts.models import ApiKey
from apps.accounts.permissions import (
    CREATE_API_KEY,
    MANAGE_API_KEYS,
    REVOKE_API_KEY,
    ROTATE_API_KEY,
)
from apps.accounts.services.room import require_room
from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor, ActorKind
from apps.core.authz import grantable, require
from apps.core.errors import NotFound, PermissionDenied, WrongState, invalid

DEFAULT_LIFETIME = timedelta(days=90)
MAX_LIFETIME = timedelta(days=366)
MAX_OVERLAP = timedelta(days=7)
USE_NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key just made or rotated, with its secret, which is nowhere else."""

    api_key: ApiKey
    secret: str


@dataclass(frozen=True, slots=True)
class KeyPlan:
    """What a new key is to be. No scopes: all rights of its user; no networks: every address."""

    name: str
    scopes: Sequence[str] = ()
    lifetime: timedelta | None = None
    networks: Sequence[str] = ()


def create_api_key(
    actor: Actor,
    *,
    name: str,
    scopes: Sequence[str] = (),
    lifetime: timedelta | None = None,
    networks: Sequence[str] = (),
) -> NewApiKey:
    """Makes a key for the caller. It acts as its maker, within `scopes` and from `networks`.

    Not idempotent: each call makes another key. The secret is in the answer and never again. A key
    made by a key has its scopes, networks and end at most. Raises `InvalidRequest` for values that
    mean nothing, `PermissionDenied` for a key that would be more than its maker, and what the
    organization's quota raises.
    """
    require(actor, CREATE_API_KEY)
    if actor.user_id is None:
        raise PermissionDenied("Only a person can have API keys.")
    return make_key(actor, actor.user_id, KeyPlan(name, scopes, lifetime, networks))


def make_key(actor: Actor, user_id: UUID, plan: KeyPlan) -> NewApiKey:
    """Makes a key of a user; whoever calls this has checked that the actor may."""
    _check_name(plan.name)
    _check_scopes(plan.scopes)
    allowed = _checked_networks(plan.networks)
    require_room(actor, "api_keys")  # locks the organization, which always comes before its keys
    maker = _making_key(actor)
    at = clock.now()
    expires_at = _end(at, plan.lifetime, maker)
    scopes = _within_scopes(maker, plan.scopes)
    secret = secrets.new_secret(secrets.API_KEY)
    key = ApiKey(
        organization_id=actor.organization_id,
        user_id=user_id,
        name=plan.name.strip(),
        prefix=secrets.shown_prefix(secret),
        secret_hash=secrets.secret_hash(secret),
        scopes=sorted(set(scopes)),
        networks=_within_networks(maker, allowed),
        parent=maker,
        created_at=at,
        expires_at=expires_at,
    )
    key.save(force_insert=True)
    changes = {
        "name": key.name,
        "scopes": key.scopes,
        "networks": key.networks,
        "expires_at": key.expires_at,
    }
    record(actor, CREATE_API_KEY.name, key, changes=changes)
    return NewApiKey(key, secret)


def rotate_api_key(
    actor: Actor,
    api_key_id: UUID,
    *,
    overlap: timedelta = timedelta(0),
    lifetime: timedelta | None = None,
) -> NewApiKey:
    """Gives one of the caller's keys a new secret; the old one works for `overlap` more.

    The key stays the same otherwise and lasts as long again as before, or `lifetime`. A key renews
    itself and the keys that it made, and cannot prolong them beyond its own end. Raises
    `WrongState` for a key that has ended, `InvalidRequest` for an overlap over seven days.
    """
    key = _locked(actor, api_key_id, of_user=actor.user_id)
    require(actor, ROTATE_API_KEY)
    return renew_key(actor, key, overlap=overlap, lifetime=lifetime)


def renew_key(
    actor: Actor, key: ApiKey, *, overlap: timedelta, lifetime: timedelta | None
) -> NewApiKey:
    """A new secret for a locked key; whoever calls this has checked that the actor may."""
    if not timedelta(0) <= overlap <= MAX_OVERLAP:
        raise invalid("overlap_seconds", "invalid_overlap", "The overlap is 7 days at most.")
    if actor.kind is ActorKind.API_KEY and actor.id not in (key.id, key.parent_id):
        raise PermissionDenied("A key renews itself and the keys that it made.")
    at = clock.now()
    if state_of(key, at) != USABLE:
        raise WrongState("This key has ended; make a new one.")
    lasted = key.expires_at - (key.rotated_at or key.created_at)
    bound = _making_key(actor) or key.parent
    secret = secrets.new_secret(secrets.API_KEY)
    before = key.expires_at
    key.previous_hash = key.secret_hash if overlap else ""
    key.previous_until = min(at + overlap, before) if overlap else None
    key.secret_hash, key.prefix = secrets.secret_hash(secret), secrets.shown_prefix(secret)
    key.expires_at = _end(at, lifetime or _shortened(at, lasted, bound), bound)
    key.rotated_at = at
    key.save(
        update_fields=[
            "previous_hash",
            "previous_until",
            "secret_hash",
            "prefix",
            "expires_at",
            "rotated_at",
        ]
    )
    changes = {"expires_at": [before, key.expires_at], "old_works_until": key.previous_until}
    record(actor, ROTATE_API_KEY.name, key, changes=changes)
    return NewApiKey(key, secret)


def revoke_api_key(actor: Actor, api_key_id: UUID) -> ApiKey:
    """Ends a key at once, with the keys that it made. Revoking a revoked key changes nothing.

    One's own, or anybody's in the organization with the right to manage them.
    """
    manages = actor.has_perm(MANAGE_API_KEYS.name)
    key = _locked(actor, api_key_id, of_user=None if manages else actor.user_id)
    if key.user_id != actor.user_id:
        require(actor, MANAGE_API_KEYS)
    else:
        require(actor, REVOKE_API_KEY)
    if key.revoked_at is None:
        _revoke(actor, key)
    return key


def note_api_key_use(actor: Actor) -> None:
    """Remembers when and from where the actor's key was used, at most once a minute."""
    at = clock.now()
    ApiKey.objects.for_org(actor.organization_id).filter(id=actor.id).exclude(
        last_used_at__gt=at - USE_NOTED_EVERY
    ).update(last_used_at=at, last_used_address=(actor.call.address or "")[:45])


def _locked(actor: Actor, api_key_id: UUID, *, of_user: UUID | None) -> ApiKey:
    """The key, of anybody where `of_user` is None."""
    keys = ApiKey.objects.for_org(actor.organization_id).select_for_update(of=("self",))
    mine = Q() if of_user is None else Q(user_id=of_user)
    key: ApiKey | None = keys.filter(mine, id=api_key_id).first()
    if key is None:
        raise NotFound
    return key


def _revoke(actor: Actor, key: ApiKey) -> None:
    """Ends a key and what it made, and what that made."""
    key.revoked_at = clock.now()
    key.save(update_fields=["revoked_at"])
    record(actor, REVOKE_API_KEY.name, key)
    keys = ApiKey.objects.for_org(actor.organization_id)
    for child in keys.select_for_update(of=("self",)).filter(parent=key, revoked_at=None):
        _revoke(actor, child)


def _making_key(actor: Actor) -> ApiKey | None:
    """The key that the caller came with, locked, so that it cannot end meanwhile."""
    if actor.kind is not ActorKind.API_KEY or actor.id is None:
        return None
    keys = ApiKey.objects.for_org(actor.organization_id).select_for_update(of=("self",))
    key: ApiKey | None = keys.filter(id=actor.id, revoked_at=None).first()
    if key is None:
        raise PermissionDenied("The key that this call came with has ended.")
    return key


def _end(at: datetime, lifetime: timedelta | None, maker: ApiKey | None) -> datetime:
    """When a key ends; never after the key that made it."""
    lasts = lifetime or _shortened(at, DEFAULT_LIFETIME, maker)
    if not timedelta(0) < lasts <= MAX_LIFETIME:
        raise invalid("lifetime", "invalid_lifetime", "A key lives at most 366 days.")
    if maker is not None and at + lasts > maker.expires_at:
        raise PermissionDenied("A key cannot make a key that outlives it.")
    return at + lasts


def _shortened(at: datetime, lasts: timedelta, maker: ApiKey | None) -> timedelta:
    return min(lasts, maker.expires_at - at) if maker else lasts


def _within_scopes(maker: ApiKey | None, scopes: Sequence[str]) -> Sequence[str]:
    """A narrow key must not make itself a wide one: what it makes has its scopes at most."""
    if maker is None or not maker.scopes:
        return scopes
    if not set(scopes) <= set(maker.scopes):
        raise PermissionDenied("A key cannot make a key that may do more than itself.")
    return scopes or maker.scopes


def _within_networks(maker: ApiKey | None, chosen: list[str]) -> list[str]:
    """Nor may what it makes work from where it does not work itself."""
    if maker is None or not maker.networks:
        return chosen
    if chosen and not blocks.are_within(chosen, maker.networks):
        raise PermissionDenied("A key cannot make a key that works from more networks than itself.")
    return chosen or maker.networks


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise invalid("name", "invalid_name", "A key needs a name of at most 100 characters.")


def _check_scopes(scopes: Sequence[str]) -> None:
    unknown = sorted(set(scopes) - grantable())
    if unknown:
        raise invalid("scopes", "unknown_scope", f"There is no permission {unknown[0]!r}.")


def _checked_networks(texts: Sequence[str]) -> list[str]:
    """The networks in their usual spelling, each once."""
    found: list[str] = []
    if len(texts) > blocks.MAX_NETWORKS:
        raise invalid("networks", "too_many_networks", "A key has 20 networks at most.")
    for text in texts:
        try:
            block = str(blocks.read(text))
        except ValueError:
            raise invalid(
                "networks", "invalid_network", f"{text[:50]!r} is no network such as 192.0.2.0/24."
            ) from None
        if block not in found:
            found.append(block)
    return found
