"""Signing a program in and out over REST, and what its tokens are good for."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine

from apps.accounts.models import RefreshFamily, User
from apps.accounts.services.tokens import sign_out_everywhere
from apps.audit.models import AuditEntry
from apps.core import clock
from apps.core.authz import Role
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from apps.organizations.services.authentication import forget_callers
from tests import factories
from tests.factories import PASSWORD, Cast
from tests.rest.conftest import Api


def login(email: str = "erin@acme.test", **body: Any) -> Any:
    return Api().post("auth/login", **{"email": email, "password": PASSWORD, **body})


def bearer(token: str, **headers: str) -> Api:
    return Api(token, **headers)


def refreshed(token: str) -> Any:
    return Api().post("auth/refresh", refresh_token=token)


def actions(acme: Cast) -> list[tuple[str, str]]:
    with tenant(acme.id):
        rows = AuditEntry.objects.for_org(acme.id).order_by("sequence")
        return list(rows.values_list("action", "result"))


def test_a_password_gives_tokens_and_they_work(acme: Cast, erin_member: Membership) -> None:
    answer = login(client="laptop")
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert set(body) == {"access_token", "refresh_token", "expires_in", "user", "organization"}
    assert body["expires_in"] == 600
    assert body["user"] == {"id": str(erin_member.user_id), "email": "erin@acme.test", "name": ""}
    assert body["organization"]["slug"] == "acme"
    assert body["refresh_token"].startswith("fld_ref_")
    assert answer["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer
    me = bearer(body["access_token"]).get("auth/me")
    assert me.status_code == 200
    assert (me.json()["email"], me.json()["role"]) == ("erin@acme.test", "operator")
    assert ("accounts.sign_in", "success") in actions(acme)


def test_a_token_changes_things_without_a_csrf_token(acme: Cast, erin_member: Membership) -> None:
    api = bearer(login().json()["access_token"])
    assert api.patch(f"devices/{acme.device.id}", name="renamed").status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"password": "wrong"}, 401, "invalid_credentials"),
        ({"email": "nobody@acme.test"}, 401, "invalid_credentials"),
        ({"organization": "globex"}, 401, "no_organization"),
        ({"password": ""}, 400, "invalid_request"),
        ({"email": ""}, 400, "invalid_request"),
        ({"email": ["x"]}, 400, "invalid_request"),
        ({"sudo": True}, 400, "invalid_request"),
    ],
)
def test_what_is_no_sign_in_gives_no_token(
    erin_member: Membership, globex: Cast, body: dict[str, Any], status: int, code: str
) -> None:
    answer = login(**body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert not RefreshFamily.objects.exists()


def test_somebody_of_two_organizations_says_which_with_each_call(
    acme: Cast, globex: Cast, erin_member: Membership
) -> None:
    factories.membership(globex.id, erin_member.user, Role.VIEWER)
    body = login().json()
    assert body["organization"] is None
    token = body["access_token"]
    assert bearer(token).get("auth/me").json()["code"] == "organization_required"
    for slug, role in (("acme", "operator"), ("globex", "viewer")):
        me = bearer(token, **{"Fleetd-Organization": slug}).get("auth/me").json()
        assert (me["organization_slug"], me["role"]) == (slug, role)
    elsewhere = bearer(token, **{"Fleetd-Organization": "nowhere"}).get("auth/me")
    assert elsewhere.json()["code"] == "no_organization"


def test_a_bound_token_works_in_its_organization_only(
    acme: Cast, globex: Cast, erin_member: Membership
) -> None:
    factories.membership(globex.id, erin_member.user, Role.VIEWER)
    token = login(organization="acme").json()["access_token"]
    for named, status in (("", 200), ("acme", 200), (str(acme.id), 200), ("globex", 401)):
        headers = {"Fleetd-Organization": named} if named else {}
        assert bearer(token, **headers).get("auth/me").status_code == status


def test_a_refresh_token_is_no_access_token_and_the_reverse(erin_member: Membership) -> None:
    body = login().json()
    assert bearer(body["refresh_token"]).get("auth/me").json()["code"] == "invalid_token"
    assert refreshed(body["access_token"]).status_code == 400  # far too long to be one


def test_an_access_token_ends_after_ten_minutes_and_refreshing_goes_on(
    erin_member: Membership,
) -> None:
    body = login().json()
    with time_machine.travel(clock.now() + timedelta(minutes=11), tick=False):
        forget_callers()
        assert bearer(body["access_token"]).get("auth/me").json()["code"] == "invalid_token"
        again = refreshed(body["refresh_token"])
        assert again.status_code == 200
        assert bearer(again.json()["access_token"]).get("auth/me").status_code == 200


def test_reuse_ends_the_sign_in_and_is_audited(acme: Cast, erin_member: Membership) -> None:
    body = login().json()
    with time_machine.travel(clock.now() + timedelta(minutes=1), tick=False):
        thief = refreshed(body["refresh_token"]).json()
    with time_machine.travel(clock.now() + timedelta(minutes=2), tick=False):
        again = refreshed(body["refresh_token"])
        assert (again.status_code, again.json()["code"]) == (401, "invalid_refresh_token")
        forget_callers()
        for token in (body["access_token"], thief["access_token"]):
            assert bearer(token).get("auth/me").json()["code"] == "invalid_token"
        assert refreshed(thief["refresh_token"]).status_code == 401
    assert actions(acme).count(("accounts.refresh_token_reused", "success")) == 1


def test_signing_out_ends_the_family(acme: Cast, erin_member: Membership) -> None:
    body = login().json()
    other = login().json()
    api = bearer(body["access_token"])
    assert api.post("auth/logout").status_code == 200
    forget_callers()
    assert api.get("auth/me").json()["code"] == "invalid_token"
    assert refreshed(body["refresh_token"]).status_code == 401
    assert bearer(other["access_token"]).get("auth/me").status_code == 200
    assert ("accounts.sign_out", "success") in actions(acme)


def test_an_api_key_cannot_sign_anybody_out(erin_member: Membership) -> None:
    api = Api(factories.api_key(erin_member))
    for path in ("auth/logout", "auth/logout-everywhere"):
        assert api.post(path).status_code == 403


def test_signing_out_everywhere_ends_programs_and_browsers(erin_member: Membership) -> None:
    first, second = login().json(), login().json()
    browser = Api()
    browser.client.force_login(erin_member.user)
    key = Api(factories.api_key(erin_member))
    assert bearer(first["access_token"]).post("auth/logout-everywhere").status_code == 200
    forget_callers()
    for body in (first, second):
        assert bearer(body["access_token"]).get("auth/me").status_code == 401
        assert refreshed(body["refresh_token"]).status_code == 401
    assert browser.get("auth/me").json()["code"] == "unauthenticated"
    assert key.get("auth/me").status_code == 200


def test_one_sees_and_ends_ones_own_sign_ins(
    erin_member: Membership, bob_member: Membership
) -> None:
    mine, other = login(client="laptop").json(), login(client="server").json()
    api = bearer(mine["access_token"])
    items = api.get("auth/sessions").json()["items"]
    assert [(i["client"], i["is_current"]) for i in items] == [("server", False), ("laptop", True)]
    assert items[0]["organization"] == "acme"
    bob = bearer(login("bob@acme.test").json()["access_token"])
    assert bob.post(f"auth/sessions/{items[0]['id']}:revoke").status_code == 404
    for _ in range(2):
        assert api.post(f"auth/sessions/{items[0]['id']}:revoke").status_code == 200
    forget_callers()
    assert bearer(other["access_token"]).get("auth/me").status_code == 401
    assert [i["client"] for i in api.get("auth/sessions").json()["items"]] == ["laptop"]


def test_a_key_tells_nothing_of_its_persons_sign_ins(globex: Cast, erin_member: Membership) -> None:
    factories.membership(globex.id, erin_member.user, Role.VIEWER)
    login(client="laptop", organization="globex")
    answer = Api(factories.api_key(erin_member)).get("auth/sessions")
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    assert b"globex" not in answer.content


@pytest.mark.parametrize("change", ["disabled", "left", "password", "everywhere"])
def test_a_change_shows_once_the_process_has_forgotten(
    acme: Cast, erin_member: Membership, change: str
) -> None:
    body = login().json()
    api = bearer(body["access_token"])
    assert api.get("auth/me").status_code == 200
    person = erin_member.user
    if change == "disabled":
        User.objects.filter(id=person.id).update(is_active=False)
    if change == "left":
        with tenant(acme.id):
            Membership.objects.for_org(acme.id).filter(user=person).delete()
    if change == "password":
        person.set_password("another horse battery staple")
        person.save()
    if change == "everywhere":
        sign_out_everywhere(person)
    forget_callers()
    assert api.get("auth/me").status_code == 401
    assert refreshed(body["refresh_token"]).status_code == 401


def test_a_call_with_a_token_that_was_just_used_reads_nothing(
    erin_member: Membership, django_assert_num_queries: Any
) -> None:
    from apps.core.actors import Call, Source
    from apps.organizations.services.authentication import authenticate_caller

    token = login().json()["access_token"]
    call = Call(Source.REST, "192.0.2.1", "r-1")
    first = authenticate_caller(call, token)
    with django_assert_num_queries(0):
        assert authenticate_caller(call, token) == first
