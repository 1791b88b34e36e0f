"""The base view of the REST door, and endpoints made of public operations."""

import hashlib
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from django.core.exceptions import (
    BadRequest,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.http.multipartparser import MultiPartParserError
from django.http.request import RawPostDataException
from django.urls import URLPattern, path, register_converter
from google.protobuf.message import Message
from rest_framework import exceptions
from rest_framework.authentication import CSRFCheck
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.core.actors import ActorKind
from apps.core.authz import Permission
from apps.core.errors import (
    FleetdError,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    Unavailable,
    invalid,
)
from apps.core.public import Operation
from apps.core.rest.bodies import Refused, has_body, read_json_object
from apps.core.rest.messages import (
    MessageType,
    inner_field,
    read,
    read_query,
    render_answer,
    shown_name,
)
from apps.core.rest.problems import INTERNAL, Problem, problem_of, problem_response
from apps.core.rest.schema import JsonParser, JsonRenderer, described
from apps.core.tenancy import tenant

log = structlog.get_logger(__name__)

CSRF_FAILED = Problem(403, "csrf_failed", "Send the CSRF token in X-CSRFToken, or an API key.")
_DRF_CODES = {405: "method_not_allowed", 415: "unsupported_media_type", 404: "not_found"}
UNREADABLE = (SuspiciousOperation, BadRequest, RawPostDataException, MultiPartParserError)
TOO_MUCH = (RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent)
BODY_TOO_LARGE = Problem(413, "body_too_large", "The body has too many parts, or is too long.")
_SAFE = ("GET", "HEAD", "OPTIONS")


class IdentConverter:
    """A path segment up to a colon: `{id}` in `{id}:pause`."""

    regex = "[^/:]+"

    def to_python(self, value: str) -> str:
        """As it stands."""
        return value

    def to_url(self, value: Any) -> str:
        """As it stands."""
        return str(value)


register_converter(IdentConverter, "ident")


class OrgAPIView(APIView):
    """Base of every REST resource.

    Authenticates by API key or session, and answers every failure with a problem document. Handlers
    are endpoints made by `endpoint`, or functions marked by `handler`; both work inside
    `tenant(actor.organization_id)`.
    """

    authentication_classes = ()
    permission_classes = ()
    parser_classes = (JsonParser,)
    renderer_classes = (JsonRenderer,)

    def perform_authentication(self, request: Request) -> None:
        """Finds the caller. A browser's session has to come with its CSRF token."""
        plain: Any = request._request
        plain.actor = plain.find_actor()
        is_browser = plain.actor.kind is ActorKind.USER and plain.actor.session_id is None
        if is_browser and plain.method not in _SAFE:
            _check_csrf(plain)

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """There is one representation; an `Accept` that excludes it still gets it."""
        return JsonRenderer(), JsonRenderer.media_type

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Which methods the resource has."""
        return HttpResponse(status=HTTPStatus.NO_CONTENT, headers={"Allow": self._allow()})

    def handle_exception(self, exc: Exception) -> Any:
        """The problem document for whatever went wrong."""
        problem = _problem_for(exc)
        if isinstance(exc, PermissionDenied):
            plain: Any = self.request._request
            plain.refusal = exc  # the audit trail hears of it
        if problem is INTERNAL:
            log.error("request_failed", path=self.request.path, exc_info=exc)
        response = problem_response(self.request, problem)
        if problem.status == HTTPStatus.METHOD_NOT_ALLOWED:
            response["Allow"] = self._allow()
        return response

    def finalize_response(
        self, request: Request, response: HttpResponseBase, *args: Any, **kwargs: Any
    ) -> Any:
        """Adds what every answer has; answers 304 to a reader who has it already."""
        response.headers.setdefault("Cache-Control", "private, no-cache")
        if request.method == "GET" and response.status_code == HTTPStatus.OK:
            return _with_etag(request, response)
        return response

    def _allow(self) -> str:
        return ", ".join(self.allowed_methods)


class UnknownResource(OrgAPIView):
    """Everything below `/api/` that is nothing."""

    def perform_authentication(self, request: Request) -> None:
        """Nobody needs to sign in to learn that an address is wrong."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """404 for every method."""
        raise NotFound("There is no such address.")


def endpoint(
    operation: Operation[Any, Any], *, status: int = HTTPStatus.OK, query: bool = False
) -> Any:
    """A handler of `OrgAPIView` that answers with a public operation.

    Arguments come from the path, then from the query (`query=True`, for GET) or the JSON body.
    """

    def answer(self: OrgAPIView, request: Request, **bound: str) -> HttpResponse:
        plain: Any = request._request
        if query:
            message, fields = _read_query(operation, plain, bound)
        else:
            refuse_query(plain)
            body = read_json_object(plain)
            if plain.method == "PATCH":
                _refuse_empty_lists(body)
            message, fields = read(operation.request_class, body, bound=bound), ()
        with tenant(plain.actor.organization_id):
            result = operation(plain.actor, message)
        return _answer(plain, message, result, status, fields)

    answer.__name__ = operation.name
    answer.__doc__ = operation.function.__doc__
    answer.operation = operation  # type: ignore[attr-defined]
    answer.permission = operation.permission  # type: ignore[attr-defined]
    return described(answer, operation, status=status, query=query)


def reads(operation: Operation[Any, Any]) -> Any:
    """A GET."""
    return endpoint(operation, query=True)


def does(operation: Operation[Any, Any]) -> Any:
    """A POST or PATCH that changes something and answers with it as it is now."""
    return endpoint(operation)


def creates(operation: Operation[Any, Any]) -> Any:
    """A POST that makes something."""
    return endpoint(operation, status=HTTPStatus.CREATED)


def removes(operation: Operation[Any, Any]) -> Any:
    """A DELETE."""
    return endpoint(operation, status=HTTPStatus.NO_CONTENT)


def handler(permission: Permission) -> Callable[[Callable[..., Any]], Any]:
    """Marks a hand-written handler with its permission and opens the organization around it."""

    def decorate(function: Callable[..., Any]) -> Any:
        def answer(self: OrgAPIView, request: Request, **bound: str) -> Any:
            plain: Any = request._request
            with tenant(plain.actor.organization_id):
                return function(self, plain, **bound)

        answer.__name__ = function.__name__
        answer.__doc__ = function.__doc__
        answer.permission = permission  # type: ignore[attr-defined]
        return answer

    return decorate


def resource(name: str, address: str, **handlers: Any) -> list[URLPattern]:
    """The routes of one address, with and without a slash at its end."""
    title = name.title().replace("-", "")
    view = type(f"{title}View", (OrgAPIView,), handlers).as_view()  # type: ignore[attr-defined]
    return [path(address, view, name=f"api-{name}"), path(f"{address}/", view)]


def json_response(data: Any, status: int = HTTPStatus.OK) -> HttpResponse:
    """An answer in JSON."""
    return HttpResponse(orjson.dumps(data), "application/json", status)


def _read_query(
    operation: Operation[Any, Any], request: HttpRequest, bound: Mapping[str, str]
) -> tuple[Message, tuple[str, ...]]:
    if has_body(request):
        raise Refused(Problem(400, "unexpected_body", "This request takes no body."))
    query = {name: values for name, values in request.GET.lists() if name != "fields"}
    asked = request.GET.get("fields", "")
    fields = tuple(f.strip() for f in asked.split(",") if f.strip())
    unknown = sorted(set(fields) - _field_names(operation.response_class))
    if unknown:
        raise invalid("fields", "unknown_field", f"There is no field {unknown[0][:100]!r}.")
    return read_query(operation.request_class, query, bound=bound), fields


def refuse_query(request: HttpRequest) -> None:
    """Raises `InvalidRequest` for parameters in the address of a request that takes none."""
    if request.GET:
        name = next(iter(request.GET))
        raise invalid(name[:100], "unknown_parameter", "This request takes no query parameters.")


def _refuse_empty_lists(body: Mapping[str, Any]) -> None:
    """In a message an empty list looks like none, which leaves things as they are.

    Whoever sends one to take everything away must not hear that it was done.
    """
    for name, value in body.items():
        if value == []:
            message = "An empty list changes nothing here: leave the field out."
            raise invalid(name[:100], "empty_list", message)


def _field_names(response_class: type[Message]) -> set[str]:
    """The names of the objects that an answer is about."""
    descriptor: MessageType = response_class.DESCRIPTOR
    items = descriptor.fields_by_name.get("items")
    inner = items or inner_field(descriptor)
    about = inner.message_type if inner is not None else descriptor
    return {shown_name(field) for field in about.fields}


def _answer(
    request: HttpRequest, message: Any, result: Message, status: int, fields: tuple[str, ...]
) -> HttpResponse:
    if status == HTTPStatus.NO_CONTENT:
        return HttpResponse(status=status)
    data = render_answer(result)
    if fields and "items" in data:
        data["items"] = [{name: item[name] for name in fields} for item in data["items"]]
    elif fields:
        data = {name: data[name] for name in fields}
    if status == HTTPStatus.CREATED and getattr(message, "validate_only", False):
        return json_response(data)
    response = json_response(data, status)
    if status == HTTPStatus.CREATED:
        response["Location"] = f"{request.path.rstrip('/')}/{data['id']}"
    return response


def _with_etag(request: Any, response: HttpResponseBase) -> HttpResponseBase:
    if not isinstance(response, HttpResponse) or "ETag" in response:
        return response
    etag = f'W/"{hashlib.sha256(response.content).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": response["Cache-Control"]}
    if etag in request.headers.get("If-None-Match", ""):
        return HttpResponse(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    response["ETag"] = etag
    return response


def _check_csrf(request: HttpRequest) -> None:
    check = CSRFCheck(lambda _: HttpResponse())
    check.process_request(request)
    if check.process_view(request, lambda: HttpResponse(), (), {}):
        raise Refused(CSRF_FAILED)


def _problem_for(error: Exception) -> Problem:
    """The problem that an exception is; `INTERNAL` for a bug."""
    if isinstance(error, FleetdError):
        return problem_of(error)
    if isinstance(error, Refused):
        return error.problem
    if isinstance(error, exceptions.APIException):
        return _drf_problem(error)
    if isinstance(error, Http404):
        return problem_of(NotFound())
    if isinstance(error, DjangoPermissionDenied):
        return CSRF_FAILED
    if isinstance(error, TOO_MUCH):
        return BODY_TOO_LARGE
    if isinstance(error, UNREADABLE):
        return problem_of(InvalidRequest())
    if isinstance(error, DataError):
        log.warning("value_refused_by_database", error=str(error))
        return problem_of(InvalidRequest("A value is out of range."))
    if isinstance(error, OperationalError | InterfaceError):
        log.warning("database_unavailable", error=str(error))
        return problem_of(Unavailable())
    return INTERNAL


def _drf_problem(error: exceptions.APIException) -> Problem:
    status = error.status_code
    return Problem(status, _DRF_CODES.get(status, error.default_code), str(error.detail))
