"""Where an organization's files lie: a folder of its own in the installation's storage.

Artifacts lie on the file system or in a bucket of an S3-compatible server, as FLEETD_STORAGE_URL
says. What is on its way (uploads, exports) lies on this machine always.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import unquote, urlsplit
from uuid import UUID

from django.conf import settings

from apps.core.errors import Unavailable

EXPORTS = "exports"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as the storage tells of it; `modified_at` in seconds since the epoch."""

    name: str
    size_bytes: int
    modified_at: float


class ArtifactStorage(Protocol):
    """What artifacts need of a storage of Django's kind, beside what all of these can do.

    Failures are `OSError`; a file that is not there is `FileNotFoundError`.
    """

    def exists(self, name: str) -> bool:
        """Whether the file is there, which it is whole or not at all."""

    def put(self, source: Path, name: str) -> None:
        """Stores a file of this machine, durably; `source` stays. It is visible whole or not at
        all, also while it takes the place of another one.
        """

    def open_range(self, name: str, first: int, length: int) -> BinaryIO:
        """The bytes from `first` on, to be read in pieces and closed."""

    def delete(self, name: str) -> None:
        """Removes the file; one that is not there is none the less gone."""

    def remove_all(self, folder: str) -> None:
        """Removes all files of a folder."""

    def list_files(self, folder: str) -> "Iterator[StoredFile]":
        """The files that lie two folders deep in a folder, in no order."""


def artifact_storage() -> ArtifactStorage:
    """Where artifacts lie. Raises `Unavailable` for a setting that names no known storage."""
    return _storage(settings.STORAGE_URL)


def storage_root() -> Path:
    """The folder of this machine for what is on its way."""
    parts = urlsplit(settings.STORAGE_URL)
    if parts.scheme == "s3":
        return Path(settings.STORAGE_FOLDER)
    if parts.scheme != "file" or not parts.path:
        raise Unavailable("FLEETD_STORAGE_URL is file:///folder or s3://bucket.")
    return Path(unquote(parts.path))


def organization_folder(organization_id: UUID) -> Path:
    """The folder of one organization; nobody else's files lie there."""
    return storage_root() / organization_id.hex


def remove_organization_files(organization_id: UUID) -> None:
    """Removes all files of an organization that was deleted, wherever they lie."""
    shutil.rmtree(organization_folder(organization_id), ignore_errors=True)
    artifact_storage().remove_all(organization_id.hex)


def export_folder(organization_id: UUID, export_id: UUID) -> Path:
    """The folder in which one export is put together."""
    return organization_folder(organization_id) / EXPORTS / export_id.hex


def export_file(organization_id: UUID, export_id: UUID) -> Path:
    """The finished archive."""
    return export_folder(organization_id, export_id) / "export.zip"


@lru_cache(maxsize=8)
def _storage(url: str) -> ArtifactStorage:
    """One per setting; the client of a bucket is imported only where there is one."""
    if urlsplit(url).scheme == "s3":
        buckets = import_module("apps.organizations.storage.buckets")
        found: ArtifactStorage = buckets.bucket_storage(url)
        return found
    files = import_module("apps.organizations.storage.files")
    return files.DurableFileStorage(location=storage_root())
