"""Uploads in parts: what arrived stays, whatever happens to the connection or the server.

The row says how many bytes are stored for certain. A part is written behind them, synced, and then
counted in the row's transaction; what a crash left behind the counted bytes is cut off by the next
part. The digest is computed over the whole file when it is complete, so there is no state of it to
lose.
"""

import os
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require
from apps.core.errors import NotFound, Unavailable, invalid
from apps.core.transactions import after_commit
from apps.organizations.services.quotas import require_room
from apps.organizations.storage import organization_folder
from apps.updates.domain.storage import INCOMING
from apps.updates.errors import (
    ArtifactTooLarge,
    StorageFull,
    UploadBusy,
    UploadIncomplete,
    UploadOffsetWrong,
    UploadsTooMany,
)
from apps.updates.models import Artifact, ArtifactUpload
from apps.updates.permissions import STORE_ARTIFACT
from apps.updates.selectors.artifacts import find_stored_artifact
from apps.updates.services.artifacts import (
    CHUNK_BYTES,
    NO_ROOM,
    check_description,
    lock_content,
    store_file,
)

LIFETIME = timedelta(days=1)
MAX_OPEN = 100
MAX_PART_BYTES = 16 * 1024 * 1024


def create_artifact_upload(
    actor: Actor,
    *,
    name: str,
    size_bytes: int,
    content_type: str = "",
    expected_sha256: str = "",
) -> ArtifactUpload:
    """Begins an upload in parts, which stays open for a day after its last part.

    Its size counts against the quota from now on. Where the digest is given and such an artifact
    is stored already, the upload is complete at once. Raises `InvalidRequest` for a bad name, type,
    size or digest, `ArtifactTooLarge`, `QuotaExceeded`, `UploadsTooMany`.
    """
    require(actor, STORE_ARTIFACT)
    expected = expected_sha256.strip().lower()
    check_description(actor, name, content_type, expected)
    if size_bytes < 1:
        raise invalid("size_bytes", "invalid_size", "An artifact has at least one byte.")
    if size_bytes > settings.ARTIFACT_MAX_BYTES:
        raise ArtifactTooLarge(data={"max_bytes": settings.ARTIFACT_MAX_BYTES})
    if expected:
        lock_content(actor, expected)
    existing = find_stored_artifact(actor.organization_id, expected) if expected else None
    if existing is not None and existing.size_bytes != size_bytes:
        raise invalid("size_bytes", "invalid_size", "The content with this digest is not as long.")
    if existing is None:
        require_room(actor, "storage_bytes", adding=size_bytes)
        _check_number(actor)
    upload = ArtifactUpload(
        organization_id=actor.organization_id,
        name=name,
        content_type=content_type.lower(),
        size_bytes=size_bytes,
        expected_sha256=expected,
        received_bytes=0 if existing is None else size_bytes,
        created_at=clock.now(),
        created_by=actor.label,
        expires_at=clock.now() + LIFETIME,
        artifact=existing,
    )
    upload.save(force_insert=True)
    record(actor, STORE_ARTIFACT.name, upload, changes={"name": name, "size_bytes": size_bytes})
    return upload


def append_to_artifact_upload(
    actor: Actor, upload_id: UUID, *, offset: int, part: BinaryIO
) -> ArtifactUpload:
    """Adds the next bytes; `offset` says how many the sender believes to be stored.

    Raises `UploadOffsetWrong` with the right offset, `UploadBusy` while another part is written,
    `ArtifactTooLarge` for more than was announced, `StorageFull`. Nothing is counted then.
    """
    upload = _locked(actor, upload_id)
    if offset != upload.received_bytes:
        raise UploadOffsetWrong(data={"offset": upload.received_bytes})
    if upload.artifact_id is not None:
        return upload
    try:
        received = _append(_path_of(upload), offset, part, upload.size_bytes)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise StorageFull from error
        raise Unavailable("The artifact storage cannot be written to.") from error
    upload.received_bytes = offset + received
    upload.expires_at = clock.now() + LIFETIME
    upload.save(update_fields=["received_bytes", "expires_at"])
    return upload


def complete_artifact_upload(actor: Actor, upload_id: UUID) -> Artifact:
    """Makes an artifact of a file that has arrived whole; doing so again answers the same.

    Raises `UploadIncomplete` while bytes are missing, and whatever `store_artifact` raises. After
    `ArtifactDigestMismatch` only a new upload helps: something else has arrived than was announced.
    """
    upload = _locked(actor, upload_id)
    if upload.artifact_id is not None:
        return Artifact.objects.for_org(actor.organization_id).get(id=upload.artifact_id)
    if upload.received_bytes != upload.size_bytes:
        raise UploadIncomplete(data={"offset": upload.received_bytes})
    path = _path_of(upload)
    with suppress(FileNotFoundError):
        os.truncate(path, upload.size_bytes)
    # It counts as an artifact from here on, not as an upload.
    ArtifactUpload.objects.for_org(actor.organization_id).filter(id=upload.id).update(
        expires_at=clock.now()
    )
    artifact = store_file(
        actor,
        path,
        name=upload.name,
        content_type=upload.content_type,
        expected=upload.expected_sha256,
    )
    upload.artifact = artifact
    upload.expires_at = clock.now() + LIFETIME
    upload.save(update_fields=["artifact", "expires_at"])
    return artifact


def cancel_artifact_upload(actor: Actor, upload_id: UUID) -> None:
    """Forgets an upload and what has arrived of it; an artifact that was made of it stays."""
    upload = _locked(actor, upload_id)
    record(actor, STORE_ARTIFACT.name, upload, changes={"cancelled": upload.name})
    _forget(upload)


def remove_expired_uploads(actor: Actor) -> int:
    """Forgets uploads that nobody continued for a day; returns how many."""
    require(actor, STORE_ARTIFACT)
    return len(forget_expired(actor))


def forget_expired(actor: Actor) -> list[ArtifactUpload]:
    """The same for a service that has asked for its right; answers what is forgotten."""
    rows = ArtifactUpload.objects.for_org(actor.organization_id)
    old = rows.select_for_update(skip_locked=True).filter(expires_at__lt=clock.now())
    found = list(old.order_by("id")[:1000])
    for upload in found:
        _forget(upload)
    return found


def _forget(upload: ArtifactUpload) -> None:
    path = _path_of(upload)
    upload.delete()
    after_commit(lambda: path.unlink(missing_ok=True))


def _locked(actor: Actor, upload_id: UUID) -> ArtifactUpload:
    """The upload, held until the transaction ends. Raises `UploadBusy` while another has it."""
    rows = ArtifactUpload.objects.for_org(actor.organization_id)
    open_ = rows.filter(Q(expires_at__gte=clock.now()) | Q(artifact__isnull=False), id=upload_id)
    upload: ArtifactUpload | None = open_.select_for_update(skip_locked=True, of=("self",)).first()
    if upload is None and not open_.exists():
        raise NotFound("There is no such upload, or it has expired.")
    require(actor, STORE_ARTIFACT)
    if upload is None:
        raise UploadBusy
    return upload


def _check_number(actor: Actor) -> None:
    rows = ArtifactUpload.objects.for_org(actor.organization_id)
    if rows.filter(artifact=None, expires_at__gte=clock.now()).count() >= MAX_OPEN:
        raise UploadsTooMany(data={"limit": MAX_OPEN}, retry_after_seconds=60)


def _path_of(upload: ArtifactUpload) -> Path:
    return organization_folder(upload.organization_id) / INCOMING / f"upload-{upload.id.hex}"


def _append(path: Path, offset: int, part: BinaryIO, size: int) -> int:
    """Writes the part behind the first `offset` bytes and waits until it is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    received = 0
    with path.open("r+b" if path.exists() else "x+b") as target:
        if target.seek(0, os.SEEK_END) < offset:
            raise Unavailable("What was received before is gone from the storage. Start again.")
        target.truncate(offset)
        target.seek(offset)
        while chunk := part.read(CHUNK_BYTES):
            received += len(chunk)
            if offset + received > size or received > MAX_PART_BYTES:
                target.truncate(offset)
                raise ArtifactTooLarge(data={"max_bytes": min(size - offset, MAX_PART_BYTES)})
            target.write(chunk)
        target.flush()
        os.fsync(target.fileno())
    return received
