"""The audit list as a file: CSV and NDJSON by `Accept`, on the same address with the same filters.

Files are bounded and made within the request's transaction; a longer list comes in several.
"""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from apps.audit import public
from apps.audit.domain.files import COLUMNS, CSV, ENDINGS, NDJSON, file_text
from apps.audit.selectors import MAX_FILE_ROWS, read_file_rows
from apps.core.errors import invalid
from apps.core.pagination import PageRequest
from apps.core.rest.messages import read_query
from apps.core.rest.schema import answer_schema
from apps.core.tenancy import tenant


def exports(answer: Callable[..., HttpResponse]) -> Any:
    """The list's handler, which answers with a file to whoever asks for one."""
    original: Any = answer
    operation = original.operation

    def answer_or_file(self: Any, request: Request, **bound: str) -> HttpResponse:
        kind = file_kind(request.META.get("HTTP_ACCEPT", ""))
        response = _file(request._request, kind) if kind else answer(self, request, **bound)
        response["Vary"] = "Accept"
        return response

    answer_or_file.__name__, answer_or_file.__doc__ = operation.name, answer.__doc__
    answer_or_file.operation = operation  # type: ignore[attr-defined]
    answer_or_file.permission = operation.permission  # type: ignore[attr-defined]
    answer_or_file.kwargs = dict(original.kwargs)  # type: ignore[attr-defined]  # its description
    responses = {
        (HTTPStatus.OK, "application/json"): answer_schema(operation.response_class),
        (HTTPStatus.OK, CSV): OpenApiTypes.STR,
        (HTTPStatus.OK, NDJSON): OpenApiTypes.STR,
        HTTPStatus.NOT_MODIFIED: None,
    }
    return extend_schema(responses=responses)(answer_or_file)


def file_kind(accept: str) -> str:
    """The kind of file that is preferred over JSON; empty where none is."""
    for part in accept.lower().split(","):
        name = part.partition(";")[0].strip()
        if name in ENDINGS:
            return name
        if name in ("application/json", "application/*", "*/*"):
            return ""
    return ""


def _file(request: HttpRequest, kind: str) -> HttpResponse:
    plain: Any = request
    query = {name: values for name, values in plain.GET.lists() if name != "fields"}
    message: Any = read_query(public.list_audit_entries.request_class, query)
    page = PageRequest(message.page_size or MAX_FILE_ROWS, message.page_token)
    columns = _columns(plain.GET.get("fields", ""))
    with tenant(plain.actor.organization_id):
        found = read_file_rows(plain.actor, page, **public.wanted_of(message))
    response = HttpResponse(file_text(kind, found.items, columns), f"{kind}; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="audit-entries.{ENDINGS[kind]}"'
    if found.next_page_token:
        kept = [(n, v) for n, values in plain.GET.lists() for v in values if n != "page_token"]
        following = urlencode([*kept, ("page_token", found.next_page_token)])
        response["Next-Page-Token"] = found.next_page_token
        response["Link"] = f'<{plain.build_absolute_uri(plain.path)}?{following}>; rel="next"'
    return response


def _columns(asked: str) -> Sequence[str]:
    names = [name.strip() for name in asked.split(",") if name.strip()]
    if unknown := sorted(set(names) - set(COLUMNS)):
        raise invalid("fields", "unknown_field", f"There is no field {unknown[0][:100]!r}.")
    return names or COLUMNS
