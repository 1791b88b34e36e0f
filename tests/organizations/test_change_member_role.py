"""Giving members another role: who may, how far, and that an owner stays."""

from uuid import UUID

import pytest

from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import Role
from apps.core.errors import InvalidRequest, NotFound, PermissionDenied
from apps.core.ids import uuid7
from apps.core.tenancy import tenant
from apps.organizations.errors import LastOwner
from apps.organizations.models import CustomRole, Membership
from apps.organizations.services.members import change_member_role, change_member_roles
from apps.organizations.services.service_accounts import create_service_account
from tests import factories
from tests.devices.support import events
from tests.factories import Cast
from tests.organizations.support import as_now, entries, roles
from tests.rest.conftest import Api

ACTION = "organizations.change_member_role"
in_acme = pytest.mark.usefixtures("in_acme")


@pytest.fixture
def admin_member(acme: Cast) -> Membership:
    """An administrator of acme."""
    return factories.membership(acme.id, factories.user("dora@acme.test"), Role.ADMIN)


@pytest.fixture
def custom(acme: Cast) -> CustomRole:
    """A role that lets its holders change roles, and see devices."""
    with tenant(acme.id):
        role = CustomRole(
            organization_id=acme.id,
            name="Helper",
            permissions=[ACTION, "organizations.remove_member", "devices.view_devices"],
            created_at=clock.now(),
        )
        role.save(force_insert=True)
    return role


@in_acme
def test_it_holds_from_the_next_call_on(acme: Cast, alice: Actor, bob_member: Membership) -> None:
    for _ in range(2):
        change_member_role(alice, bob_member.id, role="operator")
    assert as_now(bob_member).has_perm("devices.update_device")
    (entry,) = entries(acme, ACTION)
    assert entry.changes == {"email": "bob@acme.test", "role": ["viewer", "operator"]}
    assert len(events(acme.id, "member.role_changed")) == 1


@in_acme
def test_a_role_of_ones_own_can_be_given(
    alice: Actor, bob_member: Membership, custom: CustomRole
) -> None:
    changed = change_member_role(alice, bob_member.id, role="custom", custom_role_id=custom.id)
    assert changed.role_name == "Helper"
    assert as_now(bob_member).permissions == frozenset(custom.permissions)
    change_member_role(alice, bob_member.id, role="viewer")
    assert Membership.unscoped.get(id=bob_member.id).custom_role_id is None


@in_acme
@pytest.mark.parametrize(
    ("role", "custom_id"),
    [("king", ""), ("", ""), ("custom", ""), ("custom", "x"), ("viewer", str(UUID(int=7)))],
)
def test_a_role_that_is_none_is_refused(
    alice: Actor, bob_member: Membership, role: str, custom_id: str
) -> None:
    with pytest.raises(InvalidRequest):
        change_member_role(alice, bob_member.id, role=role, custom_role_id=custom_id)


@in_acme
def test_a_role_of_another_organization_is_no_role(
    globex: Cast, alice: Actor, bob_member: Membership
) -> None:
    with pytest.raises(InvalidRequest):
        change_member_role(alice, bob_member.id, role="custom", custom_role_id=uuid7())


@in_acme
def test_the_last_owner_stays_one(acme: Cast, alice: Actor, alice_member: Membership) -> None:
    with pytest.raises(LastOwner):
        change_member_role(alice, alice_member.id, role="admin")
    disabled = factories.user("gone@acme.test", is_active=False)
    factories.membership(acme.id, disabled, Role.OWNER)
    with pytest.raises(LastOwner):  # an owner who cannot sign in is no help
        change_member_role(alice, alice_member.id, role="admin")
    factories.membership(acme.id, factories.user(), Role.OWNER)
    assert change_member_role(alice, alice_member.id, role="admin").role == "admin"


@in_acme
def test_an_administrator_makes_and_touches_no_owner(
    acme: Cast, alice_member: Membership, bob_member: Membership, admin_member: Membership
) -> None:
    admin = factories.actor(admin_member)
    with pytest.raises(PermissionDenied):
        change_member_role(admin, bob_member.id, role="owner")
    with pytest.raises(PermissionDenied):
        change_member_role(admin, alice_member.id, role="viewer")
    assert roles(acme)["alice@acme.test"] == "owner"
    assert not entries(acme, ACTION)


@in_acme
def test_a_program_owns_nothing(acme: Cast, alice: Actor) -> None:
    made = create_service_account(alice, name="CI runner", role="viewer")
    with pytest.raises(InvalidRequest) as refused:
        change_member_role(alice, made.membership.id, role="owner")
    assert refused.value.fields[0].code == "not_an_owner"
    assert change_member_role(alice, made.membership.id, role="admin").role == "admin"


@in_acme
def test_nobody_gives_or_takes_more_than_they_hold(
    acme: Cast, bob_member: Membership, admin_member: Membership, custom: CustomRole
) -> None:
    helper = factories.membership(acme.id, factories.user("help@acme.test"), Role.VIEWER)
    Membership.unscoped.filter(id=helper.id).update(role="custom", custom_role=custom)
    actor = as_now(helper)
    with pytest.raises(PermissionDenied) as refused:
        change_member_role(actor, bob_member.id, role="operator")
    assert refused.value.code == "rights_exceed_own"
    with pytest.raises(PermissionDenied):
        change_member_role(actor, admin_member.id, role="member")
    assert roles(acme)["dora@acme.test"] == "admin"


@in_acme
@pytest.mark.parametrize("who", ["bob_member", "erin_member"])
def test_others_change_no_roles(
    who: str, alice_member: Membership, request: pytest.FixtureRequest
) -> None:
    actor = factories.actor(request.getfixturevalue(who))
    with pytest.raises(PermissionDenied):
        change_member_role(actor, alice_member.id, role="viewer")


def test_members_of_others_and_of_nobody_are_not_found(
    alice: Actor, charlie_member: Membership
) -> None:
    with tenant(alice.organization_id):
        for member_id in (charlie_member.id, uuid7()):
            with pytest.raises(NotFound):
                change_member_role(alice, member_id, role="viewer")


def test_several_at_once_each_stand_for_themselves(
    acme: Cast,
    alice: Actor,
    alice_member: Membership,
    bob_member: Membership,
    charlie_member: Membership,
) -> None:
    ids = [bob_member.id, alice_member.id, charlie_member.id, bob_member.id]
    with tenant(acme.id):
        results = change_member_roles(alice, ids, role="auditor")
    assert [r.failure.code if r.failure else "" for r in results] == ["", "last_owner", "not_found"]
    assert roles(acme) == {"alice@acme.test": "owner", "bob@acme.test": "auditor"}
    assert len(entries(acme, ACTION)) == 1


def test_rest_changes_one_and_several(
    acme: Cast, alice_member: Membership, bob_member: Membership
) -> None:
    api = Api(factories.api_key(alice_member))
    changed = api.patch(f"members/{bob_member.id}", role="deployer").json()
    assert (changed["role"], changed["email"]) == ("deployer", "bob@acme.test")
    body = {"ids": [str(bob_member.id), str(alice_member.id)], "role": "viewer"}
    results = api.post("members:change-role", **body).json()["results"]
    assert [r["code"] for r in results] == ["", "last_owner"]
    refused = api.patch(f"members/{alice_member.id}", role="viewer")
    assert (refused.status_code, refused.json()["code"]) == (409, "last_owner")
