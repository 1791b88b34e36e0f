"""Serves Connect-style servicers on grpc.aio, behind the same interceptors.

Messages arrive as bytes and are read here, because grpc.aio answers an unreadable message with the
text of an exception.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import unquote

import grpc
import grpc.aio
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from connectrpc.interceptor import MetadataInterceptor, ServerStreamInterceptor, UnaryInterceptor
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.request import Headers, RequestContext
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from apps.core.errors import InvalidRequest
from fleetd.rpc import details
from fleetd.rpc.failures import UNREADABLE, Failure, failure_of
from fleetd.rpc.naming import snake

Handler = Callable[..., Any]
STATUS_CODES = {
    code: grpc.StatusCode[{"CANCELED": "CANCELLED"}.get(code.name, code.name)] for code in Code
}


class GrpcContext(RequestContext[Any, Any]):
    """The context of a call on grpc.aio, with the certificate that the peer has proven to hold."""

    def __init__(self, method: MethodInfo[Any, Any], context: Any) -> None:
        remaining = context.time_remaining()
        super().__init__(
            method=method,
            http_method="POST",
            request_headers=Headers(_text_metadata(context)),
            timeout_ms=None if remaining is None else int(remaining * 1000),
            client_address=_address(context.peer()),
        )
        certificates = context.auth_context().get("x509_pem_cert") or [None]
        self.peer_certificate_pem: bytes | None = certificates[0]


class _Around:
    """The metadata interceptors of one call: started in order, ended in reverse."""

    def __init__(self, interceptors: Sequence[Any], ctx: GrpcContext) -> None:
        self._interceptors = interceptors
        self._ctx = ctx
        self._started: list[tuple[Any, Any]] = []

    async def start(self) -> None:
        for interceptor in self._interceptors:
            self._started.append((interceptor, await interceptor.on_start(self._ctx)))

    async def end(self, error: Exception | None) -> Exception | None:
        """What is left to be said to the client, None after success."""
        while self._started:
            interceptor, token = self._started.pop()
            try:
                await interceptor.on_end(token, self._ctx, error)
            except Exception as replaced:  # noqa: BLE001  this is how on_end answers
                error = replaced
        return error


def add_service(
    server: grpc.aio.Server,
    descriptor: ServiceDescriptor,
    servicer: object,
    interceptors: Sequence[Any],
) -> None:
    """Adds a service to a server."""
    handlers = {m.name: _handler(m, servicer, interceptors) for m in descriptor.methods}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(descriptor.full_name, handlers),)
    )


def _handler(
    method: MethodDescriptor, servicer: object, interceptors: Sequence[Any]
) -> "grpc.RpcMethodHandler[Any, Any]":
    info = _method_info(method)
    around = [i for i in interceptors if isinstance(i, MetadataInterceptor)]
    function = getattr(servicer, snake(method.name))
    if method.client_streaming:
        serve: Handler = partial(_serve_bidi, info, function, around)
        return grpc.stream_stream_rpc_method_handler(serve)
    if method.server_streaming:
        for stream in [i for i in interceptors if isinstance(i, ServerStreamInterceptor)][::-1]:
            function = partial(stream.intercept_server_stream, function)
        serve = partial(_serve_stream, info, function, around)
        return grpc.unary_stream_rpc_method_handler(serve)
    for unary in [i for i in interceptors if isinstance(i, UnaryInterceptor)][::-1]:
        function = partial(unary.intercept_unary, function)
    return grpc.unary_unary_rpc_method_handler(partial(_serve_unary, info, function, around))


async def _serve_unary(
    info: MethodInfo[Any, Any], function: Handler, around: list[Any], data: bytes, context: Any
) -> bytes:
    ctx = GrpcContext(info, context)

    async def answer() -> bytes:
        response: Message = await function(_read(info, data), ctx)
        await context.send_initial_metadata(tuple(ctx.response_headers.allitems()))
        return response.SerializeToString()

    return await _guarded(around, ctx, context, answer)


async def _serve_stream(
    info: MethodInfo[Any, Any], function: Handler, around: list[Any], data: bytes, context: Any
) -> None:
    ctx = GrpcContext(info, context)

    async def answer() -> None:
        await _write_all(context, ctx, function(_read(info, data), ctx))

    await _guarded(around, ctx, context, answer)


async def _serve_bidi(
    info: MethodInfo[Any, Any], function: Handler, around: list[Any], _: object, context: Any
) -> None:
    ctx = GrpcContext(info, context)

    async def answer() -> None:
        await _write_all(context, ctx, function(_messages(info, context), ctx))

    await _guarded(around, ctx, context, answer)


async def _guarded(
    around: list[Any], ctx: GrpcContext, context: Any, answer: Callable[[], Awaitable[Any]]
) -> Any:
    """Runs one call between its interceptors; ends it with a status that the table knows."""
    run = _Around(around, ctx)
    error: Exception | None = None
    result = None
    try:
        await run.start()
        result = await answer()
    except Exception as raised:  # noqa: BLE001  interceptors turn it into a status
        error = raised
    except BaseException:
        await run.end(ConnectError(Code.CANCELED, "cancelled"))
        raise
    error = await run.end(error)
    if error is not None:
        await _abort(context, ctx, failure_of(error, ctx.response_headers.get("request-id", "")))
    context.set_trailing_metadata(tuple(ctx.response_trailers.allitems()))
    return result


async def _write_all(context: Any, ctx: GrpcContext, responses: AsyncIterator[Message]) -> None:
    await context.send_initial_metadata(tuple(ctx.response_headers.allitems()))
    try:
        async for response in responses:
            await context.write(response.SerializeToString())
    finally:
        await responses.aclose()  # type: ignore[attr-defined]


async def _abort(context: Any, ctx: GrpcContext, failure: Failure) -> None:
    code = STATUS_CODES[failure.code]
    trailers = [
        *ctx.response_trailers.allitems(),
        ("request-id", ctx.response_headers.get("request-id", "")),
        (
            "grpc-status-details-bin",
            details.status(code.value[0], failure.message, failure.packed),
        ),
    ]
    await context.abort(code, failure.message, trailing_metadata=tuple(trailers))


async def _messages(info: MethodInfo[Any, Any], context: Any) -> AsyncIterator[Message]:
    """What the client sends, until it half-closes."""
    end = grpc.aio.EOF  # type: ignore[attr-defined]
    while (data := await context.read()) is not end:
        yield _read(info, data)


def _read(info: MethodInfo[Any, Any], data: bytes) -> Message:
    try:
        message: Message = info.input.FromString(data)
    except (DecodeError, RecursionError, ValueError):
        raise InvalidRequest(UNREADABLE) from None
    return message


def _method_info(method: MethodDescriptor) -> MethodInfo[Any, Any]:
    kinds = {
        (False, False): StreamType.UNARY,
        (False, True): StreamType.SERVER_STREAM,
        (True, False): StreamType.CLIENT_STREAM,
        (True, True): StreamType.BIDI_STREAM,
    }
    return MethodInfo(
        name=method.name,
        service_name=method.containing_service.full_name,
        input=GetMessageClass(method.input_type),
        output=GetMessageClass(method.output_type),
        idempotency_level=IdempotencyLevel.UNKNOWN,
        stream_type=kinds[bool(method.client_streaming), bool(method.server_streaming)],
    )


def _text_metadata(context: Any) -> list[tuple[str, str]]:
    items = context.invocation_metadata() or ()
    text = [(key, value) for key, value in items if isinstance(value, str)]
    return [*text, ("content-type", "application/grpc")]


def _address(peer: str) -> str:
    """`ipv6:%5B::1%5D:4711` as `[::1]:4711`."""
    return unquote(peer.partition(":")[2])
