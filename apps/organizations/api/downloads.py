"""Downloading a finished export."""

from typing import Any

from django.http import HttpResponseBase
from drf_spectacular.utils import extend_schema

from apps.core.public import id_of
from apps.core.rest.views import handler
from apps.organizations.exports import get_finished_export
from apps.organizations.permissions import EXPORT_ORGANIZATION
from apps.organizations.sending import send_export


@extend_schema(
    operation_id="download_organization_export",
    summary="Download organization export",
    description="The archive, once the export is done: a zip with one file of JSON lines per "
    "table. Its ETag is its SHA-256.",
    responses={(200, "application/zip"): {"type": "string", "format": "binary"}},
    extensions={"x-permission": EXPORT_ORGANIZATION.name},
)
@handler(EXPORT_ORGANIZATION)
def download_export(self: object, request: Any, id: str, export_id: str) -> HttpResponseBase:
    """Sends the archive."""
    return send_export(get_finished_export(request.actor, id_of(id), id_of(export_id)))
