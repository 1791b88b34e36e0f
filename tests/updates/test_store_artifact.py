"""Storing artifacts: whole and durable, or nothing at all."""

import errno
import hashlib
import io
import os
from pathlib import Path

import pytest

from apps.audit.models import AuditEntry
from apps.core.actors import Actor
from apps.core.errors import InvalidRequest, NotFound, PermissionDenied
from apps.core.tenancy import tenant
from apps.events.models import OutboxEvent
from apps.updates.errors import (
    ArtifactDigestMismatch,
    ArtifactEmpty,
    ArtifactInUse,
    ArtifactTooLarge,
    StorageFull,
)
from apps.updates.models import Artifact, Release
from apps.updates.selectors.artifacts import get_artifact
from apps.updates.services.artifacts import (
    delete_artifact,
    remove_abandoned_uploads,
    store_artifact,
)
from tests.factories import Cast
from tests.updates.conftest import file_path

CONTENT = b"#!/bin/sh\necho hello\n" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def files_in(root: Path) -> list[str]:
    """Every file below the storage's root, by its path from there."""
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


class FullDisk(io.RawIOBase):
    """Content whose copying fails as it does on a full disk."""

    def __init__(self) -> None:
        self.is_started = False

    def read(self, size: int = -1) -> bytes:
        if self.is_started:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.is_started = True
        return b"x" * 1000


def test_a_file_lies_under_its_digest_in_its_organization(
    alice: Actor, in_acme: None, storage: Path
) -> None:
    artifact = store_artifact(
        alice, name="hello.sh", file=io.BytesIO(CONTENT), content_type="text/x-shellscript"
    )
    assert (artifact.sha256, artifact.size_bytes) == (DIGEST, len(CONTENT))
    assert file_path(artifact).read_bytes() == CONTENT
    place = f"{alice.organization_id.hex}/{DIGEST[:2]}/{DIGEST[2:4]}/{DIGEST}"
    assert files_in(storage) == [place]
    entry = AuditEntry.objects.for_org(alice.organization_id).latest("sequence")
    assert (entry.action, entry.changes["sha256"]) == ("updates.store_artifact", DIGEST)
    assert OutboxEvent.objects.for_org(alice.organization_id).filter(
        type="updates.artifact.stored.v1"
    )


def test_the_same_content_again_is_the_artifact_that_exists(
    alice: Actor, in_acme: None, storage: Path
) -> None:
    first = store_artifact(alice, name="one", file=io.BytesIO(CONTENT))
    entries = AuditEntry.objects.for_org(alice.organization_id).count()
    second = store_artifact(alice, name="two", file=io.BytesIO(CONTENT))
    assert (second.id, second.name) == (first.id, "one")
    assert len(files_in(storage)) == 1
    assert AuditEntry.objects.for_org(alice.organization_id).count() == entries


def test_a_lost_file_is_replaced_by_storing_the_same_content(alice: Actor, in_acme: None) -> None:
    first = store_artifact(alice, name="one", file=io.BytesIO(CONTENT))
    file_path(first).unlink()
    second = store_artifact(alice, name="one", file=io.BytesIO(CONTENT))
    assert second.id == first.id
    assert file_path(first).read_bytes() == CONTENT


def test_organizations_never_share_a_file(
    alice: Actor, charlie: Actor, acme: Cast, globex: Cast
) -> None:
    made = []
    for actor in (alice, charlie):
        with tenant(actor.organization_id):
            made.append(store_artifact(actor, name="same", file=io.BytesIO(CONTENT)))
    assert made[0].id != made[1].id
    assert file_path(made[0]) != file_path(made[1])


def test_a_wrong_digest_is_refused_and_nothing_stays(
    alice: Actor, in_acme: None, storage: Path
) -> None:
    with pytest.raises(ArtifactDigestMismatch) as refused:
        store_artifact(alice, name="x", file=io.BytesIO(CONTENT), expected_sha256="0" * 64)
    assert refused.value.code == "artifact_digest_mismatch"
    assert files_in(storage) == []
    assert not Artifact.objects.for_org(alice.organization_id).exists()


def test_the_announced_digest_may_have_capital_letters(alice: Actor, in_acme: None) -> None:
    artifact = store_artifact(
        alice, name="x", file=io.BytesIO(CONTENT), expected_sha256=DIGEST.upper()
    )
    assert artifact.sha256 == DIGEST


@pytest.mark.parametrize(
    "name",
    ["", "../../x", "/etc/passwd", "a\\b", "a\0b", "a\nb", "x" * 201, ".", "..", " x", "\u202ecod"],
)
def test_names_that_hide_something_are_refused(
    alice: Actor, in_acme: None, storage: Path, name: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        store_artifact(alice, name=name, file=io.BytesIO(CONTENT))
    assert refused.value.fields[0].code == "invalid_name"
    assert files_in(storage) == []


@pytest.mark.parametrize("name", ["{{7*7}}.sh", "${jndi}", "blå bær.bin", "'; DROP TABLE x"])
def test_odd_but_honest_names_are_kept_literally(alice: Actor, in_acme: None, name: str) -> None:
    artifact = store_artifact(alice, name=name, file=io.BytesIO(CONTENT))
    assert get_artifact(alice, artifact.id).name == name


@pytest.mark.parametrize("digest", ["xyz", "0" * 63, "../" + "0" * 61])
def test_a_malformed_digest_is_refused(alice: Actor, in_acme: None, digest: str) -> None:
    with pytest.raises(InvalidRequest):
        store_artifact(alice, name="x", file=io.BytesIO(CONTENT), expected_sha256=digest)


def test_an_empty_file_is_refused(alice: Actor, in_acme: None, storage: Path) -> None:
    with pytest.raises(ArtifactEmpty):
        store_artifact(alice, name="x", file=io.BytesIO(b""))
    assert files_in(storage) == []


def test_a_file_over_the_limit_is_refused_and_nothing_stays(
    alice: Actor, in_acme: None, storage: Path, settings: object
) -> None:
    settings.ARTIFACT_MAX_BYTES = len(CONTENT) - 1
    with pytest.raises(ArtifactTooLarge):
        store_artifact(alice, name="x", file=io.BytesIO(CONTENT))
    assert files_in(storage) == []


def test_a_full_disk_says_so_and_nothing_stays(alice: Actor, in_acme: None, storage: Path) -> None:
    with pytest.raises(StorageFull) as refused:
        store_artifact(alice, name="x", file=FullDisk())
    assert refused.value.code == "storage_full"
    assert files_in(storage) == []
    assert not Artifact.objects.for_org(alice.organization_id).exists()


def test_a_viewer_cannot_store(bob: Actor, in_acme: None) -> None:
    with pytest.raises(PermissionDenied):
        store_artifact(bob, name="x", file=io.BytesIO(CONTENT))


def test_another_organization_does_not_see_it(
    alice: Actor, charlie: Actor, acme: Cast, globex: Cast
) -> None:
    with tenant(acme.id):
        artifact = store_artifact(alice, name="x", file=io.BytesIO(CONTENT))
    with tenant(globex.id), pytest.raises(NotFound):
        get_artifact(charlie, artifact.id)


@pytest.mark.django_db(transaction=True)
def test_deleting_removes_row_and_file(alice: Actor, acme: Cast, storage: Path) -> None:
    with tenant(acme.id):
        artifact = store_artifact(alice, name="x", file=io.BytesIO(CONTENT))
    with tenant(acme.id):
        delete_artifact(alice, artifact.id)
    assert files_in(storage) == []
    with tenant(acme.id), pytest.raises(NotFound):
        delete_artifact(alice, artifact.id)


def test_an_artifact_of_a_release_cannot_be_deleted(alice: Actor, release: Release) -> None:
    with pytest.raises(ArtifactInUse):
        delete_artifact(alice, release.components.all()[0].artifact_id)


def test_uploads_whose_process_died_are_removed_after_a_day(
    alice: Actor, in_acme: None, storage: Path
) -> None:
    incoming = storage / alice.organization_id.hex / "incoming"
    incoming.mkdir(parents=True)
    old, new = incoming / "old", incoming / "new"
    for path in (old, new):
        path.write_bytes(b"partial")
    os.utime(old, (0, 0))
    assert remove_abandoned_uploads(alice) == 1
    assert files_in(storage) == [str(new.relative_to(storage))]
