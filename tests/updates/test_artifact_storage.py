"""What artifacts need of their storage, tried with files and with a bucket of an S3 server."""

import errno
import hashlib
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from django.test import Client
from moto.server import ThreadedMotoServer

from apps.core.actors import Actor
from apps.core.errors import Unavailable
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from apps.organizations.storage import (
    artifact_storage,
    remove_organization_files,
    storage_root,
)
from apps.updates.models import Artifact
from apps.updates.selectors.artifacts import is_stored, open_stored, storage_name
from apps.updates.services.artifacts import delete_artifact, store_artifact
from tests import factories
from tests.factories import Cast
from tests.streams import body_of

CONTENT = bytes(range(256)) * 5000  # more than one chunk
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    """A real HTTP server that speaks S3."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["files", "bucket"])
def stored(request: Any, settings: Any, tmp_path: Path) -> str:
    """Artifacts lie in files, then in a bucket."""
    if request.param == "files":
        settings.STORAGE_URL = f"file://{tmp_path}/artifacts"
        return "files"
    endpoint = request.getfixturevalue("s3_server")
    settings.S3_ACCESS_KEY, settings.S3_SECRET_KEY = "testing-key", "testing-secret"
    settings.STORAGE_FOLDER = tmp_path / "local"
    name = f"fleet-{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:20]}"
    settings.STORAGE_URL = f"s3://{name}/some/folder?endpoint={endpoint}&region=us-east-1"
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="testing-key",
        aws_secret_access_key="testing-secret",
    )
    client.create_bucket(Bucket=name)
    return "bucket"


def store(actor: Actor, content: bytes = CONTENT) -> Artifact:
    """An artifact with this content."""
    return store_artifact(actor, name="a.bin", file=io.BytesIO(content))


def local_files() -> list[Path]:
    """What lies in files of this machine."""
    return [path for path in storage_root().rglob("*") if path.is_file()]


def test_what_is_stored_comes_back_whole_and_in_ranges(
    alice: Actor, in_acme: None, stored: str
) -> None:
    artifact = store(alice)
    assert is_stored(artifact)
    for first, length in ((0, len(CONTENT)), (0, 1), (1000, 500), (len(CONTENT) - 1, 1)):
        file = open_stored(artifact, first, length)
        found = b""
        while len(found) < length and (chunk := file.read(length - len(found))):
            found += chunk
        file.close()
        assert found == CONTENT[first : first + length]
    assert len(local_files()) == (1 if stored == "files" else 0)


def test_content_that_is_stored_twice_lies_there_once(
    alice: Actor, in_acme: None, stored: str
) -> None:
    assert store(alice).id == store(alice).id
    assert Artifact.objects.for_org(alice.organization_id).count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_deleted_artifact_leaves_nothing(alice: Actor, acme: Cast, stored: str) -> None:
    with tenant(acme.id):
        artifact = store(alice)
    with tenant(acme.id):
        delete_artifact(alice, artifact.id)
    assert not is_stored(artifact)
    with pytest.raises(FileNotFoundError):
        open_stored(artifact, 0, 1)


def test_a_storage_that_fails_makes_no_artifact(
    alice: Actor, in_acme: None, stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(source: Path, name: str) -> None:
        raise OSError(errno.EIO, "away")

    monkeypatch.setattr(artifact_storage(), "put", fail)
    with pytest.raises(Unavailable):
        store(alice)
    assert not Artifact.objects.for_org(alice.organization_id).exists()
    assert local_files() == []


def test_a_deleted_organization_leaves_nothing_and_others_stay(
    alice: Actor, charlie: Actor, acme: Cast, globex: Cast, stored: str
) -> None:
    with tenant(acme.id):
        mine = store(alice)
    with tenant(globex.id):
        theirs = store(charlie)
    remove_organization_files(acme.id)
    assert (is_stored(mine), is_stored(theirs)) == (False, True)


@pytest.mark.django_db
def test_downloads_know_ranges(alice_member: Membership, alice: Actor, stored: str) -> None:
    with tenant(alice.organization_id):
        artifact = store(alice)
    headers = {"Authorization": f"Bearer {factories.api_key(alice_member)}"}
    address = f"/api/v1/artifacts/{artifact.id}/content"
    for asked, expected in (
        ({}, CONTENT),
        ({"Range": "bytes=100-199"}, CONTENT[100:200]),
        ({"Range": "bytes=-10"}, CONTENT[-10:]),
    ):
        answer = Client().get(address, headers={**headers, **asked})
        assert body_of(answer) == expected
        assert answer["ETag"] == f'"{SHA256}"'
    assert Client().get(address, headers={**headers, "Range": "bytes=100-10"}).status_code == 416


@pytest.mark.parametrize("url", ["ftp://x", "s3://", "s3://bucket?secret=1", "file://", "bucket"])
def test_a_setting_that_names_no_storage_is_said(settings: Any, url: str) -> None:
    settings.STORAGE_URL = url
    with pytest.raises(Unavailable):
        artifact_storage()


def test_each_organization_lists_its_own_files_with_their_sizes(
    alice: Actor, charlie: Actor, acme: Cast, globex: Cast, stored: str
) -> None:
    before = time.time() - 5
    for actor, content in ((alice, CONTENT), (charlie, b"theirs")):
        with tenant(actor.organization_id):
            artifact = store(actor, content)
        (file,) = artifact_storage().list_files(actor.organization_id.hex)
        assert file.name == storage_name(actor.organization_id, artifact.sha256)
        assert file.size_bytes == len(content)
        assert before < file.modified_at < time.time() + 5
    assert list(artifact_storage().list_files(uuid4().hex)) == []
