"""The audit list as a file: CSV and NDJSON by `Accept`, on the same address with the same filters.

Files are bounded and made within the request's transaction; a longer list comes in several.
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from apps.audit import public, selectors
from apps.audit.domain.cells import json_line, neutral
from apps.audit.models import AuditEntry
from apps.core.actors import Actor
from apps.core.errors import invalid
from apps.core.pagination import MAX_PAGE_SIZE, Page, PageRequest
from apps.core.rest.messages import read_query
from apps.core.rest.schema import answer_schema
from apps.core.tenancy import tenant

MAX_ROWS = 10_000
CSV, NDJSON = "text/csv", "application/x-ndjson"
COLUMNS = (
    "sequence", "time", "action", "result", "actor_kind", "actor_id", "actor_label", "object_type",
    "object_id", "object_label", "source", "address", "request_id", "changes", "hash",
    "previous_hash", "id",
)  # fmt: skip


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
        if name in (CSV, NDJSON):
            return name
        if name in ("application/json", "application/*", "*/*"):
            return ""
    return ""


def file_of(actor: Actor, kind: str, page: PageRequest, wanted: dict[str, Any]) -> HttpResponse:
    """The answer with a file of the entries that are wanted, inside the organization."""
    return _answer(kind, _entries(actor, page, wanted), COLUMNS)


def _file(request: HttpRequest, kind: str) -> HttpResponse:
    plain: Any = request
    query = {name: values for name, values in plain.GET.lists() if name != "fields"}
    message: Any = read_query(public.list_audit_entries.request_class, query)
    page = PageRequest(message.page_size or MAX_ROWS, message.page_token)
    columns = _columns(plain.GET.get("fields", ""))
    with tenant(plain.actor.organization_id):
        found = _entries(plain.actor, page, public.wanted_of(message))
    response = _answer(kind, found, columns)
    if found.next_page_token:
        kept = [(n, v) for n, values in plain.GET.lists() for v in values if n != "page_token"]
        following = urlencode([*kept, ("page_token", found.next_page_token)])
        response["Link"] = f'<{plain.build_absolute_uri(plain.path)}?{following}>; rel="next"'
    return response


def _columns(asked: str) -> Sequence[str]:
    names = [name.strip() for name in asked.split(",") if name.strip()]
    if unknown := sorted(set(names) - set(COLUMNS)):
        raise invalid("fields", "unknown_field", f"There is no field {unknown[0][:100]!r}.")
    return names or COLUMNS


def _entries(actor: Actor, page: PageRequest, wanted: dict[str, Any]) -> Page[AuditEntry]:
    """At most `page.size` entries, read page by page so that no query is long."""
    items: list[AuditEntry] = []
    token = page.token
    while True:
        size = min(MAX_PAGE_SIZE, page.size - len(items))
        found = selectors.list_entries(actor, PageRequest(size, token), **wanted)
        items += found.items
        token = found.next_page_token
        if not token or len(items) >= page.size:
            return Page(items, token)


def _answer(kind: str, found: Page[AuditEntry], columns: Sequence[str]) -> HttpResponse:
    lines = _csv(found.items, columns) if kind == CSV else _ndjson(found.items, columns)
    response = HttpResponse("".join(lines), f"{kind}; charset=utf-8")
    ending = "csv" if kind == CSV else "ndjson"
    response["Content-Disposition"] = f'attachment; filename="audit-entries.{ending}"'
    if found.next_page_token:
        response["Next-Page-Token"] = found.next_page_token
    return response


def _csv(entries: Sequence[AuditEntry], columns: Sequence[str]) -> Iterator[str]:
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(columns)
    for entry in entries:
        values = _values(entry)
        changes = json_line(values["changes"]) if values["changes"] else ""
        writer.writerow([neutral({**values, "changes": changes}[name]) for name in columns])
    yield file.getvalue()


def _ndjson(entries: Sequence[AuditEntry], columns: Sequence[str]) -> Iterator[str]:
    for entry in entries:
        values = _values(entry)
        yield json_line({name: values[name] for name in columns}) + "\n"


def _values(entry: AuditEntry) -> dict[str, Any]:
    return {
        **entry.hashed_fields(),
        "time": entry.time.isoformat().replace("+00:00", "Z"),
        "actor_id": str(entry.actor_id or ""),
        "hash": bytes(entry.hash).hex(),
        "previous_hash": bytes(entry.previous_hash).hex(),
    }
