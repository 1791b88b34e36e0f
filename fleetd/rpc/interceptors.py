"""What happens around every RPC, the same on Connect, gRPC-Web and gRPC.

`Boundary` comes first and sees every failure; `Authentication` runs before the request is read;
`Validation` runs before the servicer.
"""

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from connectrpc.method import StreamType
from connectrpc.request import RequestContext

from apps.audit.services.refusals import record_refusal
from apps.audit.services.request_log import log_call
from apps.audit.types import Answered
from apps.core.actors import Actor, Call, Source
from apps.core.addresses import client_address
from apps.core.errors import PermissionDenied
from apps.core.ids import uuid7
from apps.core.rpc import CALLER, Caller, orm
from fleetd.rpc import metrics, validation
from fleetd.rpc.authentication import OPEN_METHODS, Credentials, authenticate
from fleetd.rpc.call_limits import AddressLimit, CallerLimit, RefusalLimit
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
        call = Call(self._source, address_of(ctx), _request_id(ctx))
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
        seconds = time.perf_counter() - flight.began
        metrics.REQUESTS.labels(caller.method, self._door, outcome).inc()
        metrics.SECONDS.labels(caller.method, self._door).observe(seconds)
        _log(ctx, caller, failure, seconds)
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
        if caller.method in OPEN_METHODS:
            return
        caller.actor = await authenticate(self._credentials, ctx.request_headers, caller.call)

    async def on_end(self, token: None, ctx: Context, error: Exception | None) -> None:
        """Nothing to undo."""


class Validation:
    """Checks requests against the rules of their proto. Bidirectional streams check their own."""

    async def intercept_unary(
        self, call_next: Callable[[Any, Context], Awaitable[Any]], request: Any, ctx: Context
    ) -> Any:
        """One request, one answer."""
        _note_object(request)
        validation.check(request)
        return await call_next(request, ctx)

    async def intercept_server_stream(
        self, call_next: Callable[[Any, Context], AsyncIterator[Any]], request: Any, ctx: Context
    ) -> AsyncIterator[Any]:
        """One request, many answers."""
        _note_object(request)
        validation.check(request)
        async for response in call_next(request, ctx):
            yield response


def around(door: str, source: Source, credentials: Credentials) -> list[Any]:
    """The interceptors of one service at one door, outermost first."""
    inner = [Authentication(credentials), Validation()]
    if credentials is Credentials.PUBLIC:
        inner = [AddressLimit(), inner[0], CallerLimit(), *inner[1:]]
    elif credentials is Credentials.SERVICE or (
        credentials is Credentials.NONE and source is Source.AGENT
    ):
        inner = [RefusalLimit(), *inner]
    return [Boundary(door, source), *inner]


def _log(ctx: Context, caller: Caller, failure: Failure | None, seconds: float) -> None:
    """The line of the request log; a stream has one, when it ends."""
    answered = Answered(
        method="RPC" if ctx.method.stream_type is StreamType.UNARY else "RPC stream",
        route=caller.method,
        status=failure.code.value if failure else "ok",
        code=failure.reason if failure else "ok",
        object_id=caller.object_id,
        seconds=seconds,
    )
    log_call(caller.actor, caller.call, answered)


def _note_object(request: Any) -> None:
    """Remembers what a request is about: its own id, or the first that it names."""
    names = [f.name for f in request.DESCRIPTOR.fields if f.type == f.TYPE_STRING]
    named = [n for n in names if n == "id" or n.endswith("_id")]
    for name in sorted(named, key=lambda n: n != "id"):
        value = getattr(request, name)
        if isinstance(value, str) and value:
            CALLER.get().object_id = value
            return


async def _record_refusal(actor: Actor, method: str, error: PermissionDenied) -> None:
    """Audits what was refused. The refusal stands, whether or not it can be written down."""
    try:
        await orm(actor, partial(record_refusal, actor, error, method=method))
    except Exception as failed:
        log.error("refusal_not_audited", method=method, exc_info=failed)


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


def address_of(ctx: Context) -> str | None:
    """The caller's address."""
    socket = (ctx.client_address or "").rpartition(":")[0].strip("[]")
    return client_address(socket, ctx.request_headers.getall("x-forwarded-for"))
