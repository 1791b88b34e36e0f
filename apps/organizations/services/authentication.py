"""Finding out who is calling by what the call presents. Runs before there is an actor.

One cache per process holds, for five seconds, whom a credential stood for. So a call costs no
query, and whatever takes rights away shows within these five seconds through every door.
"""

import time
from dataclasses import dataclass, replace
from hashlib import blake2b
from threading import Lock

import structlog
from django.core.cache import cache
from redis.exceptions import RedisError

from apps.accounts.domain import jwt
from apps.accounts.errors import InvalidApiKey, InvalidToken
from apps.accounts.services.api_keys import note_api_key_use
from apps.accounts.services.signing_keys import RING
from apps.core import clock
from apps.core.actors import Actor, Call
from apps.core.addresses import limit_key
from apps.core.errors import TooMany
from apps.core.limits import take
from apps.core.tenancy import tenant
from apps.organizations.errors import NoOrganization, PolicyRefusal
from apps.organizations.selectors import (
    actor_for_api_key,
    actor_for_token,
    find_organization_slug,
)
from apps.organizations.services.members import note_activity
from apps.organizations.services.sign_ins import record_policy_refusal

log = structlog.get_logger(__name__)

REMEMBERED_SECONDS = 5.0
MAX_REMEMBERED = 8192
MAX_FAILURES = 20
WINDOW_SECONDS = 60

_Key = tuple[bytes, str, str | None]


@dataclass(frozen=True, slots=True)
class Known:
    """Whom a credential stood for when it was last looked up."""

    actor: Actor
    until: float


_CALLERS: dict[_Key, Known] = {}
_LOCK = Lock()


def presented_credential(authorization: str | None, api_key: str | None) -> str | None:
    """The credential in the headers `Authorization` and `X-API-Key`; None where there is none.

    Raises `InvalidToken` for what is no credential of ours, and for two different ones: such a call
    must not go on as somebody else, for instance as the person of a browser's session.
    """
    if not authorization:
        return api_key or None
    scheme, _, rest = authorization.partition(" ")
    bearer = rest.strip() if scheme.lower() == "bearer" else ""
    if not bearer or api_key not in (None, "", bearer):
        raise InvalidToken
    return bearer


def recall_caller(call: Call, credential: str, organization: str = "") -> Actor | None:
    """Whom a credential stood for less than five seconds ago; None where nobody has looked.

    Reads nothing, so that doors can ask without leaving their event loop.
    """
    known = _CALLERS.get(_key(call, credential, organization))
    if known is None or known.until < time.monotonic():
        return None
    return replace(known.actor, call=call)


def authenticate_caller(call: Call, credential: str, organization: str = "") -> Actor:
    """Whom an access token or an API key speaks for, in the organization that the call asks for.

    Raises `InvalidToken` or `InvalidApiKey` without saying why, `NoOrganization` and
    `OrganizationAmbiguous`, and `TooMany` once an address has sent too many bad credentials in a
    minute. A valid one always works, so nobody can lock out a neighbour.
    """
    found = recall_caller(call, credential, organization)
    if found is not None:
        return found
    try:
        known = _look_up(call, credential, organization)
    except (InvalidToken, InvalidApiKey):
        _count_failure(call)
        raise
    except PolicyRefusal as error:
        record_policy_refusal(call, error)
        raise
    _remember(_key(call, credential, organization), known)
    note_activity(known.actor)
    return known.actor


def forget_callers() -> None:
    """Empties the cache of this process."""
    with _LOCK:
        _CALLERS.clear()


def _look_up(call: Call, credential: str, organization: str) -> Known:
    """Asks the database. The five seconds begin before the first query."""
    until = time.monotonic() + REMEMBERED_SECONDS
    if jwt.looks_like(credential):
        claims = _claims(credential)
        actor = actor_for_token(claims, call, organization=organization)
        left = claims.expires_at + jwt.LEEWAY_SECONDS - clock.now().timestamp()
        return Known(actor, min(until, time.monotonic() + left))
    if not credential.startswith("fld_pat_"):
        raise InvalidToken
    actor = actor_for_api_key(credential, call)
    slug = find_organization_slug(actor.organization_id)
    if organization not in ("", slug, str(actor.organization_id)):
        raise NoOrganization
    _note_use(actor)
    return Known(actor, until)


def _claims(token: str) -> jwt.Claims:
    try:
        return RING.verify(token)
    except jwt.TokenRefused as error:
        log.info("token_refused", reason=str(error))
        raise InvalidToken from None


def _remember(key: _Key, known: Known) -> None:
    with _LOCK:
        _CALLERS.pop(key, None)  # to the end of the line
        if len(_CALLERS) >= MAX_REMEMBERED:
            del _CALLERS[next(iter(_CALLERS))]
        _CALLERS[key] = known


def _key(call: Call, credential: str, organization: str) -> _Key:
    """Policies and networks look at the address, so it is part of what was decided."""
    digest = blake2b(credential.encode("utf-8", "replace"), digest_size=32).digest()
    return digest, organization, call.address


def _count_failure(call: Call) -> None:
    """Raises `TooMany` instead of the failure once there were too many of them."""
    try:
        take(
            "bad_credential",
            limit_key(call.address),
            limit=MAX_FAILURES,
            per_seconds=WINDOW_SECONDS,
        )
    except TooMany as error:
        raise TooMany(
            "Too many invalid credentials from this address.",
            retry_after_seconds=error.retry_after_seconds,
        ) from None


def _note_use(actor: Actor) -> None:
    """At most one write a minute and key, decided in the cache first."""
    try:
        is_due = cache.add(f"key-used:{actor.id}", 1, timeout=60)
    except (RedisError, OSError):
        is_due = True
    if is_due:
        with tenant(actor.organization_id):
            note_api_key_use(actor)
