"""How many calls an address, a person, a key and an organization may make, at every door.

Doors ask in two steps. Before anything is looked up: the address, whoever it claims to be. Once the
caller is known: the caller and its organization. A call that turns out to come from nobody costs
the address a second, smaller budget, which those who are somebody never touch: so a made-up token
does not escape the address's limit, and a stranger cannot use up a neighbour's.
"""

from collections.abc import Iterable, Sequence
from http import HTTPStatus

from django.conf import settings

from apps.core.actors import Actor, ActorKind
from apps.core.addresses import limit_key
from apps.core.limits import Budget, Limit, LimitReached, take_all, take_all_async
from apps.web.organization_rules import current_rules

MINUTE = 60
POLICY, STATE, RETRY = "RateLimit-Policy", "RateLimit", "Retry-After"
REFUSED = frozenset({HTTPStatus.UNAUTHORIZED})


def of_address(address: str | None) -> list[Limit]:
    """What every counted call takes, before it is known whose it is."""
    return [_per_minute("address", limit_key(address), settings.LIMIT_ADDRESS)]


def of_nobody(address: str | None) -> list[Limit]:
    """What a call takes in addition that shows no valid credential."""
    return [_per_minute("unauthenticated", limit_key(address), settings.LIMIT_UNAUTHENTICATED)]


def of_socket(address: str | None) -> list[Limit]:
    """What opening a WebSocket takes."""
    return [
        *of_address(address),
        _per_minute("sockets", limit_key(address), settings.LIMIT_SOCKETS),
    ]


def of_caller(actor: Actor) -> list[Limit]:
    """What a call of somebody takes: the person or the key, and the organization."""
    found = []
    if actor.kind is ActorKind.USER:
        found.append(_per_minute("user", str(actor.user_id), settings.LIMIT_USER))
    elif actor.kind is ActorKind.API_KEY:
        found.append(_per_minute("api_key", str(actor.id), settings.LIMIT_API_KEY))
    else:
        return []
    quota = current_rules().calls_per_minute(actor.organization_id)
    organization = str(actor.organization_id)
    return [*found, _per_minute("organization", organization, quota)]


def headers(budgets: Iterable[Budget]) -> dict[str, str]:
    """The two fields of draft-ietf-httpapi-ratelimit-headers-11; none where nothing is limited."""
    shown = list({budget.name: budget for budget in budgets if budget.limit}.values())
    if not shown:
        return {}
    return {
        POLICY: ", ".join(f'"{b.name}";q={b.limit};w={b.per_seconds}' for b in shown),
        STATE: ", ".join(f'"{b.name}";r={b.remaining};t={b.reset_seconds}' for b in shown),
    }


def refusal_headers(refused: LimitReached, taken: Sequence[Budget] = ()) -> dict[str, str]:
    """The same for a refused call, with when to come back."""
    retry = {RETRY: str(refused.retry_after_seconds)}
    return {**headers([*refused.budgets, *taken]), **retry}


def spend(limits: Sequence[Limit]) -> tuple[Budget, ...]:
    """Takes a call from all of them or from none. Raises `LimitReached`."""
    return take_all(limits)


async def spend_async(limits: Sequence[Limit]) -> tuple[Budget, ...]:
    """The same on an event loop."""
    return await take_all_async(limits)


def _per_minute(name: str, key: str, limit: int) -> Limit:
    return Limit(name, key, limit, MINUTE)
