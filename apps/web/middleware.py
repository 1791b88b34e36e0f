"""What every request of the web port gets: an id, a caller, a limit, and a way to `/setup`."""

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.functional import SimpleLazyObject

from apps.accounts.models import User
from apps.accounts.selectors import has_users
from apps.audit.models import AuditEntry
from apps.audit.services.entries import record
from apps.core.actors import Actor, Call, Source
from apps.core.errors import FleetdError, Unauthenticated
from apps.core.ids import uuid7
from apps.core.rest.problems import Problem, is_api, problem_response
from apps.core.tenancy import tenant
from apps.core.web import ORGANIZATION_KEY
from apps.organizations.errors import NoOrganization, OrganizationAmbiguous
from apps.organizations.selectors import actor_for_user, list_memberships_of
from apps.organizations.services.authentication import authenticate_api_key

log = structlog.get_logger(__name__)

GetResponse = Callable[[HttpRequest], HttpResponse]

REQUEST_ID_HEADER = "Request-Id"
ORGANIZATION_HEADER = "Fleetd-Organization"
_SANE_ID = re.compile(r"[A-Za-z0-9_.\-]{8,64}", re.ASCII)
UPLOADS = re.compile(r"/api/v1/artifacts/?|/artifacts/upload/?", re.ASCII)
BODY_SLACK = 64 * 1024  # form boundaries and field names around the largest parsed body
_BEFORE_SETUP = ("/setup", "/static/", "/api/", "/healthz", "/readyz", "/metrics", "/install.sh")


class RequestIdMiddleware:
    """Gives the request an id, the client's own if it is sane, for answers, logs and audit."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> HttpResponse:
        """Answers with the id in a header."""
        offered = request.headers.get(REQUEST_ID_HEADER, "")
        request.request_id = offered if _SANE_ID.fullmatch(offered) else f"req_{uuid7().hex}"
        request.client_address = client_address(request)
        with structlog.contextvars.bound_contextvars(request_id=request.request_id):
            response = self.get_response(request)
        response[REQUEST_ID_HEADER] = request.request_id
        return response


class BodyLimitMiddleware:
    """Says politely to clients that announce a long body what `bodies` would do to the rest."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE + BODY_SLACK

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answers 413 to what is too long; uploads are streamed and have their own limit."""
        length = request.META.get("CONTENT_LENGTH") or "0"
        too_long = not length.isdigit() or int(length) > self.limit
        if too_long and not UPLOADS.fullmatch(request.path):
            problem = Problem(413, "body_too_large", f"A body has at most {self.limit} bytes.")
            if is_api(request):
                return problem_response(request, problem)
            return HttpResponse(problem.detail, "text/plain", 413)
        return self.get_response(request)


class ActorMiddleware:
    """Finds out who is calling, when somebody asks.

    `request.find_actor()` answers the `Actor` or raises; `request.actor` is the same, or falsy
    where there is none. Views replace it by the actor itself.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> HttpResponse:
        """Puts both on the request; nothing is looked up yet."""
        request.find_actor = cache(lambda: find_actor(request))
        request.actor = SimpleLazyObject(lambda: _actor_or_none(request))
        response = self.get_response(request)
        if getattr(request, "refusal", None) is not None:
            _record_refusal(request)
        return response


class SetupMiddleware:
    """Sends every page to `/setup` while nobody has an account."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.is_done = False

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Asks the database until somebody has one, then never again."""
        if not self.is_done and not request.path.startswith(_BEFORE_SETUP):
            try:
                self.is_done = has_users()
            except DatabaseError:
                return self.get_response(request)
            if not self.is_done:
                return HttpResponseRedirect("/setup")
        return self.get_response(request)


def client_address(request: HttpRequest) -> str | None:
    """The caller's address."""
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    return forwarded_address(forwarded, request.META.get("REMOTE_ADDR") or None)


def forwarded_address(forwarded: str, socket: str | None) -> str | None:
    """The socket's address, or what the trusted proxies in front say about it."""
    hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()]
    trusted = settings.TRUSTED_PROXIES
    return hops[-trusted][:45] if trusted and len(hops) >= trusted else socket


def call_of(request: Any) -> Call:
    """Door, address and id of a request."""
    source = Source.UI
    if is_api(request):
        source = Source.REST
    elif request.path.startswith("/admin/"):
        source = Source.ADMIN
    return Call(source, request.client_address, request.request_id)


def find_actor(request: Any) -> Actor:
    """The caller by API key (REST only) or by session. Raises `Unauthenticated` and its kin."""
    if is_api(request) and (secret := _api_key(request)):
        return authenticate_api_key(call_of(request), secret)
    if not request.user.is_authenticated:
        raise Unauthenticated
    call = call_of(request)
    named = request.headers.get(ORGANIZATION_HEADER, "") if is_api(request) else ""
    if named:
        return actor_for_user(request.user, call, organization=named)
    return actor_of_session(
        request.user, request.session.get(ORGANIZATION_KEY, ""), call, is_page=not is_api(request)
    )


def actor_of_session(user: User, chosen: str, call: Call, *, is_page: bool) -> Actor:
    """The person in the organization that the session has chosen, or in the only one.

    Pages must show something: there a session that has chosen none, or one that the person has
    left, falls back to the oldest membership. Programs have to be explicit.
    """
    try:
        return actor_for_user(user, call, organization=chosen)
    except (NoOrganization, OrganizationAmbiguous):
        memberships = list_memberships_of(user.id)
        if not is_page or not memberships:
            raise
        oldest = str(memberships[0].organization_id)
        return actor_for_user(user, call, organization=oldest)


def _record_refusal(request: Any) -> None:
    """Audits what was refused. The refusal stands, whether or not it can be written down."""
    permission = str(request.refusal.data.get("permission", "")) or "web.request"
    actor = request.find_actor()
    changes = {"method": request.method, "path": request.path[:200]}
    try:
        with tenant(actor.organization_id):
            record(actor, permission, changes=changes, result=AuditEntry.Result.DENIED)
    except DatabaseError as error:
        log.error("refusal_not_audited", action=permission, error=str(error))


def _actor_or_none(request: Any) -> Actor | None:
    try:
        found: Actor = request.find_actor()
    except FleetdError:
        return None
    return found


def _api_key(request: HttpRequest) -> str:
    """The API key in the request's headers, empty where there is none."""
    scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credential.strip():
        return credential.strip()
    if scheme:
        return scheme  # something that is no key: it must fail, not fall back to the session
    return request.headers.get("X-API-Key", "")
