"""Uploads in parts over HTTP."""

import hashlib
import threading
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction

from apps.core.tenancy import tenant
from apps.updates.models import ArtifactUpload
from tests.factories import Cast
from tests.rest.conftest import Api

pytestmark = pytest.mark.django_db

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def storage(settings: Any, tmp_path: Path) -> Path:
    """Artifacts lie in a folder of the test's own."""
    settings.STORAGE_URL = f"file://{tmp_path}"
    return tmp_path


def begin(api: Api, **values: Any) -> str:
    """The address of a new upload."""
    body = {"name": "a.bin", "size_bytes": len(CONTENT), "sha256": SHA256, **values}
    made = api.send("POST", "artifact-uploads", body)
    assert made.status_code == 201, made.content
    return f"artifact-uploads/{made.json()['id']}"


def send_part(api: Api, address: str, content: bytes, **headers: str) -> Any:
    """Sends a part."""
    return api.client.patch(
        f"/api/v1/{address}",
        content,
        "application/offset+octet-stream",
        headers={**api.headers, **headers},
    )


def test_a_cut_upload_goes_on_where_it_stopped(api: Api) -> None:
    address = begin(api)
    answer = send_part(api, address, CONTENT[:4000], **{"Upload-Offset": "0"})
    assert (answer.status_code, answer["Upload-Offset"]) == (204, "4000")
    asked = api.client.head(f"/api/v1/{address}", headers=api.headers)
    assert (asked["Upload-Offset"], asked["Upload-Length"]) == ("4000", "10240")
    assert api.get(address).json()["received_bytes"] == 4000
    refused = send_part(api, address, CONTENT, **{"Upload-Offset": "0"})
    assert (refused.status_code, refused.json()["code"]) == (409, "upload_offset_wrong")
    send_part(api, address, CONTENT[4000:], **{"Upload-Offset": "4000"})
    artifact = api.send("POST", f"{address}:complete", {})
    assert (artifact.status_code, artifact.json()["sha256"]) == (200, SHA256)


@pytest.mark.parametrize("offset", ["", "-1", "1e3", "٣", "9" * 30, "0x0"])
def test_an_offset_is_a_number(api: Api, offset: str) -> None:
    refused = send_part(api, begin(api), b"x", **{"Upload-Offset": offset})
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, "invalid_offset")


def test_a_part_of_another_type_is_refused(api: Api) -> None:
    refused = api.client.patch(
        f"/api/v1/{begin(api)}",
        b"{}",
        "application/json",
        headers={**api.headers, "Upload-Offset": "0"},
    )
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_media_type")


def test_a_cancelled_upload_is_gone(api: Api) -> None:
    address = begin(api)
    assert api.delete(address).status_code == 204
    assert api.get(address).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_two_parts_at_once_do_not_mix(api: Api, acme: Cast) -> None:
    address = begin(api)
    upload_id = UUID(address.rpartition("/")[2])
    is_held, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        with tenant(acme.id), transaction.atomic():
            rows = ArtifactUpload.objects.for_org(acme.id).select_for_update()
            rows.get(id=upload_id)
            is_held.set()
            may_end.wait(20)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert is_held.wait(20)
    refused = send_part(api, address, CONTENT, **{"Upload-Offset": "0"})
    may_end.set()
    thread.join()
    assert (refused.status_code, refused.json()["code"]) == (409, "upload_busy")
    assert send_part(api, address, CONTENT, **{"Upload-Offset": "0"}).status_code == 204
