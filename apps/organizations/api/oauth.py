"""OAuth for programs: device authorization (RFC 8628), refresh (RFC 6749), revocation (RFC 7009),
and what these say about themselves (RFC 8414, RFC 7517).

Form encoded and with OAuth's own error documents, because standard clients expect that.
"""

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import BadRequest, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.multipartparser import MultiPartParserError
from django.views.decorators.csrf import csrf_exempt

from apps.accounts.services.signing_keys import JWKS_MAX_AGE, published_keys
from apps.accounts.services.tokens import TokenPair
from apps.core.actors import Call, Source
from apps.core.authz import OPEN_TO_ALL, needs
from apps.core.errors import FleetdError, Kind
from apps.organizations.services.device_sign_in import begin_device_sign_in, redeem_device_code
from apps.organizations.services.programs import refresh_program, sign_out_by_token

log = structlog.get_logger(__name__)

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
REFRESH_GRANT = "refresh_token"
FORM_TYPE = "application/x-www-form-urlencoded"
MAX_VALUE = 4096
_OWN_CODES = frozenset(
    {"authorization_pending", "slow_down", "expired_token", "access_denied", "invalid_grant"}
)
_UNREADABLE = (SuspiciousOperation, BadRequest, RequestDataTooBig, MultiPartParserError)


class OAuthRefused(Exception):
    """A request that is answered with OAuth's error document."""

    def __init__(self, error: str, description: str, status: int = HTTPStatus.BAD_REQUEST) -> None:
        self.error, self.description, self.status = error, description, status
        super().__init__(description)


Form = dict[str, str]
Handler = Callable[[Call, Form], dict[str, Any]]


def endpoint(handler: Handler) -> Callable[[HttpRequest], HttpResponse]:
    """A POST of a form. There is no cookie in it, so there is nothing to forge."""

    @csrf_exempt
    @needs(OPEN_TO_ALL)
    @wraps(handler)
    def answer(request: Any) -> HttpResponse:
        call = Call(Source.REST, request.client_address, request.request_id)
        response: HttpResponse
        try:
            response = JsonResponse(handler(call, _form(request)))
        except OAuthRefused as refused:
            response = _refusal(refused.error, refused.description, refused.status)
        except FleetdError as error:
            response = _failure(error)
        except (OperationalError, InterfaceError) as error:
            log.warning("database_unavailable", error=str(error))
            response = _refusal("temporarily_unavailable", "Try again shortly.", 503)
            response["Retry-After"] = "1"
        response["Cache-Control"] = "no-store"
        return response

    return answer


@endpoint
def device_authorization(call: Call, form: Form) -> dict[str, Any]:
    """Begins a sign-in: a code for the program and a short one for the person."""
    begun = begin_device_sign_in(call, client=_required(form, "client_id"))
    page = f"{settings.EXTERNAL_URL}/device"
    return {
        "device_code": begun.device_code,
        "user_code": begun.user_code,
        "verification_uri": page,
        "verification_uri_complete": f"{page}?user_code={begun.user_code}",
        "expires_in": begun.expires_in,
        "interval": begun.interval,
    }


@endpoint
def token(call: Call, form: Form) -> dict[str, Any]:
    """Tokens for an approved device code, or for a refresh token."""
    grant = _required(form, "grant_type")
    if grant == DEVICE_GRANT:
        return _tokens(redeem_device_code(call, _required(form, "device_code")))
    if grant == REFRESH_GRANT:
        return _tokens(refresh_program(call, _required(form, "refresh_token")))
    raise OAuthRefused("unsupported_grant_type", "Device code and refresh token are supported.")


@endpoint
def revoke(call: Call, form: Form) -> dict[str, Any]:
    """Ends the sign-in of a refresh token; a token that means nothing is as good as ended."""
    sign_out_by_token(call, _required(form, "token"))
    return {}


@needs(OPEN_TO_ALL)
def metadata(request: HttpRequest) -> HttpResponse:
    """Where everything is, for programs that look it up."""
    if request.method not in ("GET", "HEAD"):
        return _refusal("invalid_request", "Read this with GET.", 405)
    base = settings.EXTERNAL_URL
    document = {
        "issuer": base,
        "device_authorization_endpoint": f"{base}/oauth/device_authorization",
        "token_endpoint": f"{base}/oauth/token",
        "revocation_endpoint": f"{base}/oauth/revoke",
        "jwks_uri": f"{base}/.well-known/jwks.json",
        "grant_types_supported": [DEVICE_GRANT, REFRESH_GRANT],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "response_types_supported": [],
        "service_documentation": f"{base}/api/v1/docs",
    }
    return _public(document)


@needs(OPEN_TO_ALL)
def jwks(request: HttpRequest) -> HttpResponse:
    """The public keys of access tokens: those that sign, will sign, and have signed."""
    if request.method not in ("GET", "HEAD"):
        return _refusal("invalid_request", "Read this with GET.", 405)
    return _public(published_keys())


def _form(request: HttpRequest) -> Form:
    """The form's values, each once. Raises `OAuthRefused`."""
    if request.method != "POST":
        raise OAuthRefused("invalid_request", "Send a POST.", HTTPStatus.METHOD_NOT_ALLOWED)
    if request.content_type != FORM_TYPE:
        raise OAuthRefused("invalid_request", f"Send a form as {FORM_TYPE}.")
    try:
        pairs = dict(request.POST.lists())
    except _UNREADABLE:
        raise OAuthRefused("invalid_request", "The form cannot be read.") from None
    if any(len(values) != 1 or len(values[0]) > MAX_VALUE for values in pairs.values()):
        raise OAuthRefused("invalid_request", "A value is sent twice, or is too long.")
    return {name: values[0] for name, values in pairs.items()}


def _required(form: Form, name: str) -> str:
    value = form.get(name, "").strip()
    if not value or "\x00" in value:
        raise OAuthRefused("invalid_request", f"{name} is missing.")
    return value


def _tokens(pair: TokenPair) -> dict[str, Any]:
    return {
        "access_token": pair.access_token,
        "token_type": "Bearer",
        "expires_in": pair.expires_in,
        "refresh_token": pair.refresh_token,
    }


def _failure(error: FleetdError) -> HttpResponse:
    """A coded failure as OAuth says it. Everything about a token that is no good is one code."""
    if error.code in _OWN_CODES:
        return _refusal(error.code, error.message)
    if error.kind is Kind.EXHAUSTED:
        response = _refusal("slow_down", error.message, HTTPStatus.TOO_MANY_REQUESTS)
        response["Retry-After"] = str(error.retry_after_seconds or 1)
        return response
    if error.kind is Kind.UNAVAILABLE:
        return _refusal("temporarily_unavailable", error.message, HTTPStatus.SERVICE_UNAVAILABLE)
    is_token = error.kind in (Kind.UNAUTHENTICATED, Kind.DENIED)
    return _refusal("invalid_grant" if is_token else "invalid_request", error.message)


def _refusal(error: str, description: str, status: int = HTTPStatus.BAD_REQUEST) -> HttpResponse:
    response = JsonResponse({"error": error, "error_description": description}, status=status)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        response["Allow"] = "POST" if "POST" in description else "GET, HEAD"
    return response


def _public(document: dict[str, Any]) -> HttpResponse:
    response = JsonResponse(document)
    seconds = int(JWKS_MAX_AGE.total_seconds())
    response["Cache-Control"] = f"public, max-age={seconds}"
    response["Access-Control-Allow-Origin"] = "*"  # public keys and addresses, no credentials
    return response
