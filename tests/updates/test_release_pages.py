"""The pages of releases: channels, and what is in use where."""

from typing import Any

import pytest
from django.test import Client

from apps.core.actors import Actor
from apps.core.pagination import PageRequest
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from apps.updates.models import Release
from apps.updates.selectors.channels import list_release_channels
from tests.bars.audited import browser
from tests.factories import Cast
from tests.updates.conftest import make_release


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
