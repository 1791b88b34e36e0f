"""How many calls an address, a caller and an organization may make over RPC."""

from typing import Any

from connectrpc.request import RequestContext

from apps.core.errors import FleetdError, Kind
from apps.core.limits import Limit, LimitReached
from apps.core.rpc import CALLER, current_call, orm
from apps.web import call_limits
from apps.web.caller_note import caller_is
from apps.web.organization_rules import current_rules, rules_are_fresh

Context = RequestContext[Any, Any]


class AddressLimit:
    """Before the credential is looked at: the address, whoever it claims to be.

    A call that turns out to come from nobody costs the address a second budget.
    """

    async def on_start(self, ctx: Context) -> None:
        """Raises `LimitReached`."""
        await _spend(ctx, call_limits.of_address(current_call().address))

    async def on_end(self, token: None, ctx: Context, error: Exception | None) -> None:
        """Raises `LimitReached` in the place of one refusal too many."""
        if isinstance(error, FleetdError) and error.kind is Kind.UNAUTHENTICATED:
            await _spend(ctx, call_limits.of_nobody(current_call().address))


class RefusalLimit(AddressLimit):
    """For devices that enroll: thousands may share an address, so only refusals are counted."""

    async def on_start(self, ctx: Context) -> None:
        """Counts nothing yet."""


class CallerLimit:
    """Once the caller is known: the person or key, and its organization."""

    async def on_start(self, ctx: Context) -> None:
        """Raises `LimitReached`."""
        caller = CALLER.get()
        if caller.actor is None:
            await _spend(ctx, call_limits.of_nobody(caller.call.address))
            return
        caller_is(caller.actor)
        if not rules_are_fresh():
            await orm(None, current_rules)
        await _spend(ctx, call_limits.of_caller(caller.actor))

    async def on_end(self, token: None, ctx: Context, error: Exception | None) -> None:
        """Nothing to undo."""


async def _spend(ctx: Context, limits: list[Limit]) -> None:
    """Takes a call, and says in the headers what is left."""
    budgets = CALLER.get().budgets
    try:
        budgets += await call_limits.spend_async(limits)
    except LimitReached as refused:
        budgets[:0] = refused.budgets
        raise
    finally:
        for name, value in call_limits.headers(budgets).items():
            ctx.response_headers[name.lower()] = value
