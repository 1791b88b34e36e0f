"""Artifacts over HTTP: up with a digest, down whole or in ranges."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from apps.organizations.models import Membership
from tests.factories import Cast
from tests.rest.conftest import Api
from tests.streams import body_of

pytestmark = pytest.mark.django_db

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def storage(settings: Any, tmp_path: Path) -> Path:
    """Artifacts lie in a folder of the test's own."""
    settings.STORAGE_URL = f"file://{tmp_path}"
    return tmp_path


def upload(api: Api, query: str = "name=a.bin", content: bytes = CONTENT, **headers: str) -> Any:
    """Sends a file as the body."""
    return api.client.post(
        f"/api/v1/artifacts?{query}",
        content,
        "application/octet-stream",
        headers={**api.headers, **headers},
    )


def download(api: Api, artifact_id: str, **headers: str) -> tuple[Any, bytes]:
    """Fetches the bytes."""
    response = api.client.get(
        f"/api/v1/artifacts/{artifact_id}/content", headers={**api.headers, **headers}
    )
    return response, body_of(response)


def test_a_body_becomes_an_artifact_and_comes_back_the_same(api: Api) -> None:
    made = upload(api, f"name=a.bin&sha256={SHA256}")
    assert made.status_code == 201
    artifact = made.json()
    assert (artifact["name"], artifact["sha256"], artifact["size_bytes"]) == (
        "a.bin",
        SHA256,
        10240,
    )
    assert made["Location"].endswith(f"/artifacts/{artifact['id']}")
    assert api.get(f"artifacts/{artifact['id']}").json() == artifact
    response, content = download(api, artifact["id"])
    assert content == CONTENT
    assert response["ETag"] == f'"{SHA256}"'
    assert response["X-Content-Type-Options"] == "nosniff"


def test_a_form_does_the_same(api: Api) -> None:
    file = SimpleUploadedFile("b.bin", CONTENT, "application/gzip")
    response = api.client.post(
        "/api/v1/artifacts", {"file": file, "sha256": SHA256}, headers=api.headers
    )
    assert response.status_code == 201
    assert response.json()["name"] == "b.bin"
    assert response.json()["content_type"] == "application/gzip"


def test_a_field_of_a_form_that_nobody_reads_is_named(api: Api) -> None:
    file = SimpleUploadedFile("b.bin", CONTENT)
    form = {"file": file, "sha-256": SHA256}  # whoever writes so believes that it is checked
    response = api.client.post("/api/v1/artifacts", form, headers=api.headers)
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (400, "/sha-256")


def test_the_same_bytes_again_are_the_same_artifact(api: Api) -> None:
    assert upload(api).json()["id"] == upload(api, "name=other.bin").json()["id"]


@pytest.mark.parametrize("header", ["Digest: sha-256={}", "Content-Digest: sha-256=:{}:"])
def test_a_digest_in_a_header_is_checked(api: Api, header: str) -> None:
    name, _, form = header.partition(": ")
    right = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
    wrong = base64.b64encode(bytes(32)).decode()
    assert upload(api, **{name: form.format(right)}).status_code == 201
    refused = upload(api, "name=c.bin", CONTENT + b"!", **{name: form.format(wrong)})
    assert (refused.status_code, refused.json()["code"]) == (400, "artifact_digest_mismatch")


@pytest.mark.parametrize(
    ("query", "content"),
    [
        ("name=a.bin&sha256=" + "0" * 64, CONTENT),
        ("name=a.bin&sha256=xyz", CONTENT),
        ("name=../../etc/passwd", CONTENT),
        ("name=a%00b", CONTENT),
        ("", CONTENT),
        ("name=a.bin", b""),
    ],
)
def test_a_bad_upload_is_400_and_leaves_nothing(
    api: Api, storage: Path, query: str, content: bytes
) -> None:
    response = upload(api, query, content)
    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"
    assert api.get("artifacts").json()["items"] == []
    assert [path for path in storage.rglob("*") if path.is_file()] == []


def test_ranges_of_a_file(api: Api) -> None:
    artifact_id = upload(api).json()["id"]
    for header, part, shown in (
        ("bytes=0-9", CONTENT[:10], "bytes 0-9/10240"),
        ("bytes=10200-", CONTENT[10200:], "bytes 10200-10239/10240"),
        ("bytes=-5", CONTENT[-5:], "bytes 10235-10239/10240"),
    ):
        response, content = download(api, artifact_id, Range=header)
        assert (response.status_code, content) == (206, part)
        assert response["Content-Range"] == shown
        assert response["Content-Length"] == str(len(part))
    response, content = download(api, artifact_id, Range="bytes=0-9", **{"If-Range": '"old"'})
    assert (response.status_code, content) == (200, CONTENT)
    response, _ = download(api, artifact_id, Range="bytes=99999-")
    assert (response.status_code, response.json()["code"]) == (416, "range_not_satisfiable")
    assert response["Content-Range"] == "bytes */10240"
    response, content = download(api, artifact_id, **{"If-None-Match": f'"{SHA256}"'})
    assert (response.status_code, content) == (304, b"")


def test_a_viewer_may_not_upload(bob_member: Membership, api_of: Any) -> None:
    assert upload(api_of(bob_member)).json()["code"] == "permission_denied"


def test_a_file_of_another_organization_is_not_there(
    api: Api, charlie_member: Membership, api_of: Any, globex: Cast
) -> None:
    artifact_id = upload(api_of(charlie_member)).json()["id"]
    response, _ = download(api, artifact_id)
    assert (response.status_code, response.json()["code"]) == (404, "not_found")
