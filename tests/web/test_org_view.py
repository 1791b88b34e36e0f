"""What pages have in common: who may see them, in which organization, what failures look like."""

import json
from typing import Any

import pytest
from django.test import Client

from apps.core.authz import Role
from apps.core.ids import uuid7
from apps.core.web import ORGANIZATION_KEY
from apps.organizations.models import Membership
from tests import factories
from tests.factories import Cast

pytestmark = pytest.mark.django_db
BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
LIVE = {"X-Requested-With": "fleetd-live"}
HTMX = {"HX-Request": "true"}


def signed_in(member: Membership) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(member.user, backend=BACKEND)
    return client


@pytest.fixture
def browser(alice_member: Membership) -> Client:
    """Alice's."""
    return signed_in(alice_member)


def test_until_somebody_has_an_account_every_page_leads_to_setup(client: Client) -> None:
    for address in ("/", "/devices", f"/devices/{uuid7()}", "/accounts/login", "/admin/", "/no"):
        response = client.get(address)
        assert (response.status_code, response["Location"]) == (302, "/setup"), address
    assert client.get("/setup").status_code == 200
    assert client.get("/healthz").status_code == 200


def test_strangers_are_sent_to_sign_in_and_back(client: Client, alice_member: Membership) -> None:
    response = client.get("/devices?tag=a")
    assert response.status_code == 302
    assert response["Location"] == "/accounts/login?next=%2Fdevices%3Ftag%3Da"


def test_parts_of_pages_and_buttons_say_401_to_strangers(
    client: Client, alice_member: Membership, acme: Cast
) -> None:
    assert client.get("/devices", headers=LIVE).status_code == 401
    assert client.get("/devices", headers=HTMX).status_code == 401
    assert client.post(f"/devices/{acme.device.id}/approve").status_code == 401


def test_a_failure_is_a_page_with_its_request_id(browser: Client) -> None:
    response = browser.get(f"/devices/{uuid7()}", headers={"Request-Id": "request-4711"})
    assert response.status_code == 404
    assert "request-4711" in response.content.decode()
    unknown = browser.get("/nowhere/at/all", headers={"Request-Id": "request-4712"})
    assert unknown.status_code == 404
    assert "request-4712" in unknown.content.decode()


def test_a_failure_of_a_part_is_a_short_message(browser: Client) -> None:
    response = browser.get(f"/devices/{uuid7()}", headers=HTMX)
    assert (response.status_code, response.content) == (404, b"")
    shown = json.loads(response["HX-Trigger"])["fleetd:toast"]
    assert shown["tone"] == "bad"
    assert "not_found" in shown["text"]


def test_a_refusal_is_a_page_and_stands_in_the_audit_trail(
    bob_member: Membership, alice_member: Membership, acme: Cast
) -> None:
    response = signed_in(bob_member).post(f"/devices/{acme.device.id}/quarantine", {"reason": "x"})
    assert response.status_code == 403
    trail = signed_in(alice_member).get("/audit").content.decode()
    assert "devices.quarantine_device" in trail


def test_a_bug_is_a_page_that_says_the_request_id_and_nothing_else(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the secret plan")

    monkeypatch.setattr("apps.devices.ui.devices.list_devices", broken)
    response = browser.get("/devices", headers={"Request-Id": "request-4713"})
    assert response.status_code == 500
    assert "request-4713" in response.content.decode()
    assert "secret plan" not in response.content.decode()


def test_a_live_part_that_has_not_changed_costs_no_body(browser: Client, acme: Cast) -> None:
    first = browser.get("/devices?fragment=list", headers=LIVE)
    assert first.status_code == 200
    again = browser.get("/devices?fragment=list", headers={**LIVE, "If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    factories.device(acme.id, "new here")
    changed = browser.get(
        "/devices?fragment=list", headers={**LIVE, "If-None-Match": first["ETag"]}
    )
    assert changed.status_code == 200


def test_the_session_chooses_the_organization_and_falls_back_to_the_oldest(
    alice_member: Membership, acme: Cast, globex: Cast
) -> None:
    factories.membership(globex.id, alice_member.user, Role.VIEWER)
    browser = signed_in(alice_member)

    def names() -> str:
        return browser.get("/devices").content.decode()

    assert "acme-one" in names()
    for chosen, shown in ((globex.id, "globex-one"), (uuid7(), "acme-one"), ("x", "acme-one")):
        session = browser.session
        session[ORGANIZATION_KEY] = str(chosen)
        session.save()
        assert shown in names()


def test_a_program_with_a_session_has_to_name_its_organization(
    alice_member: Membership, acme: Cast, globex: Cast
) -> None:
    factories.membership(globex.id, alice_member.user, Role.VIEWER)
    browser = signed_in(alice_member)
    assert browser.get("/api/v1/devices").json()["code"] == "organization_required"
    for name in ("globex", str(globex.id)):
        listed = browser.get("/api/v1/devices", headers={"Fleetd-Organization": name}).json()
        assert [d["name"] for d in listed["items"]] == ["globex-one", "globex-two"]
    refused = browser.get("/api/v1/devices", headers={"Fleetd-Organization": "initech"})
    assert (refused.status_code, refused.json()["code"]) == (401, "no_organization")


def test_somebody_who_is_in_no_organization_is_told_so(globex: Cast) -> None:
    client = Client()
    client.force_login(factories.user("nobody@example.com"), backend=BACKEND)
    response = client.get("/devices", follow=True)
    assert response.status_code == 403
    assert "You belong to no organization" in response.content.decode()


def policy(response: Any) -> dict[str, str]:
    """The content security policy, by directive."""
    parts = (part.strip().partition(" ") for part in response["Content-Security-Policy"].split(";"))
    return {name: value for name, _, value in parts}


@pytest.mark.parametrize(
    "address", ["/", "/devices", "/rollouts", "/audit", "/admin/", "/accounts/login", "/nowhere"]
)
def test_no_page_runs_what_is_not_ours(browser: Client, address: str) -> None:
    response = browser.get(address)
    found = policy(response)
    assert found["default-src"] == "'self'"
    for directive in ("object-src", "base-uri", "frame-ancestors"):
        assert found[directive] == "'none'"
    assert "unsafe" not in response["Content-Security-Policy"]
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] == "same-origin"
    assert response["X-Frame-Options"] == "DENY"


def test_a_form_from_elsewhere_is_refused_with_a_page(alice_member: Membership) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice_member.user, backend=BACKEND)
    response = client.post("/device-groups", {"name": "x"})
    assert response.status_code in (403, 404)
    refused = client.post("/accounts/login", {"login": "x"})
    assert refused.status_code == 403
    assert "Load the page again" in refused.content.decode()
