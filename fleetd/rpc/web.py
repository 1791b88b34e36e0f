"""Connect and gRPC-Web on the web port: an ASGI application in front of Django."""

from collections.abc import Sequence
from typing import Any

from connectrpc.server import ConnectASGIApplication

from fleetd.rpc.interceptors import around
from fleetd.rpc.limits import MAX_MESSAGE_BYTES
from fleetd.rpc.registry import Door, Service, at_door

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
            await _refuse(send)
        else:
            await service({**scope, "path": path, "root_path": ""}, receive, send)

    return application


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


async def _refuse(send: Any) -> None:
    body = b'{"code":"invalid_argument","message":"The headers are not ASCII text."}'
    headers = [(b"content-type", b"application/json"), (b"fleetd-code", b"invalid_request")]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": body})
