"""What a release says never changes: no door has a way, for anybody."""

import pytest
from django.forms.models import model_to_dict
from django.test import Client

from apps.core.actors import Actor
from apps.organizations.models import Membership
from apps.updates.models import Component, Release
from apps.updates.services.rollouts import start_rollout
from fleetd.pb.public.v1 import fleet_pb2
from tests import factories
from tests.bars.audited import browser
from tests.updates.conftest import Fleet, make_release, make_rollout

pytestmark = pytest.mark.usefixtures("in_acme")

OTHER = {"name": "other", "version": "9.9.9", "notes": "other", "compatible": 'model = "x"'}
# What may become of a release, none of which changes what it installs.
RPC_WRITES = {
    "CreateRelease", "RecallRelease", "DeprecateRelease", "AttachReleaseSbom", "ReleaseDevice",
    "DeleteRelease",
}  # fmt: skip


def content(release: Release) -> list[object]:
    release.refresh_from_db()
    parts = Component.objects.for_org(release.organization_id).filter(release=release)
    return [model_to_dict(release), [model_to_dict(part) for part in parts.order_by("position")]]


@pytest.fixture
def release(fleet: Fleet, alice: Actor) -> Release:
    """One that a rollout has locked."""
    made = make_release(alice)
    start_rollout(alice, make_rollout(alice, made).id)
    return made


def test_rest_has_no_way(release: Release, alice_member: Membership) -> None:
    before, key = content(release), factories.api_key(alice_member)
    address, headers = f"/api/v1/releases/{release.id}", {"HTTP_X_API_KEY": key}
    for method in ("put", "patch", "post"):
        answer = getattr(Client(), method)(address, OTHER, "application/json", **headers)
        assert answer.status_code == 405
    assert Client().delete(address, **headers).json()["code"] == "release_in_use"
    assert content(release) == before


def test_the_admin_has_no_way(release: Release, alice_member: Membership) -> None:
    before, page = content(release), browser(alice_member)
    part = Component.objects.for_org(release.organization_id).get(release=release)
    for model, key in (("release", release.id), ("component", part.id)):
        for verb in ("change", "delete"):
            address = f"/admin/updates/{model}/{key}/{verb}/"
            answer = page.post(address, {**OTHER, "post": "yes"}, follow=True)
            assert answer.status_code in (403, 404) or b"is in use" in answer.content
    assert content(release) == before


def test_rpc_has_no_way() -> None:
    service = fleet_pb2.DESCRIPTOR.services_by_name["FleetService"]
    verbs = ("Create", "Update", "Delete", "Set", "Add", "Remove", "Recall", "Deprecate", "Attach")
    found = {m.name for m in service.methods if "Release" in m.name and m.name.startswith(verbs)}
    assert found <= RPC_WRITES


def test_the_page_has_no_way(release: Release, alice_member: Membership) -> None:
    before, page = content(release), browser(alice_member)
    assert page.post(f"/releases/{release.id}", OTHER).status_code == 405
    for verb in ("edit", "update"):
        assert page.post(f"/releases/{release.id}/{verb}", OTHER).status_code == 404
    answer = page.post(f"/releases/{release.id}/delete", OTHER, follow=True)
    assert "is in use" in answer.content.decode()
    assert content(release) == before
