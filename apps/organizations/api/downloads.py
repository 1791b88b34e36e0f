"""Sending a finished export, in constant memory."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from django.http import HttpResponseBase, StreamingHttpResponse
from drf_spectacular.utils import extend_schema

from apps.core.errors import NotFound
from apps.core.public import id_of
from apps.core.rest.views import handler
from apps.organizations.exports import get_finished_export
from apps.organizations.models import OrganizationExport
from apps.organizations.permissions import EXPORT_ORGANIZATION
from apps.organizations.storage import export_file

CHUNK_BYTES = 256 * 1024


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


def send_export(export: OrganizationExport) -> HttpResponseBase:
    """The answer for whoever may have it. Raises `NotFound` where the file is gone."""
    path = export_file(export.organization_id, export.id)
    if not path.is_file():
        raise NotFound("The file of this export is gone from the storage.")
    name = f"fleetd-export-{export.created_at:%Y-%m-%d}.zip"
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Content-Length": str(path.stat().st_size),
        "Cache-Control": "private, no-store",
        "X-Content-Type-Options": "nosniff",
        "ETag": f'"{export.sha256}"',
    }
    return StreamingHttpResponse(_chunks(path), content_type="application/zip", headers=headers)


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    """Read in threads: the event loop never waits for the disk."""
    file = await asyncio.to_thread(path.open, "rb", buffering=0)
    try:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
    finally:
        file.close()
