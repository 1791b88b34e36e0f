"""Bills of materials: which releases and which devices carry a package."""

import io
import json
from uuid import uuid4

import pytest

from apps.audit.models import AuditEntry
from apps.core.actors import Actor, system_actor
from apps.core.errors import InvalidRequest, NotFound, PermissionDenied
from apps.core.pagination import PageRequest
from apps.devices.services.installed import record_installed
from apps.updates.errors import ArtifactInUse
from apps.updates.models import Artifact, Release, ReleasePackage
from apps.updates.selectors.packages import list_package_devices, list_release_packages
from apps.updates.selectors.releases import list_releases
from apps.updates.services.artifacts import delete_artifact, store_artifact
from apps.updates.services.packages import attach_release_sbom
from tests.factories import Cast
from tests.updates.conftest import make_release

PAGE = PageRequest(size=50)


def document(actor: Actor, *names: str) -> Artifact:
    """A stored bill of materials."""
    parts = [{"name": name, "version": "1.0"} for name in names]
    content = json.dumps({"bomFormat": "CycloneDX", "components": parts}).encode()
    return store_artifact(actor, name="bom.json", file=io.BytesIO(content))


def packages_of(actor: Actor, release: Release) -> list[str]:
    """What the release carries."""
    page = list_release_packages(actor, release.id, PAGE)
    return [package.name for package in page.items]


def test_releases_are_found_by_what_they_carry(alice: Actor, release: Release) -> None:
    other = make_release(alice, "2.0.0", b"other\n")
    attach_release_sbom(alice, release.id, artifact_id=document(alice, "openssl", "zlib").id)
    assert packages_of(alice, release) == ["openssl", "zlib"]
    assert [r.id for r in list_releases(alice, PAGE, package="openssl").items] == [release.id]
    assert list_releases(alice, PAGE, package="open").items == []
    attach_release_sbom(alice, other.id, artifact_id=document(alice, "zlib").id)
    assert len(list_releases(alice, PAGE, package="zlib").items) == 2


def test_devices_are_found_by_what_their_releases_carry(
    alice: Actor, acme: Cast, release: Release
) -> None:
    attach_release_sbom(alice, release.id, artifact_id=document(alice, "openssl").id)
    first, second = acme.devices
    installed = {first.id: {"hello": "1.0.0"}, second.id: {"hello": "0.9.0"}}
    record_installed(system_actor(acme.id), installed)
    found = list_package_devices(alice, PAGE, package="openssl").items
    assert [(each.device.id, each.releases) for each in found] == [(first.id, ("hello 1.0.0",))]
    assert list_package_devices(alice, PAGE, package="zlib").items == []


def test_another_document_takes_the_place_of_the_first(alice: Actor, release: Release) -> None:
    first, second = document(alice, "openssl"), document(alice, "zlib")
    for artifact in (first, first, second):
        attach_release_sbom(alice, release.id, artifact_id=artifact.id)
    assert packages_of(alice, release) == ["zlib"]
    rows = AuditEntry.objects.for_org(alice.organization_id)
    assert rows.filter(action="updates.attach_release_sbom").count() == 2
    with pytest.raises(ArtifactInUse):
        delete_artifact(alice, second.id)


@pytest.mark.parametrize(
    "content",
    [b"not json", b"[" * 100_000, b'{"bomFormat": "CycloneDX"}', b"\xff\xfe", b'{"a": 1e999999}'],
)
def test_what_is_no_document_is_refused_and_changes_nothing(
    alice: Actor, release: Release, content: bytes
) -> None:
    bad = store_artifact(alice, name="bad.json", file=io.BytesIO(content))
    with pytest.raises(InvalidRequest) as refused:
        attach_release_sbom(alice, release.id, artifact_id=bad.id)
    assert refused.value.fields[0].code == "invalid_sbom"
    assert not ReleasePackage.objects.for_org(alice.organization_id).exists()


def test_rights_and_organizations_are_kept(
    alice: Actor, bob: Actor, charlie: Actor, release: Release, globex: Cast
) -> None:
    artifact = document(alice, "openssl")
    with pytest.raises(PermissionDenied):
        attach_release_sbom(bob, release.id, artifact_id=artifact.id)
    for actor, wanted in ((alice, uuid4()), (charlie, release.id)):
        with pytest.raises(NotFound):
            attach_release_sbom(actor, wanted, artifact_id=artifact.id)
        with pytest.raises(NotFound):
            list_release_packages(actor, wanted, PAGE)
    with pytest.raises(InvalidRequest):
        attach_release_sbom(alice, release.id, artifact_id=uuid4())
