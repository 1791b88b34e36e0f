"""The pages of releases: channels, and what is in use where."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.core import clock
from apps.core.actors import Actor
from apps.core.pagination import PageRequest
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from apps.updates.models import Artifact, ArtifactUpload, Release
from apps.updates.selectors.channels import list_release_channels
from apps.updates.services.rollouts import cancel_rollout
from apps.updates.services.uploads import create_artifact_upload
from tests.bars.audited import browser
from tests.factories import Cast
from tests.updates.conftest import make_release, make_rollout


@pytest.fixture
def page(alice_member: Membership) -> Client:
    """The owner's browser."""
    return browser(alice_member)


@pytest.fixture
def hello(acme: Cast, alice: Actor) -> Release:
    """A release."""
    with tenant(acme.id):
        return make_release(alice)


def channels(actor: Actor) -> dict[str, str]:
    """What each channel points at."""
    with tenant(actor.organization_id):
        found = list_release_channels(actor, PageRequest()).items
        return {str(each): each.release.version for each in found}


def test_a_release_is_promoted_and_its_channel_closed_on_its_page(
    page: Client, alice: Actor, hello: Release
) -> None:
    address = f"/releases/{hello.id}"
    assert "No channel of hello yet" in page.get(address).content.decode()
    said = page.post(f"{address}/promote", {"channel": " stable ", "reason": "Good."}, follow=True)
    assert "stable points at it now." in said.content.decode()
    assert channels(alice) == {"hello@stable": "1.0.0"}
    assert "stable: point at it still" in said.content.decode()
    assert '<span class="tag">stable</span>' in page.get("/releases").content.decode()
    with tenant(alice.organization_id):
        promotion = list_release_channels(alice, PageRequest()).items[0]
    close = f"/releases/channels/{promotion.id}/close"
    page.post(close, {"reason": "Nobody follows it."})
    assert channels(alice) == {}
    assert "What they pointed at before" in page.get(address).content.decode()


def test_a_bad_channel_is_said_on_the_page(page: Client, alice: Actor, hello: Release) -> None:
    said = page.post(f"/releases/{hello.id}/promote", {"channel": "No Good"}, follow=True)
    assert "A channel has 1 to 32 of a-z" in said.content.decode()
    assert channels(alice) == {}


def test_viewers_see_channels_and_cannot_move_them(
    bob_member: Membership, page: Client, alice: Actor, hello: Release
) -> None:
    page.post(f"/releases/{hello.id}/promote", {"channel": "stable"})
    viewer: Any = browser(bob_member)
    text = viewer.get(f"/releases/{hello.id}").content.decode()
    assert '<span class="tag">stable</span>' in text
    assert "Promote" not in text
    assert viewer.post(f"/releases/{hello.id}/promote", {"channel": "beta"}).status_code == 403
    assert channels(alice) == {"hello@stable": "1.0.0"}


def test_the_list_says_what_a_release_is_and_where_it_is(
    page: Client, alice: Actor, hello: Release, acme: Cast
) -> None:
    with tenant(acme.id):
        make_rollout(alice, hello)
        digest = hello.components.get(organization_id=acme.id).artifact.sha256
    text = page.get("/releases").content.decode()
    for words in ("Script", f'title="{digest}"', alice.label, "1.0.0"):
        assert words in text
    assert '<td class="num" data-label="Rollouts">1</td>' in text
    assert "No release is like nothing" in page.get("/releases?search=nothing").content.decode()


def test_a_longer_list_asks_no_more(
    page: Client, alice: Actor, hello: Release, acme: Cast, django_assert_max_num_queries: Any
) -> None:
    page.get("/releases")
    with CaptureQueriesContext(connection) as few:
        page.get("/releases")
    with tenant(acme.id):
        for number in range(10):
            make_release(alice, f"2.{number}.0", f"echo {number}\n".encode())
    with django_assert_max_num_queries(len(few)):
        page.get("/releases")


def test_a_release_in_use_says_by_what_and_a_free_one_is_removed(
    page: Client, alice: Actor, hello: Release, acme: Cast
) -> None:
    address = f"/releases/{hello.id}"
    with tenant(acme.id):
        rollout = make_rollout(alice, hello, name="Draft")
    assert "rollout Draft is not over" in page.get(address).content.decode()
    said = page.post(f"{address}/delete", follow=True).content.decode()
    assert "The release is in use." in said
    with tenant(acme.id):
        cancel_rollout(alice, rollout.id)
    page.post(f"{address}/delete")
    said = page.get(address).content.decode()
    assert "Files removed" in said
    assert "Roll it out" not in said


def test_the_clean_up_page_shows_what_would_go_and_removes_it(
    page: Client, bob_member: Membership, alice: Actor, acme: Cast
) -> None:
    assert "Nothing to remove" in page.get("/releases/clean-up").content.decode()
    with tenant(acme.id):
        upload = create_artifact_upload(alice, name="big", size_bytes=100)
        rows = ArtifactUpload.objects.for_org(acme.id).filter(id=upload.id)
        rows.update(expires_at=clock.now() - timedelta(days=1))
    assert "Remove it now…" in page.get("/releases/clean-up").content.decode()
    page.post("/releases/clean-up")
    assert "Nothing to remove" in page.get("/releases/clean-up").content.decode()
    assert browser(bob_member).get("/releases/clean-up").status_code == 403


def test_artifacts_without_their_bytes_say_so_and_make_no_release(
    page: Client, hello: Release, acme: Cast
) -> None:
    with tenant(acme.id):
        Artifact.objects.for_org(acme.id).update(file_removed_at=clock.now())
    text = page.get("/artifacts").content.decode()
    assert "file removed: nothing needs it" in text
    assert "Make a release" not in text
    assert "hello.sh" not in page.get("/releases/new").content.decode()
