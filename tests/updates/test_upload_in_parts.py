"""Uploads in parts: what arrived stays, and nothing is visible before all of it has."""

import hashlib
import io
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from apps.audit.models import AuditEntry
from apps.core import clock
from apps.core.actors import Actor
from apps.core.errors import InvalidRequest, NotFound, PermissionDenied
from apps.organizations.errors import QuotaExceeded
from apps.updates.errors import (
    ArtifactDigestMismatch,
    ArtifactTooLarge,
    UploadIncomplete,
    UploadOffsetWrong,
    UploadsTooMany,
)
from apps.updates.models import Artifact, ArtifactUpload
from apps.updates.selectors.artifacts import count_stored_bytes, get_artifact_upload
from apps.updates.services import uploads
from apps.updates.services.artifacts import remove_abandoned_uploads, store_artifact
from apps.updates.services.uploads import (
    append_to_artifact_upload,
    cancel_artifact_upload,
    complete_artifact_upload,
    create_artifact_upload,
    remove_expired_uploads,
)
from tests.updates.conftest import file_path

CONTENT = bytes(range(256)) * 100
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def begin(actor: Actor, **values: object) -> ArtifactUpload:
    """An upload of `CONTENT`."""
    described = {"name": "a.bin", "size_bytes": len(CONTENT), "expected_sha256": DIGEST, **values}
    return create_artifact_upload(actor, **described)


def append(actor: Actor, upload: ArtifactUpload, offset: int, part: bytes) -> int:
    """Sends a part; how many bytes are stored then."""
    found = append_to_artifact_upload(actor, upload.id, offset=offset, part=io.BytesIO(part))
    return found.received_bytes


def files_in(root: Path) -> list[Path]:
    """All files of the storage."""
    return [path for path in root.rglob("*") if path.is_file()]


def test_parts_become_one_artifact_when_all_have_arrived(
    alice: Actor, in_acme: None, storage: Path
) -> None:
    upload = begin(alice)
    assert append(alice, upload, 0, CONTENT[:10_000]) == 10_000
    assert not Artifact.objects.for_org(alice.organization_id).exists()
    with pytest.raises(UploadIncomplete) as early:
        complete_artifact_upload(alice, upload.id)
    assert early.value.data == {"offset": 10_000}
    append(alice, upload, 10_000, CONTENT[10_000:])
    artifact = complete_artifact_upload(alice, upload.id)
    assert (artifact.sha256, file_path(artifact).read_bytes()) == (DIGEST, CONTENT)
    assert complete_artifact_upload(alice, upload.id).id == artifact.id
    assert get_artifact_upload(alice, upload.id).artifact_id == artifact.id


@pytest.mark.parametrize("offset", [0, 9_999, 10_001, 25_600])
def test_a_part_at_another_place_is_refused_with_the_right_place(
    alice: Actor, in_acme: None, offset: int
) -> None:
    upload = begin(alice)
    append(alice, upload, 0, CONTENT[:10_000])
    with pytest.raises(UploadOffsetWrong) as refused:
        append(alice, upload, offset, b"x")
    assert refused.value.data == {"offset": 10_000}
    assert get_artifact_upload(alice, upload.id).received_bytes == 10_000


def test_what_a_crash_left_behind_the_counted_bytes_is_cut_off(
    alice: Actor, in_acme: None, storage: Path
) -> None:
    upload = begin(alice)
    append(alice, upload, 0, CONTENT[:100])
    (path,) = files_in(storage)
    path.write_bytes(path.read_bytes() + b"written, never counted")
    append(alice, upload, 100, CONTENT[100:])
    assert complete_artifact_upload(alice, upload.id).sha256 == DIGEST


def test_more_than_was_announced_is_refused_and_not_kept(
    alice: Actor, in_acme: None, storage: Path
) -> None:
    upload = begin(alice)
    append(alice, upload, 0, CONTENT[:-1])
    with pytest.raises(ArtifactTooLarge):
        append(alice, upload, len(CONTENT) - 1, b"xy")
    assert [path.stat().st_size for path in files_in(storage)] == [len(CONTENT) - 1]


def test_a_part_has_a_greatest_size(
    alice: Actor, in_acme: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MAX_PART_BYTES", 100)
    upload = begin(alice)
    with pytest.raises(ArtifactTooLarge):
        append(alice, upload, 0, CONTENT[:101])


def test_other_content_than_announced_makes_no_artifact(alice: Actor, in_acme: None) -> None:
    upload = begin(alice)
    append(alice, upload, 0, CONTENT[::-1])
    with pytest.raises(ArtifactDigestMismatch):
        complete_artifact_upload(alice, upload.id)
    assert not Artifact.objects.for_org(alice.organization_id).exists()


def test_content_that_is_here_already_needs_no_sending(alice: Actor, in_acme: None) -> None:
    stored = store_artifact(alice, name="first.bin", file=io.BytesIO(CONTENT))
    upload = begin(alice)
    assert upload.artifact_id == stored.id
    assert complete_artifact_upload(alice, upload.id).id == stored.id
    with pytest.raises(InvalidRequest):
        begin(alice, size_bytes=1)


@pytest.mark.parametrize(
    "values",
    [
        {"name": "../../x"},
        {"name": "/etc/passwd"},
        {"name": "a\0b"},
        {"name": "x" * 300},
        {"size_bytes": 0},
        {"expected_sha256": "abc"},
        {"content_type": "text html"},
    ],
)
def test_s51_what_no_artifact_can_be_is_refused_before_a_byte(
    alice: Actor, in_acme: None, values: dict
) -> None:
    with pytest.raises(InvalidRequest):
        begin(alice, **values)
    assert not ArtifactUpload.objects.for_org(alice.organization_id).exists()


def test_a_file_that_is_too_large_is_refused_before_a_byte(
    alice: Actor, in_acme: None, settings: object
) -> None:
    settings.ARTIFACT_MAX_BYTES = 100
    with pytest.raises(ArtifactTooLarge):
        begin(alice)


def test_what_is_announced_counts_against_the_quota_until_it_is_cancelled(
    alice: Actor, in_acme: None, acme: object
) -> None:
    acme.organization.settings = {"quotas.storage_bytes": len(CONTENT) + 10}
    acme.organization.save()
    upload = begin(alice)
    assert count_stored_bytes(alice.organization_id) == len(CONTENT)
    with pytest.raises(QuotaExceeded):
        begin(alice, expected_sha256="", size_bytes=11)
    cancel_artifact_upload(alice, upload.id)
    assert count_stored_bytes(alice.organization_id) == 0
    again = begin(alice)
    append(alice, again, 0, CONTENT)
    complete_artifact_upload(alice, again.id)
    assert count_stored_bytes(alice.organization_id) == len(CONTENT)


def test_only_so_many_uploads_are_open(
    alice: Actor, in_acme: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MAX_OPEN", 1)
    begin(alice)
    with pytest.raises(UploadsTooMany):
        begin(alice)


@pytest.mark.django_db(transaction=True)
def test_an_upload_that_nobody_continues_is_forgotten_with_its_bytes(
    alice: Actor, in_acme: None, storage: Path
) -> None:
    kept, left = begin(alice), begin(alice)
    for upload in (kept, left):
        append(alice, upload, 0, CONTENT[:10])
    rows = ArtifactUpload.objects.for_org(alice.organization_id)
    rows.filter(id=left.id).update(expires_at=clock.now() - timedelta(seconds=1))
    with pytest.raises(NotFound):
        append(alice, left, 10, CONTENT[10:])
    assert remove_expired_uploads(alice) == 1
    assert list(rows.values_list("id", flat=True)) == [kept.id]
    remove_abandoned_uploads(alice)
    assert kept.id.hex in " ".join(map(str, files_in(storage)))


def test_uploads_of_others_and_missing_ones_are_not_found(
    alice: Actor, charlie: Actor, bob: Actor, in_acme: None
) -> None:
    upload = begin(alice)
    for actor, wanted in ((alice, uuid4()), (charlie, upload.id)):
        with pytest.raises(NotFound):
            complete_artifact_upload(actor, wanted)
        with pytest.raises(NotFound):
            append_to_artifact_upload(actor, wanted, offset=0, part=io.BytesIO(b"x"))
    with pytest.raises(PermissionDenied):
        complete_artifact_upload(bob, upload.id)


def test_beginning_and_end_are_recorded(alice: Actor, in_acme: None) -> None:
    upload = begin(alice)
    append(alice, upload, 0, CONTENT)
    complete_artifact_upload(alice, upload.id)
    rows = AuditEntry.objects.for_org(alice.organization_id)
    assert rows.filter(action="updates.store_artifact").count() == 2
