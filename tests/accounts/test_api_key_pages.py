"""The page of one's own API keys."""

import re

import pytest
from django.test import Client

from apps.accounts.models import ApiKey
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from tests import factories
from tests.factories import Cast


@pytest.fixture
def browser(alice_member: Membership) -> Client:
    """Alice's browser."""
    signed_in = Client()
    signed_in.force_login(alice_member.user)
    return signed_in


def make(browser: Client, **fields: str) -> str:
    answer = browser.post("/api-keys", {"name": "Nightly", "days": "30", **fields})
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_key_is_shown_once_and_works(browser: Client) -> None:
    secret = re.search(r"fld_pat_\w+", make(browser))
    assert secret
    assert secret[0] not in browser.get("/api-keys").content.decode()
    bearer = {"Authorization": f"Bearer {secret[0]}"}
    assert Client().get("/api/v1/devices", headers=bearer).status_code == 200


def test_a_revoked_key_is_refused(browser: Client) -> None:
    page = make(browser)
    secret = re.search(r"fld_pat_\w+", page)
    address = re.search(r"/api-keys/[0-9a-f-]+/revoke", page)
    assert secret
    assert address
    assert browser.post(address[0]).status_code == 302
    bearer = {"Authorization": f"Bearer {secret[0]}"}
    assert Client().get("/api/v1/devices", headers=bearer).status_code == 401


def test_the_page_that_shows_a_secret_is_not_kept(browser: Client) -> None:
    answer = browser.post("/api-keys", {"name": "Nightly", "days": "30"})
    assert "no-store" in answer["Cache-Control"]


def test_a_key_needs_a_name_and_a_lifetime_from_the_list(browser: Client) -> None:
    assert "fld_pat_" not in make(browser, name=" ").split("<main")[1]
    assert "fld_pat_" not in make(browser, days="100000")
    assert "fld_pat_" not in make(browser, days="x\x00")


def test_keys_of_others_are_neither_shown_nor_revoked(
    acme: Cast, alice_member: Membership, bob_member: Membership
) -> None:
    secret = factories.api_key(alice_member)
    with tenant(acme.id):
        foreign = ApiKey.objects.for_org(acme.id).get(user=alice_member.user)
    bob = Client()
    bob.force_login(bob_member.user)
    assert foreign.prefix not in bob.get("/api-keys").content.decode()
    assert bob.post(f"/api-keys/{foreign.id}/revoke").status_code == 404
    bearer = {"Authorization": f"Bearer {secret}"}
    assert Client().get("/api/v1/devices", headers=bearer).status_code == 200
