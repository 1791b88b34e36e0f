"""A forgotten password: the message, the link, and installations that send no mail."""

import re
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from django.test import Client

from apps.accounts.models import User
from apps.accounts.services import mail as sending
from apps.organizations.models import Membership
from tests.accounts.people import entries, sign_in, with_app

RESET = "/accounts/password/reset"
NEW = "another password that is long enough"


@pytest.fixture
def mailing(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """An installation that sends mail; answers what is under way."""
    settings.EMAIL_IS_CONFIGURED = True
    futures: list[Any] = []
    submit = sending._SENDER.submit
    monkeypatch.setattr(
        sending._SENDER, "submit", lambda *given: futures.append(submit(*given)) or futures[-1]
    )
    yield futures
    wait(futures, 10)


def outbox(futures: list[Any]) -> list[Any]:
    """Everything that was sent."""
    wait(futures, 10)
    return list(mail.outbox)


def link_in(text: str) -> str:
    """The path of the link in a mail."""
    found = re.search(r"https?://[^/\s]+(/\S+)", text[text.index("Open this link") :])
    assert found
    return found[1]


def test_the_link_in_the_message_sets_a_new_password_once(
    bob_member: Membership, mailing: list[Any]
) -> None:
    before, _ = sign_in(bob_member.user.email)
    answer = Client().post(RESET, {"email": bob_member.user.email.upper()})
    assert b"on its way" in answer.content
    (message,) = outbox(mailing)
    assert message.to == [bob_member.user.email]
    assert "<" not in message.body  # plain text
    client = Client()
    opened = client.get(link_in(message.body))
    assert opened.status_code == 302
    assert "set-password" in opened["Location"]  # the secret is not in the address any more
    weak = client.post(opened["Location"], {"password1": "short"})
    assert weak.status_code == 200
    assert client.post(opened["Location"], {"password1": NEW}).status_code == 302
    assert client.get(link_in(message.body)).status_code == 404
    assert before.get("/devices").status_code == 302  # every earlier sign-in has ended
    assert sign_in(bob_member.user.email, NEW)[1]["Location"] == "/"
    assert len(entries(bob_member, "accounts.reset_password")) == 1


def test_nobody_learns_whether_there_is_an_account(
    bob_member: Membership, mailing: list[Any]
) -> None:
    known = Client().post(RESET, {"email": bob_member.user.email})
    unknown = Client().post(RESET, {"email": "nobody@example.com"})
    assert known.status_code == unknown.status_code == 200
    pages = [
        re.sub(r"[A-Za-z0-9]{64}", "", page.content.decode()).replace(email, "X")
        for page, email in ((known, bob_member.user.email), (unknown, "nobody@example.com"))
    ]
    assert pages[0] == pages[1]
    assert len(outbox(mailing)) == 1


def test_disabled_people_and_service_accounts_get_no_message(
    bob_member: Membership, mailing: list[Any]
) -> None:
    User.objects.filter(pk=bob_member.user_id).update(is_active=False)
    Client().post(RESET, {"email": bob_member.user.email})
    assert outbox(mailing) == []


def test_messages_cannot_be_asked_for_without_end(
    bob_member: Membership, mailing: list[Any]
) -> None:
    answers = [Client().post(RESET, {"email": bob_member.user.email}) for _ in range(4)]
    assert [a.status_code for a in answers] == [200, 200, 200, 429]
    assert "Retry-After" in answers[-1]


def test_without_mail_the_page_says_so_and_the_console_helps(
    bob_member: Membership, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Client().get(RESET)
    assert b"sends no mail" in page.content
    assert Client().post(RESET, {"email": bob_member.user.email}).status_code == 400
    call_command("users", "reset-link", bob_member.user.email)
    path = re.sub(r"^https?://[^/]+", "", capsys.readouterr().out.splitlines()[0])
    client = Client()
    opened = client.get(path)
    assert client.post(opened["Location"], {"password1": NEW}).status_code == 302
    assert sign_in(bob_member.user.email, NEW)[1]["Location"] == "/"
    assert len(entries(bob_member, "organizations.issue_reset_link")) == 1


def test_the_console_lists_disables_and_helps(
    bob_member: Membership, capsys: pytest.CaptureFixture[str]
) -> None:
    email = bob_member.user.email
    with_app(bob_member.user)
    call_command("users", "list")
    assert f"{email}\tsecond factor\tacme (viewer)" in capsys.readouterr().out
    call_command("users", "disable", email)
    call_command("users", "reset-factors", email)
    call_command("users", "list")
    assert f"{email}\tdisabled\tacme (viewer)" in capsys.readouterr().out
    call_command("users", "enable", email)
    assert sign_in(email)[1]["Location"] == "/"
    with pytest.raises(CommandError, match="no account"):
        call_command("users", "disable", "nobody@example.com")


def test_mail_that_cannot_be_sent_breaks_nothing(
    bob_member: Membership, mailing: list[Any], settings: Any, tmp_path: Path
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", 1, 1
    assert Client().post(RESET, {"email": bob_member.user.email}).status_code == 200
    wait(mailing, 10)
    assert mailing[0].result() is False


def test_a_new_address_counts_once_its_link_is_opened(
    bob_member: Membership, alice_member: Membership, mailing: list[Any]
) -> None:
    client, _ = sign_in(bob_member.user.email)
    taken = client.post("/accounts/email", {"email": alice_member.user.email})
    assert taken.status_code == 400
    client.post("/accounts/email", {"email": "robert@acme.test"})
    (message,) = outbox(mailing)
    assert message.to == ["robert@acme.test"]
    assert User.objects.get(pk=bob_member.user_id).email == "bob@acme.test"
    path = link_in(message.body)
    assert client.get(path).status_code == 200
    client.post(path)
    assert User.objects.get(pk=bob_member.user_id).email == "robert@acme.test"
    (entry,) = entries(bob_member, "accounts.change_email")
    assert entry.changes == {"email": ["bob@acme.test", "robert@acme.test"]}


def test_an_address_that_somebody_else_took_meanwhile_stays_theirs(
    bob_member: Membership, mailing: list[Any]
) -> None:
    client, _ = sign_in(bob_member.user.email)
    client.post("/accounts/email", {"email": "new@acme.test"})
    (message,) = outbox(mailing)
    User.objects.create_user("new@acme.test", NEW)
    response = client.post(link_in(message.body))
    assert response.status_code in (200, 302)
    assert User.objects.get(pk=bob_member.user_id).email == "bob@acme.test"


def test_where_addresses_are_confirmed_nobody_signs_in_before(
    bob_member: Membership, mailing: list[Any], settings: Any
) -> None:
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    client, response = sign_in(bob_member.user.email)
    assert response["Location"] == "/accounts/email/sent"
    assert client.get("/devices").status_code == 302
    (message,) = outbox(mailing)
    client.post(link_in(message.body))
    assert sign_in(bob_member.user.email)[1]["Location"] == "/"
