"""Pages of programs: service accounts, their keys, and renewing a key."""

import re

import pytest
from django.test import Client

from apps.accounts.models import ApiKey, User
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from tests import factories
from tests.factories import Cast
from tests.rest.conftest import Api

SECRET = re.compile(r"fld_pat_[0-9A-Za-z]{32}_[0-9A-Za-z]{6}")


@pytest.fixture
def browser(alice_member: Membership) -> Client:
    client = Client()
    client.force_login(alice_member.user)
    return client


def secret_in(response: object) -> str:
    return SECRET.search(response.content.decode())[0]


def test_an_account_is_made_gets_a_key_and_ends(browser: Client, acme: Cast) -> None:
    assert b"No service account yet" in browser.get("/settings/service-accounts").content
    made = browser.post("/settings/service-accounts", {"name": "Pipeline", "role": "deployer"})
    page = made["Location"]
    answer = browser.post(page, {"name": "ci", "days": "30", "networks": "127.0.0.0/8"})
    assert answer["Cache-Control"] == "no-store"
    secret = secret_in(answer)
    assert Api(secret).get("auth/me").json()["role"] == "deployer"
    assert SECRET.search(browser.get(page).content.decode()) is None
    assert b"Pipeline" in browser.get("/settings/service-accounts").content
    for verb, active in (("disable", False), ("enable", True)):
        browser.post(f"{page}/{verb}")
        assert User.objects.get(kind="service").is_active is active
    browser.post(f"{page}/delete")
    assert not User.objects.filter(kind="service").exists()
    assert browser.get(page).status_code == 404


@pytest.mark.parametrize(
    "values", [{"name": " ", "days": "30"}, {"name": "x", "days": "30", "networks": "nowhere"}]
)
def test_a_bad_key_is_explained_in_the_form(browser: Client, values: dict[str, str]) -> None:
    made = browser.post("/settings/service-accounts", {"name": "Pipeline", "role": "viewer"})
    answer = browser.post(made["Location"], values)
    assert answer.status_code == 200
    assert SECRET.search(answer.content.decode()) is None
    assert b"notice" in answer.content


def test_a_key_is_renewed_with_an_overlap(browser: Client, acme: Cast) -> None:
    old = secret_in(browser.post("/api-keys", {"name": "ci", "days": "30"}))
    with tenant(acme.id):
        key_id = ApiKey.objects.for_org(acme.id).get().id
    assert b"goes on working" in browser.get(f"/api-keys/{key_id}/renew").content
    answer = browser.post(f"/api-keys/{key_id}/renew", {"overlap": "3600"})
    assert answer["Cache-Control"] == "no-store"
    for secret in (old, secret_in(answer)):
        assert Api(secret).get("auth/me").status_code == 200
    assert browser.post(f"/api-keys/{key_id}/renew", {"overlap": "99"}).status_code == 400


def test_administrators_see_everybodys_keys_and_others_only_their_own(
    browser: Client, erin_member: Membership
) -> None:
    factories.api_key(erin_member)
    assert b"erin@acme.test" in browser.get("/api-keys?everybody=1").content
    erin = Client()
    erin.force_login(erin_member.user)
    assert b"Your API keys" in erin.get("/api-keys?everybody=1").content
    assert erin.get("/settings/service-accounts").status_code == 403


def test_a_key_of_somebody_else_cannot_be_renewed(
    browser: Client, acme: Cast, erin_member: Membership
) -> None:
    factories.api_key(erin_member)
    with tenant(acme.id):
        key_id = ApiKey.objects.for_org(acme.id).get().id
    assert browser.get(f"/api-keys/{key_id}/renew").status_code == 404
    assert browser.post(f"/api-keys/{key_id}/renew", {"overlap": "0"}).status_code == 404
