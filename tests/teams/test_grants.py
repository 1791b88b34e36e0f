"""Rights on single objects, and which team owns a group."""

import pytest

from apps.core.actors import Actor
from apps.core.authz import RightsExceedOwn, Role
from apps.core.errors import InvalidRequest, NotFound, PermissionDenied
from apps.core.ids import uuid7
from apps.core.pagination import PageRequest
from apps.devices.access import GrantObject, list_access_grants
from apps.devices.models import DeviceGroup
from apps.devices.selectors import get_device, list_devices
from apps.devices.selectors.places import place_of, place_of_group
from apps.devices.services.grants import grant_access, revoke_access
from apps.devices.services.groups import delete_device_group
from apps.devices.services.ownership import give_group_to_team, take_group_from_team
from apps.organizations.models import Membership
from apps.organizations.services.members import add_member, remove_member
from apps.teams.errors import NotAMember
from apps.teams.models import Team
from apps.teams.services.teams import delete_team
from tests import factories
from tests.devices.support import actions, events, roll_back
from tests.factories import Cast
from tests.teams.support import now, person

pytestmark = pytest.mark.usefixtures("in_acme")
VIEW, RENAME = "devices.view_devices", "devices.update_device"


@pytest.fixture(autouse=True)
def foreign(globex: Cast) -> tuple[DeviceGroup, Team]:
    """Made first: later the test works in acme."""
    return globex.group, factories.team(globex.id, "Theirs")


@pytest.fixture
def ana(acme: Cast) -> Membership:
    return person(acme.id, "ana@acme.test")


@pytest.fixture
def group(acme: Cast) -> GrantObject:
    return GrantObject("device_group", acme.group.id)


def test_a_right_on_a_group_reaches_its_devices_and_no_others(
    acme: Cast, alice: Actor, ana: Membership, group: GrantObject
) -> None:
    grant_access(alice, user_id=ana.user_id, on=group, permissions=[VIEW])
    actor = now(ana)
    assert [d.name for d in list_devices(actor, PageRequest()).items] == ["acme-one"]
    with pytest.raises(NotFound):
        get_device(actor, acme.devices[1].id)
    assert actor.grants[0].because == "granted on the group acme-group"
    assert not actor.may(RENAME, place_of(acme.device))
    grant_access(alice, user_id=ana.user_id, on=group, permissions=[RENAME])
    assert now(ana).may(RENAME, place_of(acme.device))
    revoke_access(alice, user_id=ana.user_id, on=group, permissions=[RENAME])
    assert not now(ana).may(RENAME, place_of(acme.device))
    revoke_access(alice, user_id=ana.user_id, on=group)
    assert now(ana).grants == ()
    assert actions(acme.id) == ["devices.grant_access"] * 2 + ["devices.revoke_access"] * 2
    assert len(events(acme.id, "devices.access")) == 4


def test_a_right_on_a_team_reaches_the_groups_that_it_owns(
    acme: Cast, alice: Actor, ana: Membership
) -> None:
    team = factories.team(acme.id, "Lab", acme.group)
    on = GrantObject("team", team.id)
    grant_access(alice, user_id=ana.user_id, on=on, permissions=[VIEW])
    assert now(ana).may(VIEW, place_of(acme.device))
    take_group_from_team(alice, acme.group.id)
    assert not now(ana).may(VIEW, place_of(acme.device))


def test_a_right_in_the_organization_holds_everywhere(
    acme: Cast, alice: Actor, ana: Membership
) -> None:
    on = GrantObject("organization", acme.id)
    grant_access(alice, user_id=ana.user_id, on=on, permissions=[VIEW, "audit.view_entries"])
    actor = now(ana)
    assert actor.has_perm(VIEW)
    assert actor.has_perm("audit.view_entries")
    assert actor.reach(VIEW) is None


def test_a_role_stands_for_what_it_holds_there_at_this_moment(
    acme: Cast, alice: Actor, ana: Membership, group: GrantObject
) -> None:
    grant = grant_access(alice, user_id=ana.user_id, on=group, role="viewer")
    assert VIEW in grant.permissions
    assert "organizations.view_members" not in grant.permissions
    own = factories.custom_role(acme.id, "Night shift", RENAME)
    more = grant_access(alice, user_id=ana.user_id, on=group, role="custom", custom_role_id=own.id)
    assert set(more.permissions) == {*grant.permissions, RENAME}


def test_granting_and_revoking_twice_changes_nothing(
    acme: Cast, alice: Actor, ana: Membership, group: GrantObject
) -> None:
    grant_access(alice, user_id=ana.user_id, on=group, permissions=[VIEW])
    grant_access(alice, user_id=ana.user_id, on=group, permissions=[VIEW])
    revoke_access(alice, user_id=ana.user_id, on=group, permissions=[RENAME])
    revoke_access(alice, user_id=ana.user_id, on=group)
    revoke_access(alice, user_id=ana.user_id, on=group)
    assert actions(acme.id) == ["devices.grant_access", "devices.revoke_access"]


@pytest.mark.parametrize(
    "names",
    [[], ["devices.fly"], ["organizations.add_member"], ["teams.view_teams"], [VIEW, "x"]],
)
def test_only_what_means_something_there_can_be_given(
    alice: Actor, ana: Membership, group: GrantObject, names: list[str]
) -> None:
    with pytest.raises(InvalidRequest):
        grant_access(alice, user_id=ana.user_id, on=group, permissions=names)


def test_rights_are_given_to_members_only(alice: Actor, group: GrantObject) -> None:
    for user_id in (factories.user().id, uuid7()):
        with pytest.raises(NotAMember):
            grant_access(alice, user_id=user_id, on=group, permissions=[VIEW])


def test_nobody_gives_more_than_they_hold(acme: Cast, ana: Membership, group: GrantObject) -> None:
    giver = person(acme.id, "giver@acme.test")
    giver.role = "custom"
    giver.custom_role = factories.custom_role(
        acme.id, "Giver", VIEW, "devices.grant_access", "devices.give_group_to_team",
        "devices.revoke_access",
    )  # fmt: skip
    giver.save(update_fields=["role", "custom_role"])
    actor = now(giver)
    grant_access(actor, user_id=ana.user_id, on=group, permissions=[VIEW])
    with pytest.raises(RightsExceedOwn):
        grant_access(actor, user_id=ana.user_id, on=group, permissions=[RENAME])
    with pytest.raises(RightsExceedOwn):
        grant_access(actor, user_id=giver.user_id, on=group, role="admin")
    # Giving a group to a team gives its people what their roles hold.
    team = factories.team(acme.id, "Lab")
    factories.team_member(team, ana.user, Role.OPERATOR)
    with pytest.raises(RightsExceedOwn):
        give_group_to_team(actor, acme.group.id, team.id)
    watchers = factories.team(acme.id, "Watchers")
    factories.team_member(watchers, ana.user, "custom", factories.custom_role(acme.id, "W", VIEW))
    assert give_group_to_team(actor, acme.group.id, watchers.id).team_id == watchers.id


def test_an_operator_gives_nothing(
    acme: Cast, erin: Actor, ana: Membership, group: GrantObject
) -> None:
    team = factories.team(acme.id, "Lab")
    for attempt in (
        lambda: grant_access(erin, user_id=ana.user_id, on=group, permissions=[VIEW]),
        lambda: revoke_access(erin, user_id=ana.user_id, on=group),
        lambda: give_group_to_team(erin, acme.group.id, team.id),
        lambda: take_group_from_team(erin, acme.group.id),
        lambda: list_access_grants(erin, PageRequest()),
    ):
        with pytest.raises(PermissionDenied):
            attempt()


def test_foreign_and_missing_objects_are_not_found(
    acme: Cast, alice: Actor, ana: Membership, foreign: tuple[DeviceGroup, Team]
) -> None:
    their_group, their_team = foreign
    team = factories.team(acme.id, "Lab")
    for on in (
        GrantObject("device_group", their_group.id),
        GrantObject("team", their_team.id),
        GrantObject("organization", their_group.organization_id),
        GrantObject("device", acme.device.id),
        GrantObject("team", uuid7()),
    ):
        with pytest.raises(NotFound):
            grant_access(alice, user_id=ana.user_id, on=on, permissions=[VIEW])
        with pytest.raises(NotFound):
            revoke_access(alice, user_id=ana.user_id, on=on)
    with pytest.raises(NotFound):
        give_group_to_team(alice, acme.group.id, their_team.id)
    with pytest.raises(NotFound):
        give_group_to_team(alice, their_group.id, team.id)
    with pytest.raises(NotFound):
        take_group_from_team(alice, their_group.id)


def test_grants_are_listed_by_object_and_by_person(
    acme: Cast, alice: Actor, ana: Membership, bob_member: Membership, group: GrantObject
) -> None:
    grant_access(alice, user_id=ana.user_id, on=group, permissions=[VIEW, RENAME])
    grant_access(alice, user_id=bob_member.user_id, on=group, permissions=[RENAME])
    on = GrantObject("organization", acme.id)
    grant_access(alice, user_id=ana.user_id, on=on, permissions=[VIEW])
    assert len(list_access_grants(alice, PageRequest()).items) == 3
    of_ana = list_access_grants(alice, PageRequest(), user_id=ana.user_id).items
    assert {(g.kind, g.object_name, g.permissions) for g in of_ana} == {
        ("device_group", "acme-group", (RENAME, VIEW)),
        ("organization", "Acme", (VIEW,)),
    }
    here = list_access_grants(alice, PageRequest(size=1), on=group)
    rest = list_access_grants(alice, PageRequest(size=1, token=here.next_page_token), on=group)
    assert {here.items[0].email, rest.items[0].email} == {"ana@acme.test", "bob@acme.test"}
    assert rest.next_page_token == ""


def test_leaving_the_organization_ends_all_grants_for_good(
    acme: Cast, alice: Actor, ana: Membership, group: GrantObject
) -> None:
    for on in (group, GrantObject("organization", acme.id)):
        grant_access(alice, user_id=ana.user_id, on=on, permissions=[VIEW])
    remove_member(alice, ana.id)
    again = add_member(alice, ana.user, role=Role.MEMBER)
    assert now(again).grants == ()
    assert now(again).permissions.isdisjoint({VIEW})
    assert actions(acme.id).count("devices.revoke_access") == 2


def test_grants_go_with_their_object(
    acme: Cast, alice: Actor, ana: Membership, group: GrantObject
) -> None:
    team = factories.team(acme.id, "Lab")
    for on in (group, GrantObject("team", team.id)):
        grant_access(alice, user_id=ana.user_id, on=on, permissions=[VIEW])
    delete_device_group(alice, acme.group.id)
    delete_team(alice, team.id)
    assert list_access_grants(alice, PageRequest()).items == []


def test_a_group_is_given_to_a_team_moved_and_taken(
    acme: Cast, alice: Actor, ana: Membership
) -> None:
    lab, field = factories.team(acme.id, "Lab"), factories.team(acme.id, "Field")
    factories.team_member(lab, ana.user, Role.VIEWER)
    give_group_to_team(alice, acme.group.id, lab.id)
    give_group_to_team(alice, acme.group.id, lab.id)
    assert now(ana).may(VIEW, place_of(acme.device))
    moved = give_group_to_team(alice, acme.group.id, field.id)
    assert place_of_group(moved).team_ids == {field.id}
    assert not now(ana).may(VIEW, place_of(acme.device))
    take_group_from_team(alice, acme.group.id)
    assert take_group_from_team(alice, acme.group.id).team_id is None
    assert actions(acme.id) == [
        "devices.give_group_to_team",
        "devices.give_group_to_team",
        "devices.take_group_from_team",
    ]


def test_nothing_stays_of_what_was_rolled_back(
    acme: Cast, alice: Actor, ana: Membership, group: GrantObject
) -> None:
    roll_back(
        acme.id,
        lambda: grant_access(alice, user_id=ana.user_id, on=group, permissions=[VIEW]),
    )
    assert (now(ana).grants, actions(acme.id), events(acme.id)) == ((), [], [])
