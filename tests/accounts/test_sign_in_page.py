"""Signing in and out with a browser."""

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.audit.models import AuditEntry
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from tests.factories import PASSWORD

LOGIN = "/accounts/login"


def sign_in(email: str, password: str = PASSWORD, client: Client | None = None, **more: str):
    """One attempt at the form."""
    client = client or Client()
    response = client.post(LOGIN, {"login": email, "password": password, **more})
    return client, response


def entries(member: Membership, action: str = "accounts.sign_in") -> list[AuditEntry]:
    """What the trail of the member's organization says."""
    with tenant(member.organization_id):
        rows = AuditEntry.objects.for_org(member.organization_id).filter(action=action)
        return list(rows.order_by("sequence"))


def test_the_right_password_opens_a_session_and_is_recorded_once(bob_member: Membership) -> None:
    client, response = sign_in(bob_member.user.email)
    assert (response.status_code, response["Location"]) == (302, "/")
    assert client.get("/devices").status_code == 200
    (entry,) = entries(bob_member)
    assert (entry.result, entry.changes) == ("success", {"method": "password"})
    assert (entry.actor_label, entry.source) == (bob_member.user.email, "ui")


def test_a_wrong_password_opens_nothing_and_is_recorded_once(bob_member: Membership) -> None:
    client, response = sign_in(bob_member.user.email, "wrong password, quite long")
    assert response.status_code == 200
    assert b"not correct" in response.content
    assert "sessionid" not in client.cookies
    (entry,) = entries(bob_member)
    expected = {"method": "password", "reason": "invalid_credentials"}
    assert (entry.result, entry.changes) == ("denied", expected)


def test_service_accounts_and_disabled_people_cannot_sign_in(bob_member: Membership) -> None:
    User.objects.filter(pk=bob_member.user_id).update(is_active=False)
    client, response = sign_in(bob_member.user.email)
    assert b"not correct" in response.content
    assert "sessionid" not in client.cookies


def test_signing_out_needs_a_form_of_ours(bob_member: Membership) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(bob_member.user)
    assert client.get("/accounts/logout").status_code == 200
    assert client.post("/accounts/logout").status_code == 403
    assert client.get("/devices").status_code == 200
    token = client.cookies["csrftoken"].value
    assert client.post("/accounts/logout", {"csrfmiddlewaretoken": token}).status_code == 302
    assert client.get("/devices").status_code == 302


@pytest.mark.django_db
def test_nobody_can_sign_up() -> None:
    response = Client().get("/accounts/signup")
    assert response.status_code in (301, 302)
    for path in ("/accounts/login/code", "/accounts/password/set", "/accounts/phone/verify"):
        assert Client().get(path).status_code in (302, 404)
