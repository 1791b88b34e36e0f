"""What RPC servicers need: who is calling, and the database from async code.

The RPC layer of the project sets the caller before a servicer runs. Servicers are plain classes
with async methods `(request, ctx)`; they raise `FleetdError` and never touch a protocol.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from functools import cache, partial
from typing import ParamSpec, TypeVar
from uuid import UUID

import psycopg
from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections

from apps.core.actors import Actor, Call
from apps.core.errors import Unauthenticated
from apps.core.limits import Budget
from apps.core.tenancy import tenant

P = ParamSpec("P")
T = TypeVar("T")

# What is raised where PostgreSQL cannot be reached or gives up; trying again later may help.
DATABASE_AWAY = (
    OperationalError,
    InterfaceError,
    psycopg.OperationalError,
    psycopg.InterfaceError,
)
MAX_THREADS = 8


@dataclass(slots=True)
class Caller:
    """Who the RPC under way comes from; `actor` is None until somebody is known.

    `budgets` are the limits that it has been counted on; `object_id` is what the request is about,
    once it was read.
    """

    call: Call
    method: str = ""
    actor: Actor | None = None
    object_id: str = ""
    budgets: list[Budget] = field(default_factory=list)


CALLER: ContextVar[Caller] = ContextVar("fleetd_rpc_caller")


def current_actor() -> Actor:
    """The actor of the RPC under way. Raises `Unauthenticated` where nobody is known."""
    actor = CALLER.get().actor
    if actor is None:
        raise Unauthenticated
    return actor


def current_call() -> Call:
    """Door, address and request id of the RPC under way."""
    return CALLER.get().call


async def orm(
    scope: Actor | UUID | None, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Runs `function` in a thread with a database connection, as one unit of work.

    `scope` says whose rows it sees: an actor's organization or an organization, in one transaction;
    None where the function opens `tenant()` itself. Each call is short: streams never hold a
    connection while they wait.
    """
    organization_id = scope.organization_id if isinstance(scope, Actor) else scope
    work = partial(_unit_of_work, organization_id, partial(function, *args, **kwargs))
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_threads(), partial(copy_context().run, work))


def _unit_of_work(organization_id: UUID | None, function: Callable[[], T]) -> T:
    """One transaction of one organization; the connection goes back to the pool afterwards."""
    close_old_connections()
    try:
        if organization_id is None:
            return function()
        with tenant(organization_id):
            return function()
    finally:
        close_old_connections()


@cache
def _threads() -> ThreadPoolExecutor:
    """One pool per process, smaller than the database pool: a thread never waits for the other."""
    connections = settings.DATABASES["default"]["OPTIONS"].get("pool", {}).get("max_size", 1)
    size = max(1, min(MAX_THREADS, connections * 2 // 3))
    return ThreadPoolExecutor(size, thread_name_prefix="orm")
