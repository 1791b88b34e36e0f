"""Who may open the admin, and what each role finds there."""

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.shortcuts import resolve_url
from django.test import Client
from django.urls import reverse

from apps.core.authz import CUSTOM, Role, grantable
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from apps.web.admin_site import FleetdAdminSite
from apps.web.permissions import OPEN_ADMIN
from tests import factories
from tests.admin.rows import Rows, snapshot
from tests.factories import Cast

pytestmark = pytest.mark.django_db

SignIn = Callable[[Membership], Client]


def _without_audit(acme: Cast) -> dict[str, list[Any]]:
    """Everything but the audit trail, which also holds what was refused."""
    return {k: v for k, v in snapshot(acme.id).items() if not k.startswith("audit.")}


def _addresses(site: FleetdAdminSite) -> list[str]:
    found = ["/admin/", "/admin/autocomplete/", "/admin/devices/device/live/"]
    found += [f"/admin/{m._meta.app_label}/{m._meta.model_name}/" for m in site._registry]
    return found


def test_strangers_are_sent_to_the_sign_in_page(
    site: FleetdAdminSite, alice_member: Membership
) -> None:
    for address in _addresses(site):
        response = Client().get(address)
        assert response.status_code == 302, address
        sign_in_page = resolve_url(settings.LOGIN_URL)
        assert response["Location"].startswith(f"{sign_in_page}?next=%2Fadmin%2F"), address


def test_strangers_cannot_post(site: FleetdAdminSite, alice_member: Membership) -> None:
    for address in _addresses(site):
        assert Client().post(address, {"action": "approve_device"}).status_code == 401, address


def test_people_whose_role_leaves_the_admin_out_are_refused(sign_in: SignIn, acme: Cast) -> None:
    role = factories.custom_role(acme.id, "no admin", *(grantable() - {OPEN_ADMIN.name}))
    member = factories.membership(acme.id, factories.user("plain@acme.test"), Role.VIEWER)
    with tenant(acme.id):
        member.role, member.custom_role = CUSTOM, role
        member.save(update_fields=["role", "custom_role"])
    browser = sign_in(member)
    assert browser.get("/admin/").status_code == 403
    assert browser.get("/admin/devices/device/").status_code == 403


def test_the_start_page_leads_to_the_pages_that_a_person_may_see(
    browser: Client, acme: Cast
) -> None:
    text = browser.get("/admin/").content.decode()
    assert 'href="/admin/devices/device/"' in text
    assert 'href="/admin/updates/rollout/"' in text


def test_people_without_an_organization_are_refused(sign_in: SignIn, acme: Cast) -> None:
    member = factories.membership(acme.id, factories.user("gone@acme.test"), Role.OWNER)
    browser = sign_in(member)
    with factories.tenant(acme.id):
        member.delete()
    response = browser.get("/admin/")
    assert (response.status_code, response["Location"]) == (
        302,
        "/organizations/none?next=%2Fadmin%2F",
    )


def test_superusers_work_in_an_organization_of_theirs(
    sign_in: SignIn, acme_rows: Rows, globex: Cast, site: FleetdAdminSite
) -> None:
    root = factories.user("root@acme.test", is_superuser=True)
    browser = sign_in(factories.membership(acme_rows.organization_id, root, Role.VIEWER))
    page = browser.get("/admin/devices/device/").content.decode()
    assert acme_rows.made_row("Device").name in page
    assert "globex" not in page
    assert browser.get(f"/admin/devices/device/{globex.device.id}/change/").status_code == 404
    assert browser.get("/admin/core/installedguard/").status_code == 200


def test_somebody_in_two_organizations_switches_within_the_admin(
    sign_in: SignIn, alice_member: Membership, acme: Cast, globex: Cast
) -> None:
    factories.membership(globex.id, alice_member.user, Role.VIEWER)
    browser = sign_in(alice_member)
    assert "acme-one" in browser.get("/admin/devices/device/").content.decode()
    values = {"organization": str(globex.id), "next": "/admin/"}
    assert browser.post(reverse("organization-switch"), values)["Location"] == "/admin/"
    page = browser.get("/admin/devices/device/").content.decode()
    assert "globex-one" in page
    assert "acme-one" not in page
    assert 'value="approve_device"' not in page  # a viewer there


def test_switching_leads_to_no_other_site(
    sign_in: SignIn, alice_member: Membership, acme: Cast
) -> None:
    values = {"organization": str(acme.id), "next": "https://evil.test/"}
    response = sign_in(alice_member).post(reverse("organization-switch"), values)
    assert response["Location"] == "/"


def test_only_superusers_see_everybody(
    sign_in: SignIn, browser: Client, acme: Cast, charlie_member: Membership
) -> None:
    root = factories.user("root@acme.test", is_superuser=True)
    roots = sign_in(factories.membership(acme.id, root, Role.OWNER))
    address = f"/admin/accounts/user/{charlie_member.user_id}/change/"
    assert charlie_member.user.email in roots.get("/admin/accounts/user/").content.decode()
    assert roots.get(address).status_code == 200
    assert browser.get(address).status_code == 404
    assert browser.get("/admin/core/installedguard/").status_code == 403


def test_a_viewer_reads_and_can_do_nothing(
    site: FleetdAdminSite, sign_in: SignIn, bob_member: Membership, acme_rows: Rows, acme: Cast
) -> None:
    browser = sign_in(bob_member)
    before = _without_audit(acme)
    for model, model_admin in site._registry.items():
        base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        is_own_key = model.__name__ == "ApiKey"  # everybody may have keys
        if not is_own_key:
            assert browser.get(f"{base}add/").status_code == 403, model
            assert browser.post(f"{base}add/", {"name": "mine"}).status_code == 403, model
        row = acme_rows.made.get(model)
        if row is None or is_own_key:
            continue
        address = f"{base}{row.pk}/"
        assert browser.post(f"{address}change/", {"name": "mine"}).status_code == 403, model
        assert browser.post(f"{address}delete/", {"post": "yes"}).status_code == 403, model
        page = browser.get(base)
        assert page.status_code in (200, 403), model
        for operation in model_admin.operations:
            assert f'value="{operation.name}"' not in page.content.decode(), operation.name
            values = {"action": operation.name, "_selected_action": str(row.pk), "confirmed": "1"}
            browser.post(base, {**values, "word": operation.word, "reason": "because"})
    assert _without_audit(acme) == before


def test_the_audit_trail_is_read_only_for_everybody(
    browser: Client, sign_in: SignIn, bob_member: Membership, acme_rows: Rows
) -> None:
    entry = acme_rows.made_row("AuditEntry")
    address = f"/admin/audit/auditentry/{entry.pk}/"
    assert browser.get(f"{address}change/").status_code == 200
    assert browser.get("/admin/audit/auditentry/add/").status_code == 403
    assert browser.post(f"{address}change/", {"action": "other"}).status_code == 403
    assert browser.post(f"{address}delete/", {"post": "yes"}).status_code == 403
    assert sign_in(bob_member).get(f"{address}change/").status_code == 403


def test_secrets_are_on_no_page(site: FleetdAdminSite, browser: Client, acme_rows: Rows) -> None:
    hashes = [acme_rows.made_row(name).secret_hash for name in ("ApiKey", "EnrollmentToken")]
    hidden = [*hashes, acme_rows.user.password]
    assert all(hidden)
    for model in site._registry:
        base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        row = acme_rows.made.get(model, acme_rows.user)
        for address in (base, f"{base}{row.pk}/change/"):
            page = browser.get(address).content.decode()
            assert [text for text in hidden if text in page] == [], address


@pytest.mark.parametrize(
    "query",
    [
        "?q=%00",
        "?lifecycle__exact=%00",
        "?connectivity=%00",
        "?group=nonsense",
        "?id__exact=nonsense",
        "?p=999999999999999999999",
        "?p=-1",
        "?o=99.-99.x",
        "?lifecycle__exact=" + "x" * 5000,
        "?all=",
        "?_to_field=secret_hash",
        "?_popup=1",
        "?e=1",
        "?_facets=True",
    ],
)
def test_nonsense_in_the_address_breaks_nothing(query: str, browser: Client, acme: Cast) -> None:
    response = browser.get(f"/admin/devices/device/{query}", follow=True)
    assert response.status_code in (200, 400), query


@pytest.mark.parametrize("key", ["nonsense", "%00", "1", "a" * 3000, "..%2F..%2Fx"])
def test_nonsense_for_a_key_is_not_found(key: str, browser: Client, acme: Cast) -> None:
    for view in ("change", "delete", "history"):
        assert browser.get(f"/admin/devices/device/{key}/{view}/").status_code == 404


def test_nonsense_among_the_chosen_keys_is_refused(browser: Client, acme: Cast) -> None:
    values = {"action": "approve_device", "_selected_action": ["nonsense", "\x00"]}
    assert browser.post("/admin/devices/device/", values).status_code == 400


def test_forms_from_other_sites_are_refused(alice_member: Membership, acme: Cast) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(
        alice_member.user, backend="allauth.account.auth_backends.AuthenticationBackend"
    )
    values = {"action": "quarantine_device", "_selected_action": str(acme.device.id)}
    assert browser.post("/admin/devices/device/", values).status_code == 403


def test_pages_carry_the_strict_policy_and_nothing_inline(
    site: FleetdAdminSite, browser: Client, acme_rows: Rows
) -> None:
    addresses = [a for a in _addresses(site)[3:] if "installedguard" not in a]
    addresses += [
        f"/admin/{m._meta.app_label}/{m._meta.model_name}/{row.pk}/change/"
        for m, row in acme_rows.made.items()
    ]
    addresses += ["/admin/", "/admin/updates/release/add/", "/admin/updates/rollout/add/"]
    for address in addresses:
        response = browser.get(address)
        page = response.content.decode()
        assert "default-src 'self'" in response["Content-Security-Policy"]
        assert "unsafe" not in response["Content-Security-Policy"]
        for inline in ("<style", "<script>", ' style="', " onclick=", "javascript:"):
            assert inline not in page, (address, inline)
