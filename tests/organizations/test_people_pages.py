"""The pages of members, invitations, usage and the organization itself, as a browser gets them."""

from typing import Any

import pytest
from django.test import Client

from apps.core.authz import Role
from apps.core.ids import uuid7
from apps.core.tenancy import tenant
from apps.organizations.models import Invitation, Membership, Organization
from apps.organizations.services.invitations import create_invitation
from tests import factories
from tests.factories import Cast
from tests.organizations.support import as_now, entries, roles, set_status

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
PASSWORD = "a fine long passphrase 7"


def browser(member: Membership) -> Client:
    """Somebody who is signed in."""
    client = Client()
    client.force_login(member.user, backend=BACKEND)
    return client


@pytest.fixture
def alice_browser(alice_member: Membership) -> Client:
    """Alice, owner of acme."""
    return browser(alice_member)


def link_of(member: Membership, **values: Any) -> str:
    """The path of a new invitation's link."""
    with tenant(member.organization_id):
        made = create_invitation(as_now(member), **{"role": "viewer", **values})
    return f"/invitations/{made.secret}"


@pytest.mark.parametrize(
    "address",
    ["/settings/organization", "/settings/members", "/settings/invitations", "/settings/usage"]
    + ["/settings/browser-access", "/settings/organization?fragment=exports"],
)
def test_owners_see_every_page_and_viewers_what_they_may(
    address: str, alice_browser: Client, bob_member: Membership
) -> None:
    assert alice_browser.get(address).status_code == 200
    open_to_bob = address.startswith(("/settings/organization", "/settings/members"))
    status = browser(bob_member).get(address).status_code
    assert status == (200 if open_to_bob else 403)


def test_the_list_offers_no_act_to_those_who_have_none(
    alice_browser: Client, bob_member: Membership
) -> None:
    assert b"data-bulk-bar" in alice_browser.get("/settings/members").content
    page = browser(bob_member).get("/settings/members").content
    assert b"data-bulk-bar" not in page
    assert b"alice@acme.test" in page


def test_search_finds_members(alice_browser: Client, bob_member: Membership) -> None:
    page = alice_browser.get("/settings/members?q=BOB").content
    assert b"bob@acme.test" in page
    assert b'href="/settings/members/' in page
    assert b"Nobody matches" in alice_browser.get("/settings/members?q=nobody").content


def test_several_are_changed_and_each_refusal_is_told(
    acme: Cast, alice_browser: Client, alice_member: Membership, bob_member: Membership
) -> None:
    chosen = {"member": [str(alice_member.id), str(bob_member.id)], "role": "operator"}
    response = alice_browser.post("/settings/members/role", chosen)
    assert b"keeps at least one owner" in response.content
    assert roles(acme) == {"alice@acme.test": "owner", "bob@acme.test": "operator"}
    alice_browser.post("/settings/members/remove", {"member": [str(bob_member.id)]})
    assert roles(acme) == {"alice@acme.test": "owner"}


def test_one_member_has_a_page(acme: Cast, alice_browser: Client, bob_member: Membership) -> None:
    address = f"/settings/members/{bob_member.id}"
    assert b"bob@acme.test" in alice_browser.get(address).content
    alice_browser.post(address, {"role": "auditor"})
    assert roles(acme)["bob@acme.test"] == "auditor"
    alice_browser.post(address, {"act": "remove"})
    assert alice_browser.get(address).status_code == 404


def test_the_link_is_on_one_page_only(alice_browser: Client) -> None:
    form = {"way": "link", "role": "viewer", "days": "7"}
    made = alice_browser.post("/settings/invitations", form)
    assert b"/invitations/fld_inv_" in made.content
    assert made["Cache-Control"] == "no-store"
    assert b"/invitations/fld_inv_" not in alice_browser.get("/settings/invitations").content


def test_a_new_person_makes_an_account_and_is_in(acme: Cast, alice_member: Membership) -> None:
    path, client = link_of(alice_member, role="operator"), Client()
    page = client.get(path)
    assert (page.status_code, page["Referrer-Policy"]) == (200, "same-origin")
    assert b"no-store" in page["Cache-Control"].encode()
    weak = client.post(path, {"email": "new@else.test", "password": "short"})
    assert weak.status_code == 400
    assert "new@else.test" not in roles(acme)
    joined = client.post(path, {"email": "new@else.test", "password": PASSWORD, "name": "Nora"})
    assert (joined.status_code, joined["Location"]) == (302, "/")
    assert client.get("/devices").status_code == 200
    assert roles(acme)["new@else.test"] == "operator"
    again = Client().get(path)
    assert (again.status_code, b"does not work" in again.content) == (404, True)


def test_an_address_that_has_an_account_makes_no_second_one(
    acme: Cast, globex: Cast, alice_member: Membership, charlie_member: Membership
) -> None:
    path = link_of(alice_member)
    response = Client().post(path, {"email": charlie_member.user.email, "password": PASSWORD})
    assert response.status_code == 400
    assert roles(acme) == {"alice@acme.test": "owner"}
    charlie = browser(charlie_member)
    assert charlie.post(path).status_code == 302
    assert charlie.session["organization_id"] == str(acme.id)


def test_an_invitation_for_another_address_says_so(
    alice_member: Membership, charlie_member: Membership
) -> None:
    path = link_of(alice_member, email="ana@else.test")
    charlie = browser(charlie_member)
    assert b"for another address" in charlie.get(path).content
    assert charlie.post(path).status_code == 400
    assert Invitation.unscoped.count() == 0  # row security: nobody's tenant is open here


@pytest.mark.parametrize("path", ["/invitations/x", "/invitations/fld_inv_" + "0" * 39])
def test_whatever_is_no_invitation_looks_like_a_used_one(db: None, path: str) -> None:
    factories.user()
    client = Client()
    for response in (client.get(path), client.post(path, {"email": "a@b.c", "password": PASSWORD})):
        assert (response.status_code, b"does not work" in response.content) == (404, True)


def test_a_form_from_elsewhere_accepts_nothing(acme: Cast, alice_member: Membership) -> None:
    path = link_of(alice_member)
    client = Client(enforce_csrf_checks=True)
    form = {"email": "new@else.test", "password": PASSWORD}
    assert client.post(path, form).status_code == 403
    assert roles(acme) == {"alice@acme.test": "owner"}


def test_origins_and_quotas_are_set_by_form(
    acme: Cast, alice_browser: Client, alice_member: Membership
) -> None:
    alice_browser.post("/settings/browser-access", {"origins": "https://a.example\nhttp://b:80"})
    acme.organization.refresh_from_db()
    assert acme.organization.settings["cors.allowed_origins"] == ["https://a.example", "http://b"]
    bad = alice_browser.post("/settings/browser-access", {"origins": "https://*.example"})
    assert (bad.status_code, b"*.example" in bad.content) == (400, True)
    form = {"quotas.devices": "7", "quotas.storage_bytes": "", "quotas.api_keys": ""}
    assert alice_browser.post("/settings/usage", form).status_code == 403
    alice_member.user.is_superuser = True
    alice_member.user.save()
    assert alice_browser.post("/settings/usage", form).status_code == 302
    acme.organization.refresh_from_db()
    assert acme.organization.settings["quotas.devices"] == 7


def test_deleting_asks_who_is_there_first(acme: Cast, alice_browser: Client) -> None:
    form = {"confirm": "Acme", "reason": "moved"}
    response = alice_browser.post("/settings/organization/delete", form)
    assert response.status_code == 302
    assert "/accounts/confirm" in response["Location"]
    assert Organization.objects.get(id=acme.id).status == "active"


def test_a_suspended_organization_says_so_on_every_page(acme: Cast, alice_browser: Client) -> None:
    set_status(acme, "suspended", status_reason="Invoice 4711 is open")
    page = alice_browser.get("/devices")
    assert (page.status_code, b"Invoice 4711 is open" in page.content) == (200, True)
    refused = alice_browser.post("/settings/organization", {"name": "New"})
    assert refused.status_code == 409
    assert not entries(acme, "organizations.update_organization")


def test_who_belongs_nowhere_is_told_and_not_asked_to_sign_in(
    acme: Cast, bob_member: Membership
) -> None:
    client = browser(bob_member)
    with tenant(acme.id):
        Membership.objects.for_org(acme.id).filter(id=bob_member.id).delete()
    page = client.get("/devices", follow=True)
    assert b"You belong to no organization" in page.content


def test_the_switcher_lists_mine_and_goes_only_there(
    acme: Cast, globex: Cast, alice_browser: Client, alice_member: Membership
) -> None:
    assert b"switcher-list" not in alice_browser.get("/devices").content
    refused = alice_browser.post("/organization/switch", {"organization": str(globex.id)})
    assert refused.status_code == 404
    factories.membership(globex.id, alice_member.user, Role.VIEWER)
    assert b"Globex" in alice_browser.get("/devices").content
    alice_browser.post("/organization/switch", {"organization": str(globex.id)})
    assert b"globex-one" in alice_browser.get("/devices").content


def test_organizations_are_made_from_the_switcher_where_one_may(
    alice_browser: Client, alice_member: Membership, settings: Any
) -> None:
    assert alice_browser.get("/organizations/new").status_code == 403
    settings.ORGANIZATION_CREATION = "everyone"
    assert b"/organizations/new" in alice_browser.get("/devices").content
    made = alice_browser.post("/organizations/new", {"name": "Initech"})
    assert made.status_code == 302
    assert b"Initech" in alice_browser.get("/settings/organization").content
    settings.ORGANIZATIONS = "single"
    refused = alice_browser.post("/organizations/new", {"name": "Umbrella"})
    assert (refused.status_code, b"one organization" in refused.content) == (400, True)


def test_what_is_not_here_may_be_looked_for_in_ones_other_organizations(
    acme: Cast, globex: Cast, alice_browser: Client, alice_member: Membership
) -> None:
    missing, foreign = uuid7(), globex.device.id
    assert b"or look in" not in alice_browser.get(f"/devices/{foreign}").content
    factories.membership(globex.id, alice_member.user, Role.VIEWER)
    chosen = {"organization": str(acme.id)}
    alice_browser.post("/organization/switch", chosen)
    for device_id in (missing, foreign):  # the same for both: it tells nothing about the object
        page = alice_browser.get(f"/devices/{device_id}")
        assert page.status_code == 404
        assert f'value="{globex.id}"' in page.content.decode()
        assert f'value="{acme.id}"' not in page.content.decode()
    there = {"organization": str(globex.id), "next": f"/devices/{foreign}"}
    assert alice_browser.post("/organization/switch", there, follow=True).status_code == 200
