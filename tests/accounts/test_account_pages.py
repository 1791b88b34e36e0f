"""One's own account: second factors, name, sessions; asked who it is before anything dangerous."""

import re
import time

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.test import Client

from apps.accounts.models import User
from apps.accounts.selectors import has_second_factor
from apps.accounts.ui.browsers import describe
from apps.core import sealing
from apps.organizations.models import Membership
from fleetd.resealing import reseal_all
from tests.accounts.people import WRONG, code, entries, sign_in, with_app
from tests.factories import PASSWORD


def old(client: Client, seconds: int = 600) -> Client:
    """The session, as it is after so many seconds."""
    session = client.session
    records = session["account_authentication_methods"]
    session["account_authentication_methods"] = [{**r, "at": r["at"] - seconds} for r in records]
    session.save()
    return client


def code_for(secret: str) -> str:
    return format_hotp_value(hotp_value(secret.replace(" ", ""), int(time.time()) // 30))


def test_setting_up_an_app_shows_recovery_codes_once(bob_member: Membership) -> None:
    client, _ = sign_in(bob_member.user.email)
    page = client.get("/accounts/app")
    secret = page.context["secret"].replace(" ", "")
    assert secret not in str(dict(client.session))  # sealed while it waits
    assert client.get("/accounts/app").context["secret"].replace(" ", "") == secret
    wrong = client.post("/accounts/app", {"code": "000000"})
    assert (wrong.status_code, has_second_factor(bob_member.user_id)) == (400, False)
    right = client.post("/accounts/app", {"code": code_for(secret)})
    assert right["Location"] == "/accounts/recovery-codes"
    shown = client.get("/accounts/recovery-codes")
    assert "no-store" in shown["Cache-Control"]
    assert len(re.findall(rb"<li>\d{10}</li>", shown.content)) == 10
    assert client.get("/accounts/recovery-codes").context["codes"] is None
    (entry,) = entries(bob_member, "accounts.add_second_factor")
    assert entry.changes["factor"] == "totp"


def test_new_recovery_codes_replace_the_old(bob_member: Membership) -> None:
    with_app(bob_member.user)
    client, _ = sign_in(bob_member.user.email)
    client.post("/accounts/login/second-step", {"code": code()})
    made = [client.post("/accounts/recovery-codes")["Location"] for _ in range(2)]
    assert made == ["/accounts/recovery-codes"] * 2
    assert len(entries(bob_member, "accounts.renew_recovery_codes")) == 2
    assert client.get("/accounts/recovery-codes").context["codes"]
    assert client.get("/accounts/recovery-codes").context["codes"] is None


def test_removing_the_last_factor_takes_the_recovery_codes_along(bob_member: Membership) -> None:
    app = with_app(bob_member.user)
    client, _ = sign_in(bob_member.user.email)
    client.post("/accounts/login/second-step", {"code": code()})
    client.post("/accounts/recovery-codes")
    assert client.post(f"/accounts/factors/{app.pk}/remove").status_code == 302
    assert not Authenticator.objects.filter(user=bob_member.user).exists()
    (entry,) = entries(bob_member, "accounts.remove_second_factor")
    assert entry.changes["factor"] == "totp"
    assert client.post(f"/accounts/factors/{app.pk}/remove").status_code == 404


def test_factors_of_others_cannot_be_touched(
    bob_member: Membership, alice_member: Membership
) -> None:
    hers = with_app(alice_member.user)
    client, _ = sign_in(bob_member.user.email)
    assert client.post(f"/accounts/factors/{hers.pk}/remove").status_code == 404
    assert client.post(f"/accounts/passkeys/{hers.pk}", {"name": "mine"}).status_code == 404
    assert has_second_factor(alice_member.user_id)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/accounts/app"),
        ("post", "/accounts/app"),
        ("get", "/accounts/passkeys/add"),
        ("post", "/accounts/passkeys/add"),
        ("get", "/accounts/recovery-codes"),
        ("post", "/accounts/recovery-codes"),
        ("post", "/accounts/factors/1/remove"),
        ("post", "/accounts/email"),
    ],
)
def test_dangerous_acts_ask_who_it_is_once_the_sign_in_is_old(
    bob_member: Membership, method: str, path: str
) -> None:
    client, _ = sign_in(bob_member.user.email)
    response = getattr(old(client), method)(path)
    assert response.status_code == 302
    assert response["Location"].startswith("/accounts/confirm?next=")
    back = path if method == "get" else "/"
    assert response["Location"].endswith(back.replace("/", "%2F"))
    wrong = client.post("/accounts/confirm", {"password": WRONG, "next": back})
    assert (wrong.status_code, b"not your password" in wrong.content) == (200, True)
    right = client.post("/accounts/confirm", {"password": PASSWORD, "next": back})
    assert right["Location"] == back
    again = getattr(client, method)(path)
    assert not (again.status_code == 302 and "confirm" in again["Location"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/accounts/app"),
        ("get", "/accounts/passkeys/add"),
        ("post", "/accounts/passkeys/add"),
        ("get", "/accounts/recovery-codes"),
        ("post", "/accounts/recovery-codes"),
        ("post", "/accounts/factors/{id}/remove"),
    ],
)
def test_a_session_from_before_the_factor_cannot_undo_it_with_the_password(
    bob_member: Membership, method: str, path: str
) -> None:
    thief, _ = sign_in(bob_member.user.email)
    app = with_app(bob_member.user)
    path = path.format(id=app.pk)
    thief.post("/accounts/confirm", {"password": PASSWORD, "next": "/"})
    response = getattr(thief, method)(path)
    assert response.status_code == 302
    assert response["Location"].startswith("/accounts/confirm/code?next=")
    assert has_second_factor(bob_member.user_id)
    assert not entries(bob_member, "accounts.remove_second_factor")
    assert not entries(bob_member, "accounts.renew_recovery_codes")
    page = thief.get(response["Location"])
    assert (page.status_code, b'name="code"' in page.content) == (200, True)
    thief.post("/accounts/confirm/code", {"code": code(), "next": "/"})
    again = getattr(thief, method)(path)  # whoever has the factor may
    assert not (again.status_code == 302 and "confirm" in again["Location"])


def test_a_form_is_not_kept_while_the_question_is_asked(bob_member: Membership) -> None:
    client, _ = sign_in(bob_member.user.email)
    old(client).post("/accounts/app", {"code": "a secret of mine"})
    assert "a secret of mine" not in str(dict(client.session))


def test_who_it_is_cannot_be_guessed(bob_member: Membership) -> None:
    client, _ = sign_in(bob_member.user.email)
    answers = [client.post("/accounts/confirm", {"password": WRONG}).status_code for _ in range(11)]
    assert answers == [200] * 10 + [429]
    assert client.get("/devices").status_code == 200  # the session goes on


def test_changing_the_name_is_recorded(bob_member: Membership) -> None:
    client, _ = sign_in(bob_member.user.email)
    client.post("/accounts/name", {"name": "  Robert   Example "})
    client.post("/accounts/name", {"name": "Robert Example"})
    assert User.objects.get(pk=bob_member.user_id).name == "Robert Example"
    (entry,) = entries(bob_member, "accounts.rename_self")
    assert entry.changes == {"name": ["", "Robert Example"]}
    client.post("/accounts/name", {"name": "x" * 151})
    assert User.objects.get(pk=bob_member.user_id).name == "Robert Example"


def test_the_current_password_is_needed_for_a_new_one(bob_member: Membership) -> None:
    client, _ = sign_in(bob_member.user.email)
    new = "another password that is long enough"
    form = {"current": WRONG, "password": new}
    assert client.post("/accounts/password", form).status_code == 400
    weak = client.post("/accounts/password", {"current": PASSWORD, "password": "password1234"})
    assert (weak.status_code, b"too common" in weak.content) == (400, True)
    assert entries(bob_member, "accounts.change_password") == []


def test_the_page_shows_sessions_with_the_address_of_the_socket(bob_member: Membership) -> None:
    client, _ = sign_in(
        bob_member.user.email,
        REMOTE_ADDR="203.0.113.9",
        headers={"X-Forwarded-For": "198.51.100.1", "X-Real-IP": "198.51.100.2"},
    )
    page = client.get("/accounts/", REMOTE_ADDR="203.0.113.9")
    (session,) = page.context["sessions"]
    assert (session["address"], session["is_current"]) == ("203.0.113.9", True)


def test_ending_all_other_sessions_keeps_this_one(bob_member: Membership) -> None:
    here, _ = sign_in(bob_member.user.email)
    others = [sign_in(bob_member.user.email)[0] for _ in range(3)]
    here.post("/accounts/sessions/end")
    assert here.get("/devices").status_code == 200
    assert {other.get("/devices").status_code for other in others} == {302}
    (entry,) = entries(bob_member, "accounts.end_session")
    assert entry.changes == {"sessions": 3}


def test_secrets_move_to_a_new_key(bob_member: Membership, monkeypatch: pytest.MonkeyPatch) -> None:
    app = with_app(bob_member.user)
    before = app.data["secret"]
    monkeypatch.setattr(sealing, "current_prefix", lambda: "v1.another.")
    monkeypatch.setattr("fleetd.resealing.current_prefix", lambda: "v1.another.")
    columns = {(c.column.model, c.column.member): c.changed for c in reseal_all()}
    assert columns["mfa.Authenticator", "secret"] >= 1
    app.refresh_from_db()
    assert app.data["secret"] != before
    client, _ = sign_in(bob_member.user.email)
    assert client.post("/accounts/login/second-step", {"code": code()}).status_code == 302


def test_nobody_reaches_the_pages_without_signing_in(db: None, bob_member: Membership) -> None:
    for path in ("", "password", "email", "app", "passkeys/add", "recovery-codes", "access"):
        response = Client().get(f"/accounts/{path}")
        assert (response.status_code, response["Location"][:15]) == (302, "/accounts/login")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/156.0.0.0 Safari/537.36",
            "Chrome 156, Linux",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 "
            "(KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1",
            "Safari 18, iPhone",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; rv:142.0) Gecko/20100101 Firefox/142.0",
            "Firefox 142, Windows",
        ),
        ("curl/8.5.0", "curl 8"),
        (
            "something of my own making that goes on and on",
            "something of my own making that goes on ",
        ),
        ("", ""),
    ],
)
def test_browsers_are_called_what_people_call_them(text: str, shown: str) -> None:
    assert describe(text) == shown
