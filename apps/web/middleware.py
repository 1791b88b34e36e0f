"""What every request of the web port gets: an id, a caller, a limit, and a way to `/setup`."""

import re
from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.functional import SimpleLazyObject

from apps.accounts.models import User
from apps.accounts.selectors import has_users
from apps.accounts.services.web_sessions import note_seen
from apps.audit.services.refusals import record_refusal
from apps.core.actors import Actor, Call, SignIn, Source
from apps.core.addresses import client_address
from apps.core.errors import FleetdError, Unauthenticated
from apps.core.ids import uuid7
from apps.core.limits import Limit, LimitReached
from apps.core.rest.problems import Problem, is_api, problem_response
from apps.core.rpc import DATABASE_AWAY
from apps.core.tenancy import tenant
from apps.core.web import LIVE_MARK, ORGANIZATION_KEY, error_response
from apps.organizations.errors import NoOrganization, OrganizationAmbiguous, PolicyRefusal
from apps.organizations.selectors import actor_for_user, list_memberships_of
from apps.organizations.services.authentication import authenticate_caller, presented_credential
from apps.organizations.services.members import note_activity
from apps.organizations.services.sign_ins import record_policy_refusal
from apps.web import call_limits
from apps.web.caller_note import caller_is

log = structlog.get_logger(__name__)

GetResponse = Callable[[HttpRequest], HttpResponse]

REQUEST_ID_HEADER = "Request-Id"
ORGANIZATION_HEADER = "Fleetd-Organization"
_SANE_ID = re.compile(r"[A-Za-z0-9_.\-]{8,64}", re.ASCII)
UPLOADS = re.compile(r"/api/v1/artifacts/?|/artifacts/upload/?", re.ASCII)
# Parts of uploads, which say where they belong.
PARTS = re.compile(r"/api/v1/artifact-uploads/[^/:]+/?", re.ASCII)
PART_BYTES = 16 * 1024 * 1024
# Devices install and download here, thousands from one address: only refusals are counted.
DOWNLOADS = re.compile(r"/agent/v1/artifacts/|/tuf/|/install/|/install\.sh$", re.ASCII)
# Every TUF client asks for the root after the newest one and is told that there is none.
METADATA = re.compile(r"/tuf/[0-9a-f-]{36}/metadata/", re.ASCII)
_REFUSED = frozenset({401, 403, 404})
BODY_SLACK = 64 * 1024  # form boundaries and field names around the largest parsed body
_BEFORE_SETUP = (
    "/setup",
    "/static/",
    "/api/",
    "/oauth/",
    "/.well-known/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/install.sh",
)


class RequestIdMiddleware:
    """Gives the request an id, the client's own if it is sane, for answers, logs and audit."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> HttpResponse:
        """Answers with the id in a header."""
        offered = request.headers.get(REQUEST_ID_HEADER, "")
        request.request_id = offered if _SANE_ID.fullmatch(offered) else f"req_{uuid7().hex}"
        request.client_address = address_of(request)
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
        is_upload = UPLOADS.fullmatch(request.path) or PARTS.fullmatch(request.path)
        if too_long and not is_upload:
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
        request.find_actor = _once(lambda: find_actor(request), keep_failure=is_api(request))
        request.actor = SimpleLazyObject(lambda: _actor_or_none(request))
        response = self.get_response(request)
        if getattr(request, "refusal", None) is not None:
            _record_refusal(request)
        return response


class CallLimitMiddleware:
    """Counts the call: on its address, then on the caller, or on nobody's budget."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> HttpResponse:
        """Answers 429 to what is too much; says in the headers what is left."""
        request.budgets = []
        try:
            if not DOWNLOADS.match(request.path):
                self._count(request)
            response = self.get_response(request)
            is_counted = not request.budgets and not METADATA.match(request.path)
            if response.status_code in _REFUSED and is_counted:
                _spend(request, call_limits.of_nobody(request.client_address))
        except LimitReached as refused:
            request.budgets[:0] = refused.budgets
            response = error_response(request, refused)
            response["Retry-After"] = str(refused.retry_after_seconds)
        for name, value in call_limits.headers(request.budgets).items():
            response[name] = value
        return response

    def _count(self, request: Any) -> None:
        _spend(request, call_limits.of_address(request.client_address))
        try:
            actor = request.find_actor() if _shows_credential(request) else None
        except FleetdError:
            actor = None
        except DATABASE_AWAY:
            return
        if actor is None:
            _spend(request, call_limits.of_nobody(request.client_address))
            return
        caller_is(actor)
        _spend(request, call_limits.of_caller(actor))


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


def address_of(request: HttpRequest) -> str | None:
    """The caller's address."""
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    return client_address(request.META.get("REMOTE_ADDR"), [forwarded] if forwarded else [])


def call_of(request: Any) -> Call:
    """Door, address and id of a request."""
    source = Source.UI
    if is_api(request):
        source = Source.REST
    elif request.path.startswith("/admin/"):
        source = Source.ADMIN
    return Call(source, request.client_address, request.request_id)


def find_actor(request: Any) -> Actor:
    """The caller by bearer credential (REST only) or by session. Raises `Unauthenticated` & co."""
    call = call_of(request)
    named = request.headers.get(ORGANIZATION_HEADER, "") if is_api(request) else ""
    if is_api(request) and (credential := _credential(request)):
        return authenticate_caller(call, credential, named)
    if not request.user.is_authenticated:
        raise Unauthenticated
    sign_in = request.find_sign_in()
    try:
        actor = _actor_of_browser(request, call, named, sign_in)
    except PolicyRefusal as error:
        record_policy_refusal(call, error)
        raise
    if request.headers.get("X-Requested-With") != LIVE_MARK:
        # A page that fetches itself again is nobody at the keyboard; a refused call is no use.
        note_seen(request.session.session_key or "", call.address, before=sign_in.last_seen_at)
        note_activity(actor)
    return actor


def _actor_of_browser(request: Any, call: Call, named: str, sign_in: SignIn) -> Actor:
    if named:
        return actor_for_user(request.user, call, organization=named, sign_in=sign_in)
    chosen = request.session.get(ORGANIZATION_KEY, "")
    is_page = not is_api(request)
    return actor_of_session(request.user, chosen, call, sign_in=sign_in, is_page=is_page)


def actor_of_session(
    user: User, chosen: str, call: Call, *, sign_in: SignIn, is_page: bool
) -> Actor:
    """The person in the organization that the session has chosen, or in the only one.

    Pages must show something: there a session that has chosen none, or one that the person has
    left, falls back to the oldest membership. Programs have to be explicit.
    """
    try:
        return actor_for_user(user, call, organization=chosen, sign_in=sign_in)
    except (NoOrganization, OrganizationAmbiguous):
        memberships = list_memberships_of(user.id)
        if not is_page or not memberships:
            raise
        oldest = str(memberships[0].organization_id)
        return actor_for_user(user, call, organization=oldest, sign_in=sign_in)


def _record_refusal(request: Any) -> None:
    """Audits what was refused. The refusal stands, whether or not it can be written down."""
    actor = request.find_actor()
    try:
        with tenant(actor.organization_id):
            record_refusal(actor, request.refusal, method=request.method, path=request.path)
    except DatabaseError as error:
        log.error("refusal_not_audited", error=str(error))


def _actor_or_none(request: Any) -> Actor | None:
    try:
        found: Actor = request.find_actor()
    except FleetdError:
        return None
    return found


def _credential(request: HttpRequest) -> str | None:
    """The access token or API key in the request's headers; None where there is none."""
    authorization, key = (request.headers.get(n) for n in ("Authorization", "X-API-Key"))
    return presented_credential(authorization, key)


def _once(find: Callable[[], Actor], *, keep_failure: bool) -> Callable[[], Actor]:
    """Looks once. A page may sign somebody in, so there a failure is not the last word."""
    known: list[Actor | FleetdError] = []

    def found() -> Actor:
        if not known:
            try:
                known.append(find())
            except FleetdError as error:
                if not keep_failure:
                    raise
                known.append(error)
        if isinstance(known[0], FleetdError):
            raise known[0]
        return known[0]

    return found


def _spend(request: Any, limits: list[Limit]) -> None:
    request.budgets += call_limits.spend(limits)


def _shows_credential(request: HttpRequest) -> bool:
    """Whether there is anything to look up; anonymous pages cost no query."""
    headers = request.headers
    is_token = "Authorization" in headers or "X-API-Key" in headers
    return is_token or settings.SESSION_COOKIE_NAME in request.COOKIES
