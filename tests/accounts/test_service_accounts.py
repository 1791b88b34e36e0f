"""Accounts of programs: rights by role, keys, and no door through which they sign in."""

from typing import Any

import pytest
from django.db import IntegrityError, transaction

from apps.accounts.errors import InvalidApiKey
from apps.accounts.models import User
from apps.accounts.services.sign_in import find_person
from apps.core import clock
from apps.core.actors import Actor, Call, SignIn, Source
from apps.core.authz import RightsExceedOwn, Role
from apps.core.errors import InvalidRequest, NotFound, PermissionDenied
from apps.core.pagination import PageRequest
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from apps.organizations.selectors import actor_for_api_key
from apps.organizations.services import service_accounts as services
from tests import factories
from tests.factories import Cast
from tests.rest.conftest import Api

CALL = Call(Source.REST, "192.0.2.7", "r-1")


@pytest.fixture
def account(acme: Cast, alice: Actor) -> services.ServiceAccount:
    with tenant(acme.id):
        return services.create_service_account(alice, name="CI runner", role="operator")


def key_of(actor: Actor, account: services.ServiceAccount, **values: Any) -> str:
    with tenant(actor.organization_id):
        made = services.create_service_account_key(
            actor, account.user.id, **{"name": "ci", **values}
        )
    return made.secret


def test_a_key_acts_as_the_account(
    acme: Cast, alice: Actor, account: services.ServiceAccount
) -> None:
    actor = actor_for_api_key(key_of(alice, account), CALL)
    assert (actor.user_id, actor.role) == (account.user.id, "operator")
    assert Api(key_of(alice, account)).get("auth/me").json()["role"] == "operator"


def test_the_list_counts_keys_that_work(
    acme: Cast, alice: Actor, account: services.ServiceAccount
) -> None:
    key_of(alice, account)
    with tenant(acme.id):
        found = services.list_service_accounts(alice, PageRequest()).items
        assert [(a.user.name, a.key_count) for a in found] == [("CI runner", 1)]


def test_nobody_gives_an_account_more_than_they_have(
    acme: Cast, alice: Actor, erin: Actor, account: services.ServiceAccount
) -> None:
    admin = factories.actor(factories.membership(acme.id, factories.user(), Role.ADMIN))
    narrow = admin.narrowed(frozenset({"accounts.manage_service_accounts"}))
    with tenant(acme.id):
        with pytest.raises(PermissionDenied):
            services.create_service_account(erin, name="x", role="viewer")
        with pytest.raises(RightsExceedOwn):
            services.create_service_account(narrow, name="x", role="operator")
        with pytest.raises(RightsExceedOwn):
            services.create_service_account_key(narrow, account.user.id, name="x")
        with pytest.raises(RightsExceedOwn):
            services.delete_service_account(narrow, account.user.id)
        for role in ("owner", "king", "custom"):
            with pytest.raises(InvalidRequest):
                services.create_service_account(alice, name="x", role=role)


def test_disabling_stops_its_keys_and_enabling_brings_them_back(
    acme: Cast, alice: Actor, account: services.ServiceAccount
) -> None:
    secret = key_of(alice, account)
    with tenant(acme.id):
        for _ in range(2):
            services.disable_service_account(alice, account.user.id)
    with pytest.raises(InvalidApiKey):
        actor_for_api_key(secret, CALL)
    with tenant(acme.id):
        services.enable_service_account(alice, account.user.id)
    assert actor_for_api_key(secret, CALL)


def test_deleting_takes_everything_along(
    acme: Cast, alice: Actor, account: services.ServiceAccount
) -> None:
    secret = key_of(alice, account)
    with tenant(acme.id):
        services.delete_service_account(alice, account.user.id)
        with pytest.raises(NotFound):
            services.get_service_account(alice, account.user.id)
    with pytest.raises(InvalidApiKey):
        actor_for_api_key(secret, CALL)
    assert not User.objects.filter(kind="service").exists()


def test_people_and_other_organizations_accounts_are_not_found(
    acme: Cast, alice: Actor, erin: Actor, charlie: Actor, account: services.ServiceAccount
) -> None:
    with tenant(charlie.organization_id), pytest.raises(NotFound):
        services.get_service_account(charlie, account.user.id)
    with tenant(acme.id):
        for operation in (services.disable_service_account, services.delete_service_account):
            with pytest.raises(NotFound):
                operation(alice, erin.user_id)


def test_no_door_signs_a_service_account_in(alice: Actor, account: services.ServiceAccount) -> None:
    """S12 and S13: not by password, reset, token, nor with a session made by hand."""
    from apps.accounts.services.tokens import issue_tokens

    user = User.objects.get(id=account.user.id)
    assert find_person(user.email) is None
    answer = Api().post("auth/login", email=user.email, password="!")
    assert answer.status_code == 401
    sign_in = SignIn(clock.now(), frozenset({"password"}))
    with pytest.raises(PermissionDenied):
        issue_tokens(user, organization_id=None, sign_in=sign_in, call=CALL)
    browser = Api()
    browser.client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    assert browser.get("auth/me").status_code == 401
    user.set_password("correct horse battery staple")
    with pytest.raises(IntegrityError), transaction.atomic():
        user.save()


def test_rest_offers_all_of_it(acme: Cast, alice_member: Membership) -> None:
    api = Api(factories.api_key(alice_member))
    made = api.post("service-accounts", name="deployer", role="deployer")
    assert made.status_code == 201, made.content
    path = f"service-accounts/{made.json()['id']}"
    key = api.post(f"{path}/api-keys", name="ci", networks=["192.0.2.0/24"])
    assert key.status_code == 201, key.content
    assert key.json()["networks"] == ["192.0.2.0/24"]
    rotated = api.post(f"api-keys/{key.json()['id']}:rotate", overlap_seconds=3600)
    assert rotated.json()["secret"] != key.json()["secret"]
    assert rotated.json()["previous_works_until"]
    keys = api.get("api-keys", user_id=made.json()["id"]).json()["items"]
    assert [k["id"] for k in keys] == [key.json()["id"]]
    assert api.post(f"{path}:disable").json()["is_active"] is False
    assert api.post(f"{path}:enable").json()["is_active"] is True
    assert api.get("service-accounts").json()["items"][0]["key_count"] == 1
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404
