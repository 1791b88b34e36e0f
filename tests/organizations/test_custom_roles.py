"""Roles of the organization's own making."""

import pytest

from apps.core.actors import Actor
from apps.core.authz import CUSTOM, RightsExceedOwn, Role
from apps.core.errors import InvalidRequest, NotFound, PermissionDenied
from apps.core.ids import uuid7
from apps.core.pagination import PageRequest
from apps.organizations.access import count_members_by_role, get_custom_role, list_custom_roles
from apps.organizations.errors import RoleIsHeld, RoleNameTaken
from apps.organizations.models import CustomRole, Membership
from apps.organizations.selectors import refreshed
from apps.organizations.services.members import change_member_role
from apps.organizations.services.roles import (
    create_custom_role,
    delete_custom_role,
    update_custom_role,
)
from tests import factories
from tests.devices.support import actions, events, roll_back
from tests.factories import Cast
from tests.rest.conftest import Api

pytestmark = pytest.mark.usefixtures("in_acme")
VIEW, RENAME = "devices.view_devices", "devices.update_device"
MAKE = "organizations.create_custom_role"
CHANGE = "organizations.update_custom_role"


@pytest.fixture(autouse=True)
def foreign_role(globex: Cast) -> CustomRole:
    """Made first: later the test works in acme."""
    return factories.custom_role(globex.id, "Theirs", VIEW)


def names(actor: Actor) -> list[str]:
    return [role.name for role in list_custom_roles(actor, PageRequest()).items]


def test_a_role_is_made_changed_and_deleted(acme: Cast, alice: Actor) -> None:
    role = create_custom_role(alice, name=" Night shift ", permissions=[VIEW, VIEW])
    assert (role.name, role.permissions, names(alice)) == ("Night shift", [VIEW], ["Night shift"])
    update_custom_role(alice, role.id, permissions=[VIEW, RENAME], description="After six")
    assert get_custom_role(alice, role.id).permissions == [RENAME, VIEW]
    delete_custom_role(alice, role.id)
    assert names(alice) == []
    assert actions(acme.id) == [
        "organizations.create_custom_role",
        "organizations.update_custom_role",
        "organizations.delete_custom_role",
    ]
    assert len(events(acme.id, "custom_role")) == 3


def test_changing_to_what_is_changes_nothing(acme: Cast, alice: Actor) -> None:
    role = create_custom_role(alice, name="Night shift", permissions=[VIEW, RENAME])
    update_custom_role(alice, role.id, name="Night shift", permissions=[VIEW, RENAME])
    assert len(actions(acme.id)) == 1


@pytest.mark.parametrize("name", ["", "x" * 61, "a\nb", "Owner", "custom"])
def test_a_role_needs_a_name_of_its_own(alice: Actor, name: str) -> None:
    with pytest.raises(InvalidRequest):
        create_custom_role(alice, name=name, permissions=[VIEW])


@pytest.mark.parametrize("name", ["devices.fly", "", "devices.register_device", "signed_in"])
def test_a_role_holds_only_what_somebody_can_hold(alice: Actor, name: str) -> None:
    with pytest.raises(InvalidRequest):
        create_custom_role(alice, name="Odd", permissions=[name])


def test_two_roles_cannot_have_one_name(alice: Actor) -> None:
    create_custom_role(alice, name="Night shift")
    other = create_custom_role(alice, name="Day shift")
    with pytest.raises(RoleNameTaken):
        create_custom_role(alice, name="Night shift")
    with pytest.raises(RoleNameTaken):
        update_custom_role(alice, other.id, name="Night shift")


def test_nobody_makes_a_role_that_holds_more_than_they_do(acme: Cast, alice: Actor) -> None:
    maker = factories.custom_role(acme.id, "Maker", MAKE, CHANGE, VIEW)
    mia = factories.membership(acme.id, factories.user("mia@acme.test"), Role.MEMBER)
    mia.role, mia.custom_role = CUSTOM, maker
    mia.save(update_fields=["role", "custom_role"])
    actor = factories.actor(mia)
    role = create_custom_role(actor, name="Watcher", permissions=[VIEW])
    with pytest.raises(RightsExceedOwn):
        create_custom_role(actor, name="Boss", permissions=[VIEW, RENAME])
    with pytest.raises(RightsExceedOwn):
        update_custom_role(actor, role.id, permissions=[VIEW, RENAME])
    with pytest.raises(RightsExceedOwn):  # nor the one that they hold themselves
        update_custom_role(actor, maker.id, permissions=[*maker.permissions, RENAME])
    # What was there before may stay.
    update_custom_role(alice, role.id, permissions=[VIEW, RENAME])
    assert update_custom_role(actor, role.id, permissions=[RENAME]).permissions == [RENAME]
    with pytest.raises(RightsExceedOwn):  # nor take away what they do not hold
        update_custom_role(actor, role.id, permissions=[VIEW])
    assert update_custom_role(alice, role.id, permissions=[VIEW]).permissions == [VIEW]


def test_lowering_a_role_shows_with_the_next_look(
    acme: Cast, alice: Actor, bob_member: Membership
) -> None:
    role = create_custom_role(alice, name="Night shift", permissions=[VIEW, RENAME])
    change_member_role(alice, bob_member.id, role=CUSTOM, custom_role_id=role.id)
    bob = refreshed(factories.actor(bob_member))
    assert bob.permissions == {VIEW, RENAME}
    update_custom_role(alice, role.id, permissions=[VIEW])
    assert refreshed(bob).permissions == {VIEW}


def test_a_role_that_somebody_holds_cannot_go(
    acme: Cast, alice: Actor, bob_member: Membership
) -> None:
    role = create_custom_role(alice, name="Night shift", permissions=[VIEW])
    change_member_role(alice, bob_member.id, role=CUSTOM, custom_role_id=role.id)
    assert count_members_by_role(alice)[str(role.id)] == 1
    with pytest.raises(RoleIsHeld):
        roll_back(acme.id, lambda: delete_custom_role(alice, role.id))
    change_member_role(alice, bob_member.id, role="viewer")
    team = factories.team(acme.id, "Lab")
    held = factories.team_member(team, bob_member.user, CUSTOM, role)
    with pytest.raises(RoleIsHeld):
        roll_back(acme.id, lambda: delete_custom_role(alice, role.id))
    held.delete()
    delete_custom_role(alice, role.id)


def test_an_operator_changes_no_roles(acme: Cast, erin: Actor) -> None:
    role = factories.custom_role(acme.id, "Night shift", VIEW)
    for attempt in (
        lambda: create_custom_role(erin, name="Mine"),
        lambda: update_custom_role(erin, role.id, name="Mine"),
        lambda: delete_custom_role(erin, role.id),
    ):
        with pytest.raises(PermissionDenied):
            attempt()
    assert names(erin) == ["Night shift"]


def test_foreign_and_missing_roles_are_not_found(alice: Actor, foreign_role: CustomRole) -> None:
    for role_id in (uuid7(), foreign_role.id):
        with pytest.raises(NotFound):
            get_custom_role(alice, role_id)
        with pytest.raises(NotFound):
            update_custom_role(alice, role_id, name="x")
        with pytest.raises(NotFound):
            delete_custom_role(alice, role_id)


def test_nothing_stays_of_a_role_that_was_rolled_back(acme: Cast, alice: Actor) -> None:
    roll_back(acme.id, lambda: create_custom_role(alice, name="Night shift"))
    assert (names(alice), actions(acme.id), events(acme.id)) == ([], [], [])


def test_an_empty_list_is_refused_rather_than_taken_for_none(
    acme: Cast, alice_member: Membership
) -> None:
    api = Api(factories.api_key(alice_member))
    role = factories.custom_role(acme.id, "Reader", "devices.view_devices")
    refused = api.patch(f"roles/{role.id}", permissions=[])
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, "empty_list")
    assert api.get(f"roles/{role.id}").json()["permissions"] == ["devices.view_devices"]
