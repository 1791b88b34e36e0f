"""The answers where no view answered: unknown addresses, refused requests, bugs."""

from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import structlog
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.template import TemplateDoesNotExist
from django.template.loader import render_to_string
from django.urls import is_valid_path

from apps.core.errors import InvalidRequest, NotFound, PermissionDenied
from apps.core.rest.problems import INTERNAL, is_api, problem_response
from apps.core.rest.views import TOO_MUCH
from apps.core.web import error_response

log = structlog.get_logger(__name__)


class CsrfFailed(PermissionDenied):
    """The form was not sent from a page of ours that is still open."""

    code = "csrf_failed"
    default_message = "The form has expired, or was not sent from this site. Load the page again."


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400: a header, host or form that cannot be read; 413 for a form with too many parts."""
    if isinstance(exception, TOO_MUCH):
        answer = error_response(request, InvalidRequest("The form has too many parts."))
        answer.status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        return answer
    return error_response(request, InvalidRequest())


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403."""
    return error_response(request, PermissionDenied())


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404, also for addresses that never were; a slash too many leads to the page without it."""
    address = _without_slash(request)
    if address:
        return HttpResponsePermanentRedirect(address)
    return error_response(request, NotFound())


def _without_slash(request: HttpRequest) -> str:
    """The same address without the slash at its end, where there is a page; else empty.

    One slash only, and never two at the start: that would be another site's address.
    """
    path = request.path.removesuffix("/")
    if request.method != "GET" or path in ("", request.path) or not is_valid_path(path):
        return ""
    query = request.META.get("QUERY_STRING", "")
    return f"{quote(path)}?{query}" if query else quote(path)


def server_error(request: HttpRequest) -> HttpResponse:
    """500: says the request id and nothing about the cause; the log has it."""
    if is_api(request):
        return problem_response(request, INTERNAL)
    request_id = getattr(request, "request_id", "")
    try:
        page: str = render_to_string("500.html", {"request_id": request_id})
    except (TemplateDoesNotExist, ValueError):  # static files not collected yet
        page = f"Internal error, request {request_id}"
    return HttpResponse(page, status=HTTPStatus.INTERNAL_SERVER_ERROR)


def csrf_failure(request: HttpRequest, reason: str = "", **_: Any) -> HttpResponse:
    """403 for a form from elsewhere."""
    log.warning("csrf_failed", reason=reason)
    return error_response(request, CsrfFailed())
