"""The typed settings of an organization: what they hold, who changes them, and what is refused."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core.actors import Actor
from apps.core.authz import Role
from apps.core.errors import InvalidRequest, OrganizationSuspended, PermissionDenied
from apps.core.tenancy import tenant
from apps.organizations.domain.settings import KEYS, BadSetting, clean, value, values
from apps.organizations.management.commands.organization_settings_reference import reference
from apps.organizations.models import Membership
from apps.organizations.services.settings import may_change, update_organization_settings
from tests import factories
from tests.factories import Cast
from tests.organizations.support import as_now, entries, set_status
from tests.rest.conftest import Api

in_acme = pytest.mark.usefixtures("in_acme")
ORIGINS = KEYS["cors.allowed_origins"]
NETWORKS = KEYS["security.allowed_networks"]
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("name", KEYS)
@given(stored=ANY_JSON)
def test_whatever_is_stored_reads_as_something_sound(name: str, stored: Any) -> None:
    found = value(SimpleNamespace(settings={name: stored}), name)
    assert clean(KEYS[name], found) == found


@pytest.mark.parametrize("name", KEYS)
def test_every_default_is_a_value_that_could_be_set(name: str) -> None:
    assert clean(KEYS[name], KEYS[name].default) == KEYS[name].default


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("https://app.example.com", "https://app.example.com"),
        ("https://App.Example.com:443/", "https://app.example.com"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
    ],
)
def test_an_origin_is_kept_as_browsers_send_it(typed: str, kept: str) -> None:
    assert clean(ORIGINS, [typed, typed]) == [kept]


@pytest.mark.parametrize(
    "typed",
    ["*", "null", "https://*.example.com", "https://a.example/x", "https://u@a.example", "a.b"]
    + ["javascript:alert(1)", "https://", "https://a..b", "https://a.example?x", "ftp://a.b", ""],
)
def test_what_is_no_origin_is_refused(typed: str) -> None:
    with pytest.raises(BadSetting):
        clean(ORIGINS, [typed])


def test_networks_are_kept_in_one_spelling() -> None:
    typed = ["192.0.2.17/24", "2001:DB8::/32", "192.0.2.0/24"]
    assert clean(NETWORKS, typed) == ["192.0.2.0/24", "2001:db8::/32"]
    with pytest.raises(BadSetting):
        clean(NETWORKS, ["192.0.2.0/33"])


@in_acme
def test_an_administrator_sets_what_is_not_security(acme: Cast, erin_member: Membership) -> None:
    admin = factories.actor(factories.membership(acme.id, factories.user(), Role.ADMIN))
    for _ in range(2):
        changed = update_organization_settings(
            admin, {"cors.allowed_origins": ["https://a.example"]}
        )
    assert value(changed, "cors.allowed_origins") == ["https://a.example"]
    (entry,) = entries(acme, "organizations.update_organization_settings")
    assert entry.changes == {"cors.allowed_origins": [[], ["https://a.example"]]}
    with pytest.raises(PermissionDenied):
        update_organization_settings(admin, {"security.require_mfa": True})


@in_acme
def test_all_or_nothing_is_set_and_every_bad_key_is_named(acme: Cast, alice: Actor) -> None:
    with pytest.raises(InvalidRequest) as refused:
        update_organization_settings(
            alice,
            {"security.idle_minutes": 10, "security.session_hours": -1, "nonsense": 1},
        )
    assert {item.field for item in refused.value.fields} == {"security.session_hours", "nonsense"}
    acme.organization.refresh_from_db()
    assert value(acme.organization, "security.idle_minutes") == 0
    assert not entries(acme, "organizations.update_organization_settings")


@in_acme
def test_an_owner_cannot_raise_the_quotas(acme: Cast, alice: Actor) -> None:
    with pytest.raises(PermissionDenied):
        update_organization_settings(alice, {"quotas.devices": 1_000_000})
    assert not may_change(alice, "quotas.devices")


@in_acme
def test_a_superuser_sets_quotas_and_takes_them_away(acme: Cast, alice_member: Membership) -> None:
    alice_member.user.is_superuser = True
    alice_member.user.save()
    boss = factories.actor(alice_member)
    update_organization_settings(boss, {"quotas.devices": 5})
    changed = update_organization_settings(boss, {"quotas.devices": None})
    assert values(changed)["quotas.devices"] is None
    assert len(entries(acme, "organizations.update_organization_settings")) == 2


@in_acme
@pytest.mark.parametrize("who", ["bob_member", "erin_member"])
def test_others_change_nothing(who: str, request: pytest.FixtureRequest) -> None:
    actor = factories.actor(request.getfixturevalue(who))
    with pytest.raises(PermissionDenied):
        update_organization_settings(actor, {"cors.allowed_origins": []})


def test_nothing_is_set_while_the_organization_is_suspended(
    acme: Cast, alice_member: Membership
) -> None:
    set_status(acme, "suspended")
    with tenant(acme.id), pytest.raises(OrganizationSuspended):
        update_organization_settings(as_now(alice_member), {"cors.allowed_origins": []})


def test_rest_shows_sets_and_resets_them(
    acme: Cast, globex: Cast, alice_member: Membership
) -> None:
    api = Api(factories.api_key(alice_member))
    address = f"organizations/{acme.id}/settings"
    before = api.get(address).json()
    assert before["security"]["password_min_length"] == 12
    assert before["quotas"]["devices"] is None
    body = {"security": {"idle_minutes": 30}, "cors": {"allowed_origins": ["https://a.example"]}}
    changed = api.patch(address, **body).json()
    assert changed["security"]["idle_minutes"] == 30
    assert changed["cors"]["allowed_origins"] == ["https://a.example"]
    reset = api.patch(address, reset=["cors.allowed_origins"]).json()
    assert reset["cors"]["allowed_origins"] == []
    assert reset["security"]["idle_minutes"] == 30
    unknown = api.patch(address, reset=["cors.nothing"])
    assert (unknown.status_code, unknown.json()["code"]) == (400, "invalid_request")
    foreign = f"organizations/{globex.id}/settings"
    assert api.patch(foreign, reset=["cors.allowed_origins"]).status_code == 404
    assert api.get(f"organizations/{globex.id}/settings").status_code == 404


def test_the_reference_is_what_the_keys_say() -> None:
    page = Path(__file__).parents[2] / "docs/reference/organization-settings.md"
    assert page.read_text() == reference()
