"""Networks, rotation and lineage of API keys: a key is never more than what made it."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine

from apps.accounts.domain import networks
from apps.accounts.errors import InvalidApiKey
from apps.accounts.models import ApiKey
from apps.accounts.permissions import CREATE_API_KEY, ROTATE_API_KEY
from apps.accounts.selectors import list_api_keys
from apps.accounts.services.api_keys import NewApiKey, create_api_key, revoke_api_key
from apps.audit.models import AuditEntry
from apps.core import clock
from apps.core.actors import Actor, Call, Source
from apps.core.errors import InvalidRequest, NotFound, PermissionDenied, WrongState
from apps.core.pagination import PageRequest
from apps.core.tenancy import tenant
from apps.devices.permissions import VIEW_DEVICES
from apps.organizations.selectors import actor_for_api_key
from apps.organizations.services.service_accounts import rotate_key
from tests.factories import Cast

INSIDE = Call(Source.REST, "192.0.2.7", "r-1")
OUTSIDE = Call(Source.REST, "198.51.100.7", "r-1")
in_acme = pytest.mark.usefixtures("in_acme")


def made(actor: Actor, **values: Any) -> NewApiKey:
    with tenant(actor.organization_id):
        return create_api_key(actor, **{"name": "ci", **values})


def rotated(actor: Actor, key: ApiKey, days: float = 0, **values: Any) -> NewApiKey:
    with tenant(actor.organization_id):
        return rotate_key(actor, key.id, overlap=timedelta(days=days), **values)


def later(**values: float) -> Any:
    return time_machine.travel(clock.now() + timedelta(**values), tick=False)


@pytest.mark.parametrize(
    ("blocks", "address", "works"),
    [
        ([], "198.51.100.7", True),
        (["192.0.2.0/24"], "192.0.2.7", True),
        (["192.0.2.0/24"], "192.0.3.7", False),
        (["192.0.2.7"], "192.0.2.7", True),
        (["2001:db8::/32"], "2001:db8:1::7", True),
        (["2001:db8::/32"], "192.0.2.7", False),
        (["192.0.2.0/24"], "::ffff:192.0.2.7", True),
        (["::ffff:192.0.2.0/120"], "192.0.2.7", True),
        (["192.0.2.0/24"], None, False),
        (["192.0.2.0/24"], "nonsense", False),
    ],
)
def test_networks_hold_addresses(blocks: list[str], address: str | None, works: bool) -> None:
    assert networks.holds(blocks, address) is works


def test_a_key_works_from_its_networks_only(erin: Actor) -> None:
    secret = made(erin, networks=["192.0.2.0/24"]).secret
    assert actor_for_api_key(secret, INSIDE).user_id == erin.user_id
    with pytest.raises(InvalidApiKey):
        actor_for_api_key(secret, OUTSIDE)


@in_acme
@pytest.mark.parametrize("text", ["", "x", "192.0.2.7/24", "300.1.1.1", "fe80::1%eth0", "1/8"])
def test_what_is_no_network_is_refused(erin: Actor, text: str) -> None:
    with pytest.raises(InvalidRequest):
        create_api_key(erin, name="ci", networks=[text])


def test_a_key_makes_none_that_outlives_it_or_works_from_elsewhere(erin: Actor) -> None:
    narrow = made(
        erin,
        scopes=[CREATE_API_KEY.name, VIEW_DEVICES.name],
        networks=["192.0.2.0/24"],
        lifetime=timedelta(days=10),
    )
    key = actor_for_api_key(narrow.secret, INSIDE)
    child = made(key).api_key
    assert child.expires_at <= narrow.api_key.expires_at
    assert child.networks == ["192.0.2.0/24"]
    assert set(child.scopes) == {CREATE_API_KEY.name, VIEW_DEVICES.name}
    assert made(key, networks=["192.0.2.128/25"], lifetime=timedelta(days=5)).secret
    for values in (
        {"lifetime": timedelta(days=11)},
        {"networks": ["192.0.0.0/16"]},
        {"networks": ["192.0.2.0/24", "198.51.100.0/24"]},
        {"networks": ["2001:db8::/32"]},
    ):
        with pytest.raises(PermissionDenied):
            made(key, **values)


def test_what_a_key_made_ends_with_it(erin: Actor) -> None:
    parent = made(erin)
    child = made(actor_for_api_key(parent.secret, INSIDE))
    grandchild = made(actor_for_api_key(child.secret, INSIDE))
    with tenant(erin.organization_id):
        revoke_api_key(erin, parent.api_key.id)
    for each in (parent, child, grandchild):
        with pytest.raises(InvalidApiKey):
            actor_for_api_key(each.secret, INSIDE)


def test_after_a_rotation_both_secrets_work_for_the_overlap(acme: Cast, erin: Actor) -> None:
    old = made(erin, lifetime=timedelta(days=30))
    with later(days=20):
        new = rotated(erin, old.api_key, days=2)
        assert new.api_key.id == old.api_key.id
        for secret in (old.secret, new.secret):
            assert actor_for_api_key(secret, INSIDE).id == old.api_key.id
    with later(days=23):
        assert actor_for_api_key(new.secret, INSIDE)
        with pytest.raises(InvalidApiKey):
            actor_for_api_key(old.secret, INSIDE)
    with later(days=49):
        assert actor_for_api_key(new.secret, INSIDE)
    with later(days=51), pytest.raises(InvalidApiKey):
        actor_for_api_key(new.secret, INSIDE)
    with tenant(acme.id):
        rows = AuditEntry.objects.for_org(acme.id).filter(action=ROTATE_API_KEY.name)
        assert rows.count() == 1


def test_without_overlap_the_old_secret_ends_at_once(erin: Actor) -> None:
    old = made(erin)
    new = rotated(erin, old.api_key)
    assert actor_for_api_key(new.secret, INSIDE)
    with pytest.raises(InvalidApiKey):
        actor_for_api_key(old.secret, INSIDE)


def test_an_ended_key_is_not_renewed_and_overlaps_are_bounded(erin: Actor, bob: Actor) -> None:
    key = made(erin, lifetime=timedelta(days=30)).api_key
    with pytest.raises(InvalidRequest):
        rotated(erin, key, days=7.1)
    with pytest.raises(NotFound):
        rotated(bob, key)
    with later(days=31), pytest.raises(WrongState):
        rotated(erin, key)
    with tenant(erin.organization_id):
        revoke_api_key(erin, key.id)
    with pytest.raises(WrongState):
        rotated(erin, key)


def test_a_key_cannot_take_over_another_one_nor_prolong_itself(erin: Actor) -> None:
    wide = made(erin)
    narrow = made(erin, scopes=[ROTATE_API_KEY.name], lifetime=timedelta(days=5))
    thief = actor_for_api_key(narrow.secret, INSIDE)
    with pytest.raises(PermissionDenied):
        rotated(thief, wide.api_key)
    with pytest.raises(PermissionDenied):
        rotated(thief, narrow.api_key, lifetime=timedelta(days=6))
    assert rotated(thief, narrow.api_key).api_key.expires_at <= narrow.api_key.expires_at


def test_administrators_see_and_revoke_everybodys_keys(
    acme: Cast, alice: Actor, erin: Actor, bob: Actor
) -> None:
    key = made(erin).api_key
    with tenant(acme.id):
        assert [k.id for k in list_api_keys(alice, PageRequest(), everybody=True).items] == [key.id]
        for values in ({"everybody": True}, {"user_id": erin.user_id}):
            with pytest.raises(PermissionDenied):
                list_api_keys(bob, PageRequest(), **values)
        with pytest.raises(NotFound):
            revoke_api_key(bob, key.id)
        assert revoke_api_key(alice, key.id).revoked_at


def test_where_a_key_was_used_is_remembered(acme: Cast, erin: Actor) -> None:
    from apps.organizations.services.authentication import authenticate_caller

    secret = made(erin).secret
    authenticate_caller(INSIDE, secret)
    with tenant(acme.id):
        assert ApiKey.objects.for_org(acme.id).get().last_used_address == "192.0.2.7"
