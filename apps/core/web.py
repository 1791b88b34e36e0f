"""The web UI's base views: who is asking, in which organization, and what a failure looks like."""

import hashlib
import json
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar, cast
from urllib.parse import urlencode, urlsplit

import structlog
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import BadRequest, SuspiciousOperation
from django.db import InterfaceError, OperationalError, transaction
from django.forms import BaseForm
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    JsonResponse,
)
from django.shortcuts import resolve_url
from django.template.loader import select_template
from django.template.response import SimpleTemplateResponse
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views import View
from django.views.decorators.cache import never_cache

from apps.core.actors import Actor
from apps.core.authz import SIGNED_IN, permission_needed, require_somewhere
from apps.core.errors import (
    STATUS,
    FleetdError,
    InvalidRequest,
    Kind,
    NotFound,
    PermissionDenied,
    RecentSignInRequired,
    Unauthenticated,
    Unavailable,
)
from apps.core.rest.problems import is_api, problem_of, problem_response
from apps.core.tenancy import tenant

log = structlog.get_logger(__name__)

LIVE_MARK = "fleetd-live"
ORGANIZATION_KEY = "organization_id"
AUTHENTICATION_RECORDS = "account_authentication_methods"  # allauth's, of the session

T = TypeVar("T")

_CORRECTABLE = (Kind.INVALID, Kind.CONFLICT, Kind.STATE, Kind.STALE)


class OrgRequest(HttpRequest):
    """A request as handlers of `OrgView` and `OrgAPIView` see it."""

    actor: Actor
    request_id: str
    client_address: str | None
    find_actor: Callable[[], Actor]
    refusal: PermissionDenied | None
    htmx: Any


class OrgView(View):
    """Base of every page behind the sign-in.

    Works inside `tenant(actor.organization_id)`, templates included, so that nothing is read
    outside of it; a failure rolls everything back and becomes the designed page, or a toast for
    htmx. Handlers get an `OrgRequest`, and declare with `needs` the permission that their service
    requires: who holds it nowhere is refused here.
    """

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answers within the organization, or with the failure."""
        asked = cast(OrgRequest, request)
        if not request.user.is_authenticated:
            return _sign_in_response(asked)
        try:
            asked.actor = asked.find_actor()
            with tenant(asked.actor.organization_id):
                self._require_declared(asked)
                response = _rendered(super().dispatch(request, *args, **kwargs))
        except Exception as error:
            failure = _failure_of(error)
            if failure is None:
                raise
            if isinstance(failure, PermissionDenied):
                asked.refusal = failure  # the audit trail hears of it
            return error_response(asked, failure)
        return _with_etag(asked, response)

    def _require_declared(self, request: OrgRequest) -> None:
        handler = getattr(self, (request.method or "").lower(), None)
        permission = permission_needed(handler)
        if permission is not None and permission is not SIGNED_IN:
            require_somewhere(request.actor, permission)


@method_decorator(never_cache, name="dispatch")
class PersonView(View):
    """Base of the pages about a person; they work where no organization lets the person in.

    Opens no transaction: a service says itself what belongs together.
    """

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answers the person; everybody else signs in first."""
        if not request.user.is_authenticated:
            return _to_sign_in(request)
        try:
            return super().dispatch(request, *args, **kwargs)
        except FleetdError as error:
            return error_response(request, error)


def error_response(request: HttpRequest, error: FleetdError) -> HttpResponse:
    """A failure as the client wants it: problem document, toast for htmx, or page."""
    if is_api(request):
        return problem_response(request, problem_of(error))
    if error.page:
        response = _led_to_page(request, error)
    elif _wants_fragment(request):
        response = toast(HttpResponse(status=_http_status(error)), _sentence(request, error), "bad")
    else:
        response = _error_page(request, error)
    response.failure_code = error.code  # type: ignore[attr-defined]  # for the request log
    return response


def toast(response: HttpResponse, text: str, tone: str = "ok") -> HttpResponse:
    """Makes the browser show a short message with an htmx answer; tones ok, info, warn, bad."""
    triggers = json.loads(response.headers.get("HX-Trigger", "{}"))
    triggers["fleetd:toast"] = {"text": text, "tone": tone}
    response["HX-Trigger"] = json.dumps(triggers)  # ASCII: headers cannot hold more
    return response


def go(request: HttpRequest, to: Any, *args: Any, **kwargs: Any) -> HttpResponse:
    """Sends the browser to another page, from a form or from htmx."""
    url = resolve_url(to, *args, **kwargs)
    if getattr(request, "htmx", False):
        return HttpResponse(status=HTTPStatus.NO_CONTENT, headers={"HX-Redirect": url})
    return HttpResponseRedirect(url)


def is_fragment(request: HttpRequest) -> bool:
    """Whether only a part of the page is asked for."""
    return _wants_fragment(request)


def attempt(request: HttpRequest, operation: Callable[[], T], done: str = "") -> T | None:
    """Runs one service for a button; the next page says what came of it.

    What the person can do something about becomes a message, and answers None; any other failure
    goes on to its own page. A savepoint keeps a refused operation from leaving half of itself.
    """
    try:
        with transaction.atomic():
            result = operation()
    except FleetdError as error:
        if error.kind not in _CORRECTABLE:
            raise
        for line in failure_lines(error):
            messages.error(request, line)
        return None
    if done:
        messages.success(request, done)
    return result


def failure_lines(error: FleetdError) -> list[str]:
    """What to say about a failure: one line per field that it names, else its message."""
    return [item.message for item in error.fields] or [error.message]


def add_failure(form: BaseForm, error: FleetdError) -> None:
    """Shows a service's failure in the form that caused it, at its fields where it names them."""
    for item in error.fields:
        name = item.field.split(".")[0]
        form.add_error(name if name in form.fields else None, item.message)
    if not error.fields:
        form.add_error(None, error.message)


def _rendered(response: HttpResponseBase) -> HttpResponseBase:
    """Renders templates now, inside the organization."""
    if isinstance(response, SimpleTemplateResponse) and not response.is_rendered:
        return response.render()
    return response


def _failure_of(error: Exception) -> FleetdError | None:
    """The failure that a caller may see; None for a bug."""
    if isinstance(error, FleetdError):
        return error
    if isinstance(error, Http404):
        return NotFound()
    if isinstance(error, SuspiciousOperation | BadRequest):
        return InvalidRequest()
    if isinstance(error, OperationalError | InterfaceError):
        log.warning("database_unavailable", error=str(error))
        return Unavailable()
    return None


def _sign_in_response(request: OrgRequest) -> HttpResponse:
    """Pages go to the sign-in; parts of pages say 401, and the page says that it is over."""
    if _wants_fragment(request) or request.method not in ("GET", "HEAD"):
        return error_response(request, Unauthenticated("Your session has ended. Sign in again."))
    return _to_sign_in(request)


def _to_sign_in(request: HttpRequest) -> HttpResponse:
    """The sign-in, which leads back here."""
    query = urlencode({"next": request.get_full_path()})
    return HttpResponseRedirect(f"{resolve_url(settings.LOGIN_URL)}?{query}")


def require_recent_sign_in(request: HttpRequest) -> None:
    """Raises `RecentSignInRequired` unless the person proved who they are a few minutes ago.

    For handlers of dangerous acts, before they do anything. The browser is led to the question and
    back; a form has to be sent again, because what it held is not kept meanwhile.
    """
    records = request.session.get(AUTHENTICATION_RECORDS)
    moments = [r.get("at", 0) for r in records or [] if isinstance(r, dict)]
    if time.time() - max(moments, default=0) >= settings.ACCOUNT_REAUTHENTICATION_TIMEOUT:
        raise RecentSignInRequired


def is_local_path(url: str) -> bool:
    """Whether a redirect to `url` stays on this site: a path, and nothing a browser reads as more.

    Browsers drop tabs and line ends and take a backslash for a slash.
    """
    if not url.startswith("/") or "\\" in url or any(ord(c) <= 32 or ord(c) == 127 for c in url):
        return False
    return url_has_allowed_host_and_scheme(url, allowed_hosts=None)


def _led_to_page(request: HttpRequest, error: FleetdError) -> HttpResponse:
    """Where the person can do something about the failure; parts of pages stay as they are."""
    if request.headers.get("X-Requested-With") == LIVE_MARK:
        return HttpResponse(status=_http_status(error))
    back = request.get_full_path() if request.method in ("GET", "HEAD") else _page_before(request)
    if getattr(request, "htmx", False):
        back = _page_before(request)
    if request.method not in ("GET", "HEAD"):
        messages.warning(request, error.message)
    return go(request, f"{resolve_url(error.page)}?{urlencode({'next': back})}")


def _page_before(request: HttpRequest) -> str:
    """The page of ours that a form was sent from, else the dashboard."""
    parts = urlsplit(request.headers.get("HX-Current-URL") or request.headers.get("Referer", ""))
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    return path if parts.netloc == request.get_host() and is_local_path(path) else "/"


def _wants_fragment(request: HttpRequest) -> bool:
    htmx: Any = getattr(request, "htmx", None)
    is_htmx = bool(htmx) and not htmx.boosted and not htmx.history_restore_request
    return is_htmx or request.headers.get("X-Requested-With") == LIVE_MARK


def _error_page(request: HttpRequest, error: FleetdError) -> HttpResponse:
    """The designed page. It reads nothing from the database: that may be what failed."""
    status = _http_status(error)
    shown = {
        "status": status,
        "title": STATUS[error.kind].title,
        "text": error.message,
        "message": error.message,
        "code": error.code,
        "request_id": getattr(request, "request_id", ""),
    }
    template = select_template([f"{status}.html", "error.html", "400.html"])
    response = HttpResponse(template.render(shown, request), status=status)
    if error.kind in (Kind.EXHAUSTED, Kind.UNAVAILABLE):
        response["Retry-After"] = str(error.retry_after_seconds or 1)
    return response


def _http_status(error: FleetdError) -> int:
    return STATUS[error.kind].http


def _sentence(request: HttpRequest, error: FleetdError) -> str:
    request_id = getattr(request, "request_id", "")
    return f"{error.message} ({error.code}, {request_id})"


def _with_etag(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Live regions are fetched again and again: an unchanged one costs no bytes."""
    is_live = request.headers.get("X-Requested-With") == LIVE_MARK
    if not is_live or request.method != "GET" or response.status_code != HTTPStatus.OK:
        return response
    if not isinstance(response, HttpResponse) or isinstance(response, JsonResponse):
        return response
    etag = f'W/"{hashlib.sha256(response.content).hexdigest()[:32]}"'
    if etag in request.headers.get("If-None-Match", ""):
        return HttpResponse(status=HTTPStatus.NOT_MODIFIED, headers={"ETag": etag})
    response["ETag"] = etag
    return response
