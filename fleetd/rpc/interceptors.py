"""What happens around every RPC, the same on Connect, gRPC-Web and gRPC.

`Boundary` comes first and sees every failure; `Authentication` runs before the request is read;
`Validation` runs before the servicer.
"""

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog
from connectrpc.method import StreamType
from connectrpc.request import RequestContext
from django.conf import settings

from apps.audit.models import AuditEntry
from apps.audit.services.entries import record
from apps.core.actors import Actor, Call, Source
from apps.core.errors import PermissionDenied
from apps.core.ids import uuid7
from apps.core.rpc import CALLER, Caller, orm
from fleetd.rpc import metrics, validation
from fleetd.rpc.authentication import Credentials, authenticate
from fleetd.rpc.failures import Failure, failure_of

log = structlog.get_logger(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9_.\-]{8,64}", re.ASCII)
Context = RequestContext[Any, Any]


@dataclass(slots=True)
class Flight:
    """One RPC under way."""

    caller: Caller
    began: float


class Boundary:
    """Request ids, errors by table, audit of refusals, metrics. Never raises at the start."""

    def __init__(self, door: str, source: Source) -> None:
        self._door = door
        self._source = source

    async def on_start(self, ctx: Context) -> Flight:
        """Gives the RPC its id and its place in the logs."""
        call = Call(self._source, client_address(ctx), _request_id(ctx))
        caller = Caller(call, f"{ctx.method.service_name}/{ctx.method.name}")
        CALLER.set(caller)
        structlog.contextvars.bind_contextvars(request_id=call.request_id, method=caller.method)
        ctx.response_headers["request-id"] = call.request_id
        ctx.response_headers["cache-control"] = "no-store"
        return Flight(caller, time.perf_counter())

    async def on_end(self, flight: Flight, ctx: Context, error: Exception | None) -> None:
        """Raises the failure that the client sees instead of `error`."""
        caller = flight.caller
        failure = failure_of(error, caller.call.request_id) if error else None
        outcome = failure.reason if failure else "ok"
        metrics.REQUESTS.labels(caller.method, self._door, outcome).inc()
        metrics.SECONDS.labels(caller.method, self._door).observe(
            time.perf_counter() - flight.began
        )
        if failure is None:
            return
        if isinstance(error, PermissionDenied) and caller.actor is not None:
            await _record_refusal(caller.actor, caller.method, error)
        _announce(ctx, failure)
        raise failure


class Authentication:
    """Finds the actor from the credentials that a service accepts."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def on_start(self, ctx: Context) -> None:
        """Raises `Unauthenticated` before anything of the request is read."""
        caller = CALLER.get()
        caller.actor = await authenticate(self._credentials, ctx.request_headers, caller.call)

    async def on_end(self, token: None, ctx: Context, error: Exception | None) -> None:
        """Nothing to undo."""


class Validation:
    """Checks requests against the rules of their proto. Bidirectional streams check their own."""

    async def intercept_unary(
        self, call_next: Callable[[Any, Context], Awaitable[Any]], request: Any, ctx: Context
    ) -> Any:
        """One request, one answer."""
        validation.check(request)
        return await call_next(request, ctx)

    async def intercept_server_stream(
        self, call_next: Callable[[Any, Context], AsyncIterator[Any]], request: Any, ctx: Context
    ) -> AsyncIterator[Any]:
        """One request, many answers."""
        validation.check(request)
        async for response in call_next(request, ctx):
            yield response


def around(door: str, source: Source, credentials: Credentials) -> list[Any]:
    """The interceptors of one service at one door, outermost first."""
    return [Boundary(door, source), Authentication(credentials), Validation()]


async def _record_refusal(actor: Actor, method: str, error: PermissionDenied) -> None:
    """Audits what was refused. The refusal stands, whether or not it can be written down."""
    action = str(error.data.get("permission", "")) or method
    values = {name: value for name, value in error.data.items() if name != "permission"}
    changes = {"method": method, **values}
    try:
        await orm(actor, record, actor, action, changes=changes, result=AuditEntry.Result.DENIED)
    except Exception as failed:
        log.error("refusal_not_audited", action=action, exc_info=failed)


def _announce(ctx: Context, failure: Failure) -> None:
    """Puts the stable code where clients without protobuf find it: in the headers."""
    values = {"fleetd-code": failure.reason}
    if failure.retry_after_seconds is not None:
        values["retry-after"] = str(failure.retry_after_seconds)
    for name, value in values.items():
        ctx.response_headers[name] = value
        if ctx.method.stream_type is not StreamType.UNARY or _is_grpc(ctx):
            ctx.response_trailers[name] = value


def _is_grpc(ctx: Context) -> bool:
    return ctx.request_headers.get("content-type", "").startswith("application/grpc")


def _request_id(ctx: Context) -> str:
    """The caller's own id where it is one harmless word, else a new one."""
    given = ctx.request_headers.get("request-id") or ctx.request_headers.get("x-request-id") or ""
    return given if REQUEST_ID.fullmatch(given) else f"req_{uuid7().hex}"


def client_address(ctx: Context) -> str | None:
    """The address of the socket, or what the trusted proxies in front say about it."""
    forwarded = ctx.request_headers.get("x-forwarded-for", "").split(",")
    trusted = settings.TRUSTED_PROXIES
    if trusted and len(forwarded) >= trusted and forwarded[-trusted].strip():
        return forwarded[-trusted].strip()[:45]
    host = (ctx.client_address or "").rpartition(":")[0].strip("[]")
    return host or None
