"""Signing in and out with a browser."""

import pytest
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.test import Client

from apps.accounts.models import User
from apps.organizations.models import Membership
from tests.accounts.people import SECRET, WRONG, code, demand, entries, sign_in, with_app


def test_the_right_password_opens_a_session_and_is_recorded_once(bob_member: Membership) -> None:
    client, response = sign_in(bob_member.user.email)
    assert (response.status_code, response["Location"]) == (302, "/")
    assert client.get("/devices").status_code == 200
    (entry,) = entries(bob_member)
    assert (entry.result, entry.changes) == ("success", {"method": "password"})
    assert (entry.actor_label, entry.source) == (bob_member.user.email, "ui")


def test_a_wrong_password_opens_nothing_and_is_recorded_once(bob_member: Membership) -> None:
    client, response = sign_in(bob_member.user.email, WRONG)
    assert response.status_code == 200
    assert b"is not right" in response.content
    assert "sessionid" not in client.cookies
    (entry,) = entries(bob_member)
    expected = {"method": "password", "reason": "invalid_credentials"}
    assert (entry.result, entry.changes) == ("denied", expected)


def test_service_accounts_and_disabled_people_cannot_sign_in(bob_member: Membership) -> None:
    User.objects.filter(pk=bob_member.user_id).update(is_active=False)
    client, response = sign_in(bob_member.user.email)
    assert b"is not right" in response.content
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


def test_a_person_with_an_app_is_asked_for_its_code(bob_member: Membership) -> None:
    with_app(bob_member.user)
    client, response = sign_in(bob_member.user.email)
    assert response["Location"] == "/accounts/login/second-step"
    assert client.get("/devices").status_code == 302  # not signed in yet
    wrong = client.post("/accounts/login/second-step", {"code": "000000"})
    assert (wrong.status_code, b"is not right" in wrong.content) == (200, True)
    right = client.post("/accounts/login/second-step", {"code": code()})
    assert right.status_code == 302
    assert client.get("/devices").status_code == 200
    refused, opened = entries(bob_member)
    assert refused.changes == {"method": "password+code", "reason": "invalid_second_factor"}
    assert opened.changes == {"method": "password+totp"}


def test_a_code_works_once_in_all_browsers_together(bob_member: Membership) -> None:
    with_app(bob_member.user)
    seen = code()
    for expected in (302, 200):
        client, _ = sign_in(bob_member.user.email)
        response = client.post("/accounts/login/second-step", {"code": seen})
        assert response.status_code == expected


def test_a_recovery_code_works_once_and_is_recorded(bob_member: Membership) -> None:
    with_app(bob_member.user)
    one = RecoveryCodes.activate(bob_member.user).get_unused_codes()[0]
    for expected in (302, 200):
        client, _ = sign_in(bob_member.user.email)
        response = client.post("/accounts/login/second-step", {"code": one})
        assert response.status_code == expected
    assert len(entries(bob_member, "accounts.use_recovery_code")) == 1
    assert entries(bob_member)[0].changes == {"method": "password+recovery_code"}


def test_codes_cannot_be_tried_out(bob_member: Membership) -> None:
    with_app(bob_member.user)
    client, _ = sign_in(bob_member.user.email)
    answers = [
        client.post("/accounts/login/second-step", {"code": f"{n:06}"}).status_code
        for n in range(6)
    ]
    assert answers == [200] * 5 + [429]
    late = client.post("/accounts/login/second-step", {"code": code()})
    assert (late.status_code, "Retry-After" in late) == (429, True)


def test_the_secret_of_the_app_lies_sealed_in_the_database(bob_member: Membership) -> None:
    stored = with_app(bob_member.user)
    assert SECRET not in str(stored.data)
    assert stored.data["secret"].startswith("v1.")


def test_a_short_password_is_renewed_at_the_next_sign_in(bob_member: Membership) -> None:
    demand(bob_member.organization, password_min_length=40)
    client, response = sign_in(bob_member.user.email)
    assert response["Location"] == "/accounts/login/password"
    assert client.get("/devices").status_code == 302
    short = client.post("/accounts/login/password", {"password": "still not long enough"})
    assert b"at least 40 characters" in short.content
    longer = "a much longer password that nobody else would think of"
    assert client.post("/accounts/login/password", {"password": longer}).status_code == 302
    assert client.get("/devices").status_code == 200
    assert sign_in(bob_member.user.email, longer)[1]["Location"] == "/"
