"""One line in the request log for every call on the web port but RPC, which writes its own."""

import time
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse

from apps.audit.services.request_log import log_call
from apps.audit.types import Answered
from apps.core.actors import Actor, Call, Source
from apps.core.addresses import client_address
from apps.core.ids import parse_uuid
from apps.core.rest.problems import is_api

# What browsers fetch with every page, and machines every second.
NOT_CALLS = ("/static/", "/healthz", "/readyz", "/metrics", "/favicon.ico")


class RequestLogMiddleware:
    """Writes the line once the answer is known, refusals and bugs included."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> HttpResponse:
        """Answers, then writes."""
        if request.path.startswith(NOT_CALLS):
            return self.get_response(request)
        began = time.perf_counter()
        response = self.get_response(request)
        seconds = time.perf_counter() - began
        log_call(known_actor(request), _call(request), _answered(request, response, seconds))
        return response


def log_unread(scope: Any, status: int, code: str, request_id: str = "") -> None:
    """The line of a request that was refused before anything looked at it."""
    client = scope.get("client")
    forwarded = [v.decode("latin-1") for k, v in scope["headers"] if k == b"x-forwarded-for"]
    address = client_address(client[0] if client else None, forwarded)
    is_socket = scope["type"] == "websocket"
    source = Source.REST if scope["path"].startswith("/api/") else Source.UI
    answered = Answered("WS" if is_socket else scope["method"], "", str(status), code)
    log_call(None, Call(source, address, request_id), answered)


def known_actor(request: Any) -> Actor | None:
    """The caller as far as somebody asked for it; nothing is looked up for the log."""
    found = request.__dict__.get("actor")
    if type(found) is not Actor:  # a lazy one, which may have been asked
        found = getattr(found, "_wrapped", None)
    return found if type(found) is Actor else None


def _call(request: Any) -> Call:
    """The caller's own call; where nobody is known, what the request says."""
    source = Source.UI
    if is_api(request):
        source = Source.REST
    elif request.path.startswith("/admin/"):
        source = Source.ADMIN
    elif request.path.startswith(("/agent/", "/install")):
        source = Source.AGENT
    return Call(source, request.client_address, request.request_id)


def _answered(request: Any, response: HttpResponse, seconds: float) -> Answered:
    match = request.resolver_match
    return Answered(
        method=request.method or "",
        route=f"/{match.route}" if match else "",
        status=str(response.status_code),
        code=_code(request, response),
        object_id=_object_id(match.kwargs) if match else "",
        seconds=seconds,
    )


def _code(request: Any, response: HttpResponse) -> str:
    """The stable code of a failure, where the door has left it on the answer."""
    found: str = getattr(response, "failure_code", "")
    refusal = getattr(request, "refusal", None)
    if not found and refusal is not None:
        found = refusal.code
    return found or ("ok" if response.status_code < 400 else "")


def _object_id(arguments: dict[str, Any]) -> str:
    """The object in the address: the id, or what stands in its place."""
    for value in arguments.values():
        if parse_uuid(str(value)) is not None:
            return str(value)
    return str(next(iter(arguments.values()), ""))
