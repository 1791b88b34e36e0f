"""Storing and deleting artifacts: hashed while they stream, visible whole or not at all."""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from django.conf import settings
from django.db import connection

from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require
from apps.core.errors import NotFound, Unavailable, invalid
from apps.core.ids import uuid7
from apps.core.tenancy import tenant
from apps.core.transactions import after_commit
from apps.events.services.outbox import publish
from apps.organizations.services.quotas import require_room
from apps.organizations.storage import artifact_storage, storage_root
from apps.updates.domain.storage import INCOMING, is_content_type, is_plain_name, is_sha256
from apps.updates.errors import (
    ArtifactDigestMismatch,
    ArtifactEmpty,
    ArtifactInUse,
    ArtifactTooLarge,
    StorageFull,
)
from apps.updates.models import Artifact, Component, Release
from apps.updates.permissions import DELETE_ARTIFACT, STORE_ARTIFACT
from apps.updates.selectors.artifacts import storage_name
from apps.updates.types import ArtifactStored

CHUNK_BYTES = 1024 * 1024
SHOWN_USERS = 20
ABANDONED_AFTER = timedelta(days=1)
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class _Received:
    """A file that lies complete and durable among the incoming ones."""

    path: Path
    sha256: str
    size_bytes: int


def store_artifact(
    actor: Actor,
    *,
    name: str,
    file: BinaryIO,
    content_type: str = "",
    expected_sha256: str = "",
) -> Artifact:
    """Stores the bytes of `file`, from where it stands to its end, as an artifact.

    The same content stored again is the artifact that exists, under the name that it has. Raises
    `InvalidRequest` for a bad name, type or digest, `ArtifactDigestMismatch`, `ArtifactTooLarge`,
    `ArtifactEmpty`, `StorageFull`, `QuotaExceeded`; none of them leaves anything behind.
    """
    require(actor, STORE_ARTIFACT)
    expected = expected_sha256.strip().lower()
    check_description(actor, name, content_type, expected)
    with _received(actor.organization_id, file) as received:
        return _store(actor, received, name, content_type, expected)


def store_file(
    actor: Actor, path: Path, *, name: str, content_type: str, expected: str
) -> Artifact:
    """Makes an artifact of a file that lies whole among the incoming ones, and is gone then.

    For uploads in parts, whose description was checked when they began. Raises what
    `store_artifact` does.
    """
    require(actor, STORE_ARTIFACT)
    with _writing():
        received = _Received(path, *_digest_of(path))
        artifact = _store(actor, received, name, content_type, expected)
    after_commit(lambda: path.unlink(missing_ok=True))
    return artifact


def _store(
    actor: Actor, received: _Received, name: str, content_type: str, expected: str
) -> Artifact:
    if expected and received.sha256 != expected:
        raise ArtifactDigestMismatch(data={"sha256": received.sha256, "expected": expected})
    lock_content(actor, received.sha256)
    existing = _find(actor, received.sha256)
    place = storage_name(actor.organization_id, received.sha256)
    is_counted = existing is not None and existing.file_removed_at is None
    if not is_counted:
        require_room(actor, "storage_bytes", adding=received.size_bytes)
    if not (is_counted and artifact_storage().exists(place)):
        artifact_storage().put(received.path, place)
    if existing is None:
        return _insert(actor, received, name, content_type)
    return _note_again(existing)


def _note_again(existing: Artifact) -> Artifact:
    """The artifact whose content came again; one whose file was removed has it back."""
    existing.stored_again_at, existing.file_removed_at = clock.now(), None
    existing.save(update_fields=["stored_again_at", "file_removed_at"])
    return existing


def delete_artifact(actor: Actor, artifact_id: UUID) -> None:
    """Deletes an artifact that no release uses, and its file. Raises `ArtifactInUse`."""
    rows = Artifact.objects.for_org(actor.organization_id).filter(id=artifact_id)
    content: str | None = rows.values_list("sha256", flat=True).first()
    if content is not None:
        lock_content(actor, content)
    artifact: Artifact | None = rows.select_for_update().first()
    if artifact is None:
        raise NotFound("There is no such artifact.")
    require(actor, DELETE_ARTIFACT)
    users = _releases_of(actor, artifact_id)
    if users:
        message = f"{ArtifactInUse.default_message} In use by {', '.join(users)}."
        raise ArtifactInUse(message, data={"releases": users})
    sha256 = artifact.sha256
    record(actor, DELETE_ARTIFACT.name, artifact, changes={"name": artifact.name, "sha256": sha256})
    artifact.delete()
    after_commit(lambda: remove_file(actor, sha256))


def _releases_of(actor: Actor, artifact_id: UUID) -> list[str]:
    """Names of the newest releases that are made of an artifact."""
    rows = Component.objects.for_org(actor.organization_id).filter(artifact_id=artifact_id)
    parts = rows.select_related("release").order_by("-release_id")[:SHOWN_USERS]
    described = Release.objects.for_org(actor.organization_id).filter(sbom_id=artifact_id)
    found = [*(part.release for part in parts), *described.order_by("-id")[:SHOWN_USERS]]
    return list(dict.fromkeys(str(release) for release in found))


def remove_abandoned_uploads(actor: Actor) -> int:
    """Removes what uploads left behind whose process died; returns how many files.

    Uploads under way are younger than a day and stay.
    """
    require(actor, STORE_ARTIFACT)
    incoming = storage_root() / actor.organization_id.hex / INCOMING
    oldest = clock.now().timestamp() - ABANDONED_AFTER.total_seconds()
    removed = 0
    for path in incoming.glob("*"):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < oldest:
                path.unlink()
                removed += 1
    return removed


def _insert(actor: Actor, received: _Received, name: str, content_type: str) -> Artifact:
    artifact = Artifact(
        organization_id=actor.organization_id,
        name=name,
        sha256=received.sha256,
        size_bytes=received.size_bytes,
        content_type=content_type.lower(),
        created_at=clock.now(),
        created_by=actor.label,
    )
    artifact.save(force_insert=True)
    changes = {"name": name, "sha256": received.sha256, "size_bytes": received.size_bytes}
    record(actor, STORE_ARTIFACT.name, artifact, changes=changes)
    publish(actor, ArtifactStored(artifact_id=artifact.id))
    return artifact


def check_description(actor: Actor, name: str, content_type: str, expected: str) -> None:
    """Raises `InvalidRequest` for a name, type or digest that no artifact can have."""
    if not is_plain_name(name):
        message = "A file name has 1 to 200 printable characters and is not a path."
        raise invalid("name", "invalid_name", message)
    if not is_content_type(content_type):
        message = "A content type looks like application/gzip."
        raise invalid("content_type", "invalid_content_type", message)
    if expected and not is_sha256(expected):
        message = "A SHA-256 digest has 64 hexadecimal digits."
        raise invalid("sha256", "invalid_digest", message)


@contextmanager
def _received(organization_id: UUID, file: BinaryIO) -> Iterator[_Received]:
    """The file among the incoming ones; whatever happens, it is gone from there afterwards."""
    path = storage_root() / organization_id.hex / INCOMING / str(uuid7())
    try:
        with _writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            yield _receive(path, file)
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _writing() -> Iterator[None]:
    """Says what a storage that fails means."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise StorageFull from error
        raise Unavailable("The artifact storage cannot be written to.") from error


def _digest_of(path: Path) -> tuple[str, int]:
    """SHA-256 and size of a file, in constant memory."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest, file.tell()


def _receive(path: Path, file: BinaryIO) -> _Received:
    """Copies and hashes in one pass, in constant memory, and waits until it is on the disk."""
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as target:
        while chunk := file.read(CHUNK_BYTES):
            size += len(chunk)
            if size > settings.ARTIFACT_MAX_BYTES:
                raise ArtifactTooLarge(data={"max_bytes": settings.ARTIFACT_MAX_BYTES})
            digest.update(chunk)
            target.write(chunk)
        target.flush()
        os.fsync(target.fileno())
    if not size:
        raise ArtifactEmpty
    return _Received(path, digest.hexdigest(), size)


def remove_file(actor: Actor, sha256: str) -> None:
    """Removes bytes that no artifact has; those that were stored again meanwhile stay."""
    with tenant(actor.organization_id):
        lock_content(actor, sha256)
        found = _find(actor, sha256)
        if found is None or found.file_removed_at is not None:
            artifact_storage().delete(storage_name(actor.organization_id, sha256))


def _find(actor: Actor, sha256: str) -> Artifact | None:
    rows = Artifact.objects.for_org(actor.organization_id)
    found: Artifact | None = rows.filter(sha256=sha256).first()
    return found


def lock_content(actor: Actor, sha256: str) -> None:
    """Until the transaction ends, nobody else stores or deletes this content here."""
    _ask_for_lock(actor, sha256, "pg_advisory_xact_lock")


def try_lock_content(actor: Actor, sha256: str) -> bool:
    """The same, unless somebody is storing or deleting it at this moment."""
    return _ask_for_lock(actor, sha256, "pg_try_advisory_xact_lock")


def _ask_for_lock(actor: Actor, sha256: str, function: str) -> bool:
    with connection.cursor() as cursor:
        name = f"artifact:{actor.organization_id}:{sha256}"
        cursor.execute(f"SELECT {function}(hashtextextended(%s, 0))", [name])
        return cursor.fetchone()[0] is not False
