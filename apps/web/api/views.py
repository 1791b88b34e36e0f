"""The OpenAPI document and the reference page that shows it."""

from functools import cache
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.settings import patched_settings

DESCRIPTION = """\
Everything that the platform does, over HTTP and JSON. Send an API key as
`Authorization: Bearer fld_pat_…` or `X-API-Key`; a signed-in browser uses its session and the CSRF
token. Lists come in pages: pass `next_page_token` back as `page_token` until it is empty. Every
failure is a problem document (RFC 9457) with a stable `code` and the `request_id`."""


@require_safe
def openapi(request: HttpRequest) -> HttpResponse:
    """The OpenAPI 3.1 document."""
    return HttpResponse(_document(), "application/json")


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """The reference for people: Swagger UI, served by ourselves."""
    return render(request, "web/api_docs.html")


@cache
def _document() -> bytes:
    return orjson.dumps(build_document())


def build_document() -> dict[str, Any]:
    """The document, from the routes as they are."""
    hooks: dict[str, Any] = {
        "DESCRIPTION": DESCRIPTION,
        "PREPROCESSING_HOOKS": ["apps.core.rest.schema.without_slash_twins"],
        "POSTPROCESSING_HOOKS": ["apps.core.rest.schema.complete"],
        "SCHEMA_PATH_PREFIX": "/api/v1",
        "CONTACT": {},
    }
    with patched_settings(hooks):
        document: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return document
