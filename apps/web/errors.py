"""The answers where no view answered: unknown addresses, refused requests, bugs."""

from http import HTTPStatus
from typing import Any

import structlog
from django.http import HttpRequest, HttpResponse
from django.template import TemplateDoesNotExist
from django.template.loader import render_to_string

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
    """404, also for addresses that never were."""
    return error_response(request, NotFound())


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
