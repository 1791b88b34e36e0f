"""Connect and gRPC-Web on the web port: an ASGI application in front of Django."""

import asyncio
from collections.abc import Sequence
from typing import Any

from connectrpc.server import ConnectASGIApplication

from apps.web.bodies import Patience
from apps.web.request_log import log_unread
from fleetd.rpc.authentication import Credentials
from fleetd.rpc.interceptors import around
from fleetd.rpc.limits import MAX_MESSAGE_BYTES
from fleetd.rpc.registry import SERVICES, Door, Service, at_door

# A prefix may stand before the path of its own package, so that an ingress can route by it.
PREFIXES = {"/public/v1/": "public.v1.", "/internal/agent/v1/": "internal.agent.v1."}


def with_rpc(fallback: Any, offered: Sequence[Service] | None = None) -> Any:
    """The application that answers RPC paths itself and leaves the rest to `fallback`.

    `offered` are the services, all of the web port unless given.
    """
    services = _applications(at_door(Door.WEB) if offered is None else offered)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        path = _without_prefix(scope["path"])
        service = services.get(path.rpartition("/")[0])
        if service is None:
            await fallback(scope, receive, send)
        elif not _is_readable(scope):
            log_unread(scope, 400, "invalid_request")
            await _refuse(send, 400, b"invalid_request", b"The headers are not ASCII text.")
        elif _is_native_grpc(scope):
            log_unread(scope, 415, "unsupported_media_type")
            await _refuse(send, 415, b"unsupported_media_type", b"gRPC has a port of its own.")
        else:
            await _serve(service, {**scope, "path": path, "root_path": ""}, receive, send)

    return application


def is_public(path: str) -> bool:
    """Whether a path is of a service that takes tokens."""
    name = _without_prefix(path).rpartition("/")[0].removeprefix("/")
    return any(s.name == name for s in SERVICES if s.credentials is Credentials.PUBLIC)


def _applications(services: Sequence[Service]) -> dict[str, ConnectASGIApplication[Any]]:
    found = {}
    for service in services:
        if service.application is None:
            raise RuntimeError(f"{service.name} has no application for the web port")
        interceptors = around(Door.WEB.value, service.source, service.credentials)
        found[f"/{service.name}"] = service.application(
            service.servicer(), interceptors=interceptors, read_max_bytes=MAX_MESSAGE_BYTES
        )
    return found


def _without_prefix(path: str) -> str:
    for prefix, package in PREFIXES.items():
        if path.startswith(prefix + package):
            return path[len(prefix) - 1 :]
    return path


def _is_readable(scope: Any) -> bool:
    """Whether the header and query bytes are text: the protocol library takes that for granted."""
    try:
        for name, value in scope["headers"]:
            name.decode("ascii")
            value.decode("ascii")
        scope.get("query_string", b"").decode("ascii")
    except UnicodeDecodeError:
        return False
    return True


def _is_native_grpc(scope: Any) -> bool:
    """Whether the answer needs HTTP/2 trailers, which this port does not have."""
    kind = dict(scope["headers"]).get(b"content-type", b"").lower()
    return bool(
        kind.startswith(b"application/grpc") and not kind.startswith(b"application/grpc-web")
    )


async def _serve(service: Any, scope: Any, receive: Any, send: Any) -> None:
    """Answers one request; gives up a body that does not arrive in time."""
    patience = Patience()
    is_complete, is_late, has_begun = False, False, False

    async def in_time() -> Any:
        nonlocal is_complete, is_late
        if is_complete:
            return await receive()
        try:
            async with asyncio.timeout_at(patience.until):
                message = await receive()
        except TimeoutError:
            is_late = is_complete = True
            return {"type": "http.disconnect"}
        patience.came(len(message.get("body", b"")))
        is_complete = not message.get("more_body", False)
        return message

    async def unless_late(message: Any) -> None:
        nonlocal has_begun
        if not is_late:
            await send(message)
        elif not has_begun:
            has_begun = True
            await _refuse(send, 408, b"deadline_exceeded", b"The request took too long to arrive.")

    await service(scope, in_time, unless_late)


async def _refuse(send: Any, status: int, code: bytes, message: bytes) -> None:
    body = b'{"code":"invalid_argument","message":"' + message + b'"}'
    headers = [(b"content-type", b"application/json"), (b"fleetd-code", code)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
