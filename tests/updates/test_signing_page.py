"""Settings, Signing: what is published, what is not signed, and the trial mode in plain sight."""

import pytest
from django.test import Client

from apps.core.actors import Actor
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from tests.accounts.people import sign_in
from tests.bars.audited import browser
from tests.factories import Cast
from tests.signing import KeyHolder
from tests.updates.conftest import make_release

PAGE = "/settings/signing"


@pytest.fixture
def page(alice_member: Membership) -> Client:
    """The owner's browser."""
    return browser(alice_member)


def test_it_says_how_to_begin_and_that_the_organization_is_on_trial(page: Client) -> None:
    text = page.get(PAGE).content.decode()
    assert "fleetctl sign init" in text
    assert "This organization is on trial" in text
    assert "Insecure trial mode" in page.get("/rollouts").content.decode()


def test_it_shows_roles_and_what_nobody_signed(acme: Cast, alice: Actor, page: Client) -> None:
    with tenant(acme.id):
        holder = KeyHolder(alice).begin()
        release = make_release(alice)
    text = page.get(PAGE).content.decode()
    assert holder.roots[0].signed.roles["root"].keyids[0][:12] in text
    assert f"/releases/{release.id}" in text
    with tenant(acme.id):
        holder.sign_release(release)
    assert "Every release is signed." in page.get(PAGE).content.decode()


def test_owners_end_the_trial_and_others_only_look(
    acme: Cast, alice_member: Membership, bob_member: Membership
) -> None:
    page, _ = sign_in(alice_member.user.email)
    viewer = browser(bob_member)
    assert b"Owners of the organization can change this." in viewer.get(PAGE).content
    assert viewer.post(PAGE, {"allow_unsigned": "no"}).status_code == 403
    page.post(PAGE, {"allow_unsigned": "no"})
    acme.organization.refresh_from_db()
    assert acme.organization.settings["updates.allow_unsigned"] is False
    assert "Insecure trial mode" not in page.get("/rollouts").content.decode()
