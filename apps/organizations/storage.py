"""Where an organization's files lie: a folder of its own in the installation's storage."""

from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import UUID

from django.conf import settings

from apps.core.errors import Unavailable

EXPORTS = "exports"


def storage_root() -> Path:
    """The folder in which all files lie."""
    parts = urlsplit(settings.STORAGE_URL)
    if parts.scheme != "file" or not parts.path:
        raise Unavailable("FLEETD_STORAGE_URL names no storage that this version knows: file://…")
    return Path(unquote(parts.path))


def organization_folder(organization_id: UUID) -> Path:
    """The folder of one organization; nobody else's files lie there."""
    return storage_root() / organization_id.hex


def export_folder(organization_id: UUID, export_id: UUID) -> Path:
    """The folder in which one export is put together."""
    return organization_folder(organization_id) / EXPORTS / export_id.hex


def export_file(organization_id: UUID, export_id: UUID) -> Path:
    """The finished archive."""
    return export_folder(organization_id, export_id) / "export.zip"
