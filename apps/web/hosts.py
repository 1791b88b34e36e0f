"""Requests for a host that is not ours: scanners send them all day."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

import structlog
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse

from apps.core.rest.problems import Problem, is_api, problem_response

log = structlog.get_logger(__name__)

UNKNOWN_HOST = Problem(
    HTTPStatus.BAD_REQUEST, "unknown_host", "This server does not answer to that host name."
)
MAX_SHOWN = 100


class HostMiddleware:
    """Refuses them before anything else, with one line in the log and no trace of the code."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answers 400 to a host that is not among FLEETD_ALLOWED_HOSTS."""
        try:
            request.get_host()
        except DisallowedHost:
            log.warning("host_refused", host=request.headers.get("Host", "")[:MAX_SHOWN])
            return _refusal(request)
        return self.get_response(request)


def _refusal(request: HttpRequest) -> HttpResponse:
    if is_api(request):
        response = problem_response(request, UNKNOWN_HOST)
    else:
        response = HttpResponse(f"{UNKNOWN_HOST.detail}\n", "text/plain", UNKNOWN_HOST.status)
    cast(Any, response)._has_been_logged = True  # Django would write a second line
    return response
