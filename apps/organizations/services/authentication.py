"""Finding out who is calling, with a limit on guessing. Runs before there is an actor."""

from datetime import timedelta

import structlog
from django.core.cache import cache
from redis.exceptions import RedisError

from apps.accounts.errors import InvalidApiKey
from apps.accounts.services.api_keys import note_api_key_use
from apps.core.actors import Actor, Call
from apps.core.errors import TooMany
from apps.core.tenancy import tenant
from apps.organizations.selectors import actor_for_api_key

log = structlog.get_logger(__name__)

MAX_FAILURES = 20
WINDOW = timedelta(minutes=1)


def authenticate_api_key(call: Call, secret: str) -> Actor:
    """Who an API key speaks for; remembers its use.

    Raises `InvalidApiKey`, and `TooMany` once an address has sent too many bad keys in a minute.
    A valid key always works, so nobody can lock out a neighbour. Without Valkey nothing is counted:
    keys hold 190 random bits, the limit only saves work.
    """
    try:
        actor = actor_for_api_key(secret, call)
    except InvalidApiKey:
        if _count_failure(call.address or "unknown") > MAX_FAILURES:
            raise TooMany(
                "Too many invalid API keys from this address.",
                retry_after_seconds=int(WINDOW.total_seconds()),
            ) from None
        raise
    _note_use(actor)
    return actor


def _count_failure(address: str) -> int:
    counter = f"bad-key:{address}"
    try:
        cache.add(counter, 0, timeout=int(WINDOW.total_seconds()))
        return int(cache.incr(counter))
    except (RedisError, OSError, ValueError) as error:
        log.warning("failure_not_counted", error=str(error))
        return 0


def _note_use(actor: Actor) -> None:
    """At most one write a minute and key, decided in the cache first."""
    try:
        is_due = cache.add(f"key-used:{actor.id}", 1, timeout=60)
    except (RedisError, OSError):
        is_due = True
    if is_due:
        with tenant(actor.organization_id):
            note_api_key_use(actor)
