"""API keys, from making to the end."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from apps.accounts.domain import secrets
from apps.accounts.errors import InvalidApiKey
from apps.accounts.models import ApiKey, User
from apps.accounts.permissions import CREATE_API_KEY
from apps.accounts.selectors import list_api_keys
from apps.accounts.services.api_keys import create_api_key, note_api_key_use, revoke_api_key
from apps.audit.models import AuditEntry
from apps.core import clock
from apps.core.actors import Actor, ActorKind, Call, Source, system_actor
from apps.core.authz import Role
from apps.core.errors import InvalidRequest, NotFound, PermissionDenied
from apps.core.ids import uuid7
from apps.core.pagination import PageRequest
from apps.core.tenancy import tenant
from apps.devices.permissions import UPDATE_DEVICE, VIEW_DEVICES
from apps.organizations.models import Membership
from apps.organizations.selectors import actor_for_api_key
from tests import factories
from tests.devices.support import actions
from tests.factories import Cast

CALL = Call(Source.REST, "192.0.2.1", "r-1")
in_acme = pytest.mark.usefixtures("in_acme")


def made(actor: Actor, **values: Any) -> str:
    with tenant(actor.organization_id):
        return create_api_key(actor, **{"name": "ci", **values}).secret


def test_a_key_acts_as_its_maker(acme: Cast, erin: Actor) -> None:
    actor = actor_for_api_key(made(erin), CALL)
    assert (actor.kind, actor.organization_id) == (ActorKind.API_KEY, acme.id)
    assert actor.user_id == erin.user_id
    assert actor.permissions == erin.permissions


def test_scopes_cut_a_keys_rights_and_never_add(erin: Actor, bob: Actor) -> None:
    wide = (VIEW_DEVICES.name, UPDATE_DEVICE.name)
    assert actor_for_api_key(made(erin, scopes=[VIEW_DEVICES.name]), CALL).permissions == {
        VIEW_DEVICES.name
    }
    assert actor_for_api_key(made(bob, scopes=wide), CALL).permissions == {VIEW_DEVICES.name}


def test_a_narrow_key_cannot_make_itself_a_wider_one(erin: Actor) -> None:
    narrow = actor_for_api_key(made(erin, scopes=[CREATE_API_KEY.name]), CALL)
    assert actor_for_api_key(made(narrow), CALL).permissions == {CREATE_API_KEY.name}
    with pytest.raises(PermissionDenied):
        made(narrow, scopes=[CREATE_API_KEY.name, VIEW_DEVICES.name])
    assert actor_for_api_key(made(erin), CALL).permissions == erin.permissions


def test_the_secret_is_stored_nowhere(acme: Cast, erin: Actor) -> None:
    secret = made(erin)
    with tenant(acme.id):
        assert secret not in str(list(ApiKey.objects.for_org(acme.id).values()))
        assert secret not in str(list(AuditEntry.objects.for_org(acme.id).values()))
        assert ApiKey.objects.for_org(acme.id).get().prefix == secret[:14]


def test_a_lowered_role_reaches_the_key_at_once(acme: Cast, erin_member: Membership) -> None:
    secret = factories.api_key(erin_member)
    with tenant(acme.id):
        Membership.objects.for_org(acme.id).update(role=Role.VIEWER)
    assert UPDATE_DEVICE.name not in actor_for_api_key(secret, CALL).permissions


@pytest.mark.parametrize("end", ["revoked", "expired", "disabled", "left"])
def test_a_key_that_has_ended_is_not_valid(acme: Cast, erin_member: Membership, end: str) -> None:
    erin = factories.actor(erin_member)
    secret = made(erin)
    with tenant(acme.id):
        key = ApiKey.objects.for_org(acme.id).get()
        if end == "revoked":
            revoke_api_key(erin, key.id)
        if end == "expired":
            ApiKey.objects.for_org(acme.id).update(expires_at=clock.now())
        if end == "disabled":
            User.objects.filter(id=erin.user_id).update(is_active=False)
        if end == "left":
            Membership.objects.for_org(acme.id).filter(user_id=erin.user_id).delete()
    with pytest.raises(InvalidApiKey):
        actor_for_api_key(secret, CALL)


def test_a_key_ends_after_ninety_days(erin: Actor) -> None:
    secret = made(erin)
    with time_machine.travel(clock.now() + timedelta(days=89), tick=False):
        actor_for_api_key(secret, CALL)
    with (
        time_machine.travel(clock.now() + timedelta(days=91), tick=False),
        pytest.raises(InvalidApiKey),
    ):
        actor_for_api_key(secret, CALL)


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["", "x", "fld_pat_" + "a" * 39, "\x00", "fld_pat_" * 1000])
def test_nonsense_is_refused_without_a_query(text: str, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0), pytest.raises(InvalidApiKey):
        actor_for_api_key(text, CALL)


@pytest.mark.django_db
def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(InvalidApiKey):
        actor_for_api_key(secrets.new_secret(secrets.API_KEY), CALL)


@in_acme
@pytest.mark.parametrize(
    "values",
    [
        {"name": " "},
        {"name": "x" * 101},
        {"scopes": ["devices.fly"]},
        {"lifetime": timedelta(days=400)},
        {"lifetime": timedelta(seconds=-1)},
    ],
)
def test_bad_values_are_refused(acme: Cast, erin: Actor, values: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        create_api_key(erin, **{"name": "ci", **values})
    assert not ApiKey.objects.for_org(acme.id).exists()


@in_acme
def test_only_people_have_keys(acme: Cast) -> None:
    with pytest.raises(PermissionDenied):
        create_api_key(system_actor(acme.id), name="ci")


@in_acme
def test_one_sees_and_revokes_ones_own_keys_only(acme: Cast, erin: Actor, bob: Actor) -> None:
    key = create_api_key(erin, name="ci").api_key
    assert list_api_keys(bob, PageRequest()).items == []
    assert [k.id for k in list_api_keys(erin, PageRequest()).items] == [key.id]
    for actor, key_id in ((bob, key.id), (erin, uuid7())):
        with pytest.raises(NotFound):
            revoke_api_key(actor, key_id)


@in_acme
def test_revoking_twice_is_one_act(acme: Cast, erin: Actor) -> None:
    key = create_api_key(erin, name="ci").api_key
    first = revoke_api_key(erin, key.id).revoked_at
    assert revoke_api_key(erin, key.id).revoked_at == first
    assert actions(acme.id) == ["accounts.create_api_key", "accounts.revoke_api_key"]


def test_keys_of_another_organization_are_not_found(
    acme: Cast, globex: Cast, erin: Actor, charlie: Actor
) -> None:
    with tenant(acme.id):
        key = create_api_key(erin, name="ci").api_key
    with tenant(globex.id), pytest.raises(NotFound):
        revoke_api_key(charlie, key.id)


def test_use_is_noted_once_a_minute(acme: Cast, erin: Actor) -> None:
    actor = actor_for_api_key(made(erin), CALL)
    at = clock.now()
    seen = []
    for seconds in (0, 30, 61):
        with time_machine.travel(at + timedelta(seconds=seconds), tick=False), tenant(acme.id):
            note_api_key_use(actor)
            seen.append(ApiKey.objects.for_org(acme.id).get().last_used_at)
    assert seen[0] == seen[1] < seen[2]


KINDS = st.sampled_from([secrets.API_KEY, secrets.ENROLLMENT_TOKEN, secrets.SERVICE_TOKEN])


@given(KINDS, st.data())
def test_a_secret_with_one_character_changed_is_not_well_formed(kind: str, data: Any) -> None:
    secret = secrets.new_secret(kind)
    assert secrets.is_well_formed(secret, kind)
    index = data.draw(st.integers(0, len(secret) - 1))
    other = data.draw(st.sampled_from(secrets.ALPHABET).filter(lambda c: c != secret[index]))
    changed = secret[:index] + other + secret[index + 1 :]
    assert not secrets.is_well_formed(changed, kind)


@given(KINDS, KINDS)
def test_a_secret_is_of_one_kind(kind: str, other: str) -> None:
    assert secrets.is_well_formed(secrets.new_secret(kind), other) == (kind == other)
