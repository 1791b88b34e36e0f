"""Problem documents (RFC 9457): the one form of every failure below `/api/`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse

from apps.core.errors import STATUS, FieldError, FleetdError, Kind

CONTENT_TYPE = "application/problem+json"
TYPE_BASE = "urn:fleetd:error:"
CHALLENGE = 'Bearer realm="fleetd"'
CHALLENGES = dict.fromkeys(
    ("invalid_token", "invalid_api_key"), f'{CHALLENGE}, error="invalid_token"'
)
TITLES = {
    400: "The request is not valid",
    401: "Sign in first",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    408: "Too slow",
    409: "Conflict",
    411: "Length required",
    412: "It has changed meanwhile",
    413: "Too large",
    414: "Address too long",
    415: "Unsupported content type",
    416: "Range not satisfiable",
    422: "The request is not valid",
    429: "Too much at once",
    431: "Headers too large",
    500: "Internal error",
    503: "Not available just now",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One failure as HTTP shows it."""

    status: int
    code: str
    detail: str
    title: str = ""
    errors: tuple[FieldError, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


INTERNAL = Problem(500, "internal_error", "Something broke on our side. Report the request id.")


def problem_of(error: FleetdError) -> Problem:
    """The problem that a failure is, by the table of kinds."""
    status = STATUS[error.kind]
    headers: dict[str, str] = {}
    if error.kind is Kind.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = CHALLENGES.get(error.code, CHALLENGE)
    if error.kind in (Kind.EXHAUSTED, Kind.UNAVAILABLE):
        headers["Retry-After"] = str(error.retry_after_seconds or 1)
    return Problem(
        status.http, error.code, error.message, status.title, error.fields, error.data, headers
    )


def problem_response(request: HttpRequest, problem: Problem) -> HttpResponse:
    """The problem document."""
    document = {
        "type": TYPE_BASE + problem.code,
        "title": problem.title or TITLES.get(problem.status, "Error"),
        "status": problem.status,
        "detail": problem.detail,
        "instance": request.path,
        "code": problem.code,
        "request_id": getattr(request, "request_id", ""),
        "errors": [
            {"pointer": "/" + e.field.replace(".", "/"), "code": e.code, "detail": e.message}
            for e in problem.errors
        ],
    }
    if problem.metadata:
        document["metadata"] = dict(problem.metadata)
    body = orjson.dumps(document, default=str)
    headers = {"Cache-Control": "no-store", **problem.headers}
    response = HttpResponse(body, CONTENT_TYPE, problem.status, headers=headers)
    response.failure_code = problem.code  # type: ignore[attr-defined]  # for the request log
    return response


def is_api(request: HttpRequest) -> bool:
    """Whether the client expects problem documents rather than pages."""
    return request.path.startswith("/api/")
