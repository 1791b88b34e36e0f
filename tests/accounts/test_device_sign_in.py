"""Signing a program in by a code that a person approves (RFC 8628)."""

import time
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client

from apps.accounts.domain import user_codes
from apps.accounts.models import DeviceAuthorization, User
from apps.audit.models import AuditEntry
from apps.core import clock
from apps.core.authz import Role
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from tests import factories
from tests.factories import Cast
from tests.rest.conftest import Api

GRANT = "urn:ietf:params:oauth:grant-type:device_code"


def form(path: str, **values: str) -> Any:
    return Client(raise_request_exception=False).post(
        f"/oauth/{path}",
        "&".join(f"{k}={v}" for k, v in values.items()),
        content_type="application/x-www-form-urlencoded",
    )


def begin(client: str = "fleetctl") -> dict[str, Any]:
    answer = form("device_authorization", client_id=client)
    assert answer.status_code == 200, answer.content
    return answer.json()


def poll(code: str) -> Any:
    return form("token", grant_type=GRANT, device_code=code)


def error(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


def later(**values: float) -> Any:
    return time_machine.travel(clock.now() + timedelta(**values), tick=False)


def browser_of(member: Membership) -> Client:
    """A browser whose person has just signed in with a password."""
    client = Client(raise_request_exception=False)
    client.force_login(member.user)
    session = client.session
    session["account_authentication_methods"] = [{"method": "password", "at": time.time()}]
    session["account_authentication_methods_user"] = str(member.user_id)
    session.save()
    return client


def decide(browser: Client, code: str, decision: str = "approve", organization: Any = "") -> Any:
    values = {"user_code": code, "decision": decision, "organization": str(organization)}
    return browser.post("/device", values)


def test_a_person_approves_and_the_program_is_in(acme: Cast, erin_member: Membership) -> None:
    asked = begin()
    assert asked["verification_uri"].endswith("/device")
    assert error(poll(asked["device_code"])) == (400, "authorization_pending")
    browser = browser_of(erin_member)
    page = browser.get("/device", {"user_code": asked["user_code"].lower()})
    assert b"fleetctl" in page.content
    assert b"127.0.0.1" in page.content
    assert decide(browser, asked["user_code"], organization=acme.id).status_code == 200
    with later(seconds=6):
        given = poll(asked["device_code"])
    assert given.status_code == 200, given.content
    assert given["Cache-Control"] == "no-store"
    assert given.json()["token_type"] == "Bearer"
    me = Api(given.json()["access_token"]).get("auth/me").json()
    assert (me["email"], me["organization_slug"]) == ("erin@acme.test", "acme")
    with tenant(acme.id):
        actions = AuditEntry.objects.for_org(acme.id).values_list("action", flat=True)
        assert "accounts.approve_device_sign_in" in actions
    assert error(poll(asked["device_code"])) == (400, "invalid_grant")


def test_the_tokens_are_bound_to_the_approved_organization(
    acme: Cast, globex: Cast, erin_member: Membership
) -> None:
    factories.membership(globex.id, erin_member.user, Role.VIEWER)
    asked = begin()
    decide(browser_of(erin_member), asked["user_code"], organization=globex.id)
    token = poll(asked["device_code"]).json()["access_token"]
    assert Api(token).get("auth/me").json()["organization_slug"] == "globex"
    assert Api(token, **{"Fleetd-Organization": "acme"}).get("auth/me").status_code == 401


def test_nobody_approves_for_an_organization_that_is_not_theirs(
    acme: Cast, globex: Cast, erin_member: Membership
) -> None:
    asked = begin()
    for chosen in (globex.id, "globex", "", "nonsense"):
        answer = decide(browser_of(erin_member), asked["user_code"], organization=chosen)
        assert answer.status_code in (401, 302), answer.content
    assert DeviceAuthorization.objects.get().state == "pending"


def test_a_denied_program_gets_nothing(acme: Cast, erin_member: Membership) -> None:
    asked = begin()
    assert decide(browser_of(erin_member), asked["user_code"], "deny").status_code == 200
    assert error(poll(asked["device_code"])) == (400, "access_denied")


def test_codes_end_after_ten_minutes(acme: Cast, erin_member: Membership) -> None:
    asked = begin()
    with later(minutes=11):
        assert error(poll(asked["device_code"])) == (400, "expired_token")
        answer = decide(browser_of(erin_member), asked["user_code"], organization=acme.id)
        assert answer.status_code in (302, 400)
    assert DeviceAuthorization.objects.get().state == "pending"


def test_who_asks_too_often_is_slowed_down(db: None) -> None:
    code = begin()["device_code"]
    assert error(poll(code)) == (400, "authorization_pending")
    assert error(poll(code)) == (400, "slow_down")
    with later(seconds=6):
        assert error(poll(code)) == (400, "slow_down")
    with later(seconds=60):
        assert error(poll(code)) == (400, "authorization_pending")


@pytest.mark.parametrize("change", ["disabled", "left", "password"])
def test_an_approval_is_void_once_the_person_lost_access(
    acme: Cast, erin_member: Membership, change: str
) -> None:
    asked = begin()
    decide(browser_of(erin_member), asked["user_code"], organization=acme.id)
    if change == "disabled":
        User.objects.filter(id=erin_member.user_id).update(is_active=False)
    if change == "left":
        with tenant(acme.id):
            Membership.objects.for_org(acme.id).filter(id=erin_member.id).delete()
    if change == "password":
        erin_member.user.set_password("another horse battery staple")
        erin_member.user.save()
    assert error(poll(asked["device_code"])) == (400, "invalid_grant")


def test_the_page_needs_a_person_who_signed_in_recently(erin_member: Membership) -> None:
    asked = begin()
    stranger = Client()
    for answer in (
        stranger.get("/device", {"user_code": asked["user_code"]}),
        decide(stranger, asked["user_code"]),
    ):
        assert (answer.status_code, "/accounts/login" in answer["Location"]) == (302, True)
    stale = browser_of(erin_member)
    session = stale.session
    session["account_authentication_methods"] = [{"method": "password", "at": time.time() - 9000}]
    session.save()
    answer = decide(stale, asked["user_code"])
    assert (answer.status_code, "/accounts/confirm" in answer["Location"]) == (302, True)
    assert DeviceAuthorization.objects.get().state == "pending"


def test_forms_from_other_sites_approve_nothing(acme: Cast, erin_member: Membership) -> None:
    asked = begin()
    browser = browser_of(erin_member)
    browser.handler.enforce_csrf_checks = True
    assert decide(browser, asked["user_code"], organization=acme.id).status_code == 403


def test_user_codes_cannot_be_guessed_for_long(erin_member: Membership) -> None:
    browser = browser_of(erin_member)
    codes = [user_codes.new_user_code() for _ in range(12)]
    statuses = [browser.get("/device", {"user_code": code}).status_code for code in codes]
    assert statuses[0] == 400
    assert statuses[-1] == 429


def test_a_guesser_locks_out_nobody_else_at_the_same_address(
    erin_member: Membership, bob_member: Membership
) -> None:
    guesser, neighbour = browser_of(bob_member), browser_of(erin_member)
    for _ in range(11):
        last = guesser.get("/device", {"user_code": user_codes.new_user_code()})
    assert last.status_code == 429
    assert neighbour.get("/device", {"user_code": begin()["user_code"]}).status_code == 200


def test_codes_are_stored_as_hashes(db: None) -> None:
    asked = begin()
    stored = str(list(DeviceAuthorization.objects.values()))
    assert asked["device_code"] not in stored
    assert asked["user_code"].replace("-", "") not in stored


def test_refresh_and_revocation_speak_oauth(acme: Cast, erin_member: Membership) -> None:
    asked = begin()
    decide(browser_of(erin_member), asked["user_code"], organization=acme.id)
    first = poll(asked["device_code"]).json()
    again = form("token", grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert set(again.json()) == {"access_token", "token_type", "expires_in", "refresh_token"}
    for token in (again.json()["refresh_token"], "nonsense"):
        assert form("revoke", token=token).status_code == 200
    refused = form("token", grant_type="refresh_token", refresh_token=again.json()["refresh_token"])
    assert error(refused) == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("path", "values", "expected"),
    [
        ("token", {}, "invalid_request"),
        ("token", {"grant_type": "password"}, "unsupported_grant_type"),
        ("token", {"grant_type": GRANT}, "invalid_request"),
        ("token", {"grant_type": GRANT, "device_code": "x"}, "invalid_grant"),
        ("token", {"grant_type": GRANT, "device_code": "%00"}, "invalid_request"),
        ("token", {"grant_type": "refresh_token", "refresh_token": "x"}, "invalid_grant"),
        ("device_authorization", {}, "invalid_request"),
        ("revoke", {}, "invalid_request"),
    ],
)
def test_what_means_nothing_is_refused_in_oauths_words(
    db: None, path: str, values: dict[str, str], expected: str
) -> None:
    assert error(form(path, **values)) == (400, expected)


def test_doubled_parameters_and_other_bodies_are_refused(db: None) -> None:
    client = Client(raise_request_exception=False)
    doubled = client.post(
        "/oauth/token",
        "grant_type=password&grant_type=refresh_token",
        content_type="application/x-www-form-urlencoded",
    )
    assert error(doubled) == (400, "invalid_request")
    assert error(client.post("/oauth/token", {"grant_type": GRANT})) == (400, "invalid_request")
    for path in ("token", "revoke", "device_authorization"):
        assert client.get(f"/oauth/{path}").status_code == 405


def test_the_metadata_leads_to_addresses_that_answer(db: None) -> None:
    client = Client()
    document = client.get("/.well-known/oauth-authorization-server").json()
    assert GRANT in document["grant_types_supported"]
    keys = client.get("/.well-known/jwks.json")
    assert keys["Cache-Control"] == "public, max-age=300"
    assert len(keys.json()["keys"]) == 2
    for name in ("token_endpoint", "device_authorization_endpoint", "revocation_endpoint"):
        path = document[name].removeprefix(document["issuer"])
        assert client.post(path).status_code == 400
