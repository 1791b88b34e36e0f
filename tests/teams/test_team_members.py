"""People in teams."""

import pytest

from apps.core.actors import Actor
from apps.core.authz import RightsExceedOwn, Role
from apps.core.errors import InvalidRequest, NotFound, PermissionDenied
from apps.core.ids import uuid7
from apps.core.pagination import PageRequest
from apps.devices.selectors.places import place_of
from apps.organizations.models import Membership
from apps.organizations.services.members import add_member, remove_member
from apps.teams.errors import NotAMember
from apps.teams.models import TeamMember
from apps.teams.selectors import list_team_candidates, list_team_members, list_teams_of
from apps.teams.services.members import add_team_members, change_team_role, remove_team_member
from tests import factories
from tests.devices.support import actions, events, roll_back
from tests.factories import Cast
from tests.teams.support import now, person

pytestmark = pytest.mark.usefixtures("in_acme")


def roles(actor: Actor, team_id: object) -> dict[str, str]:
    rows = list_team_members(actor, team_id, PageRequest()).items  # type: ignore[arg-type]
    return {row.user.email: row.role_name for row in rows}


@pytest.fixture
def ana(acme: Cast) -> Membership:
    return person(acme.id, "ana@acme.test")


def test_a_team_role_holds_on_the_teams_devices_and_ends_with_it(
    acme: Cast, alice: Actor, ana: Membership
) -> None:
    team = factories.team(acme.id, "Lab", acme.group)
    one, two = (place_of(device) for device in acme.devices)
    assert not now(ana).may("devices.view_devices", one)
    add_team_members(alice, team.id, [ana.user_id], role="viewer")
    assert now(ana).may("devices.view_devices", one)
    assert not now(ana).may("devices.view_devices", two)
    assert not now(ana).may("devices.update_device", one)
    change_team_role(alice, team.id, ana.user_id, role="operator")
    assert now(ana).may("devices.update_device", one)
    remove_team_member(alice, team.id, ana.user_id)
    assert not now(ana).may("devices.view_devices", one)
    assert actions(acme.id) == [
        "teams.add_team_members",
        "teams.change_team_role",
        "teams.remove_team_member",
    ]
    assert [e["user_id"] for e in events(acme.id, "teams.member")] == [str(ana.user_id)] * 3


def test_adding_twice_and_changing_to_the_same_changes_nothing(
    acme: Cast, alice: Actor, ana: Membership
) -> None:
    team = factories.team(acme.id, "Lab")
    add_team_members(alice, team.id, [ana.user_id, ana.user_id], role="viewer")
    add_team_members(alice, team.id, [ana.user_id], role="operator")
    change_team_role(alice, team.id, ana.user_id, role="viewer")
    assert roles(alice, team.id) == {"ana@acme.test": "viewer"}
    assert actions(acme.id) == ["teams.add_team_members"]


def test_only_members_of_the_organization_come_into_a_team(
    acme: Cast, alice: Actor, ana: Membership
) -> None:
    team = factories.team(acme.id, "Lab")
    for stranger in (factories.user().id, uuid7()):
        with pytest.raises(NotAMember):
            add_team_members(alice, team.id, [ana.user_id, stranger], role="viewer")
    assert roles(alice, team.id) == {}


@pytest.mark.parametrize("role", ["owner", "auditor", "member", "king", "", "custom"])
def test_a_team_knows_the_roles_that_mean_something_there(
    acme: Cast, alice: Actor, ana: Membership, role: str
) -> None:
    team = factories.team(acme.id, "Lab")
    with pytest.raises(InvalidRequest):
        add_team_members(alice, team.id, [ana.user_id], role=role)


def test_a_custom_role_holds_in_a_team_what_it_holds_now(
    acme: Cast, alice: Actor, ana: Membership
) -> None:
    team = factories.team(acme.id, "Lab", acme.group)
    own = factories.custom_role(acme.id, "Night shift", "devices.quarantine_device")
    add_team_members(alice, team.id, [ana.user_id], role="custom", custom_role_id=own.id)
    place = place_of(acme.device)
    assert now(ana).may("devices.quarantine_device", place)
    own.permissions = ["devices.view_devices"]
    own.save(update_fields=["permissions"])
    assert not now(ana).may("devices.quarantine_device", place)
    assert now(ana).grants[0].because == "role Night shift in the team Lab"


def test_an_organization_wide_right_in_a_role_is_nothing_in_a_team(
    acme: Cast, ana: Membership
) -> None:
    team = factories.team(acme.id, "Lab", acme.group)
    own = factories.custom_role(acme.id, "Odd", "organizations.add_member", "teams.create_team")
    factories.team_member(team, ana.user, "custom", own)
    assert now(ana).grants == ()
    assert "organizations.add_member" not in now(ana).permissions


def test_a_team_lead_gives_no_more_than_they_hold(acme: Cast, ana: Membership) -> None:
    team = factories.team(acme.id, "Lab", acme.group)
    lead = person(acme.id, "lead@acme.test")
    manage = factories.custom_role(
        acme.id, "Lead", "teams.view_teams", "teams.add_team_members", "teams.change_team_role",
        "teams.remove_team_member", "devices.view_devices",
    )  # fmt: skip
    viewer = factories.custom_role(acme.id, "Watcher", "devices.view_devices")
    factories.team_member(team, lead.user, "custom", manage)
    add_team_members(now(lead), team.id, [ana.user_id], role="custom", custom_role_id=viewer.id)
    with pytest.raises(RightsExceedOwn):
        change_team_role(now(lead), team.id, ana.user_id, role="operator")
    boss = person(acme.id, "boss@acme.test")
    factories.team_member(team, boss.user, Role.ADMIN)
    for attempt in (
        lambda: remove_team_member(now(lead), team.id, boss.user_id),
        lambda: change_team_role(
            now(lead), team.id, boss.user_id, role="custom", custom_role_id=viewer.id
        ),
        # Nobody climbs by giving themselves another role.
        lambda: change_team_role(now(lead), team.id, lead.user_id, role="admin"),
    ):
        with pytest.raises(RightsExceedOwn):
            attempt()


def test_a_team_admin_manages_their_team_and_no_other(acme: Cast, ana: Membership) -> None:
    lab, field = factories.team(acme.id, "Lab"), factories.team(acme.id, "Field")
    lead = person(acme.id, "lead@acme.test")
    factories.team_member(lab, lead.user, Role.ADMIN)
    actor = now(lead)
    found = list_team_candidates(actor, lab.id, PageRequest(), search="ANA@").items
    assert [m.user_id for m in found] == [ana.user_id]
    add_team_members(actor, lab.id, [ana.user_id], role="operator")
    with pytest.raises(NotFound):
        add_team_members(actor, field.id, [ana.user_id], role="operator")
    with pytest.raises(NotFound):
        list_team_candidates(actor, field.id, PageRequest())
    # Who is only in the team sees it, and manages nothing.
    assert roles(now(ana), lab.id) == {"lead@acme.test": "admin", "ana@acme.test": "operator"}
    with pytest.raises(PermissionDenied):
        list_team_candidates(now(ana), lab.id, PageRequest())
    with pytest.raises(PermissionDenied):
        remove_team_member(now(ana), lab.id, lead.user_id)


def test_an_operator_of_the_organization_manages_no_teams(
    acme: Cast, erin: Actor, ana: Membership
) -> None:
    team = factories.team(acme.id, "Lab")
    with pytest.raises(PermissionDenied):
        add_team_members(erin, team.id, [ana.user_id], role="viewer")


def test_missing_teams_and_people_are_not_found(acme: Cast, alice: Actor, ana: Membership) -> None:
    team = factories.team(acme.id, "Lab")
    with pytest.raises(NotFound):
        add_team_members(alice, uuid7(), [ana.user_id], role="viewer")
    with pytest.raises(NotFound):
        change_team_role(alice, team.id, ana.user_id, role="viewer")
    with pytest.raises(NotFound):
        remove_team_member(alice, team.id, ana.user_id)


def test_leaving_the_organization_ends_team_roles_for_good(
    acme: Cast, alice: Actor, ana: Membership
) -> None:
    team = factories.team(acme.id, "Lab", acme.group)
    add_team_members(alice, team.id, [ana.user_id], role="operator")
    remove_member(alice, ana.id)
    assert not TeamMember.objects.for_org(acme.id).exists()
    again = add_member(alice, ana.user, role=Role.MEMBER)
    assert now(again).grants == ()
    assert actions(acme.id).count("teams.remove_team_member") == 1


def test_a_members_row_lists_the_teams_that_the_reader_may_see(
    acme: Cast, alice: Actor, ana: Membership
) -> None:
    lab, field = factories.team(acme.id, "Lab"), factories.team(acme.id, "Field")
    for team in (lab, field):
        factories.team_member(team, ana.user, Role.VIEWER)
    other = person(acme.id, "other@acme.test")
    factories.team_member(lab, other.user, Role.VIEWER)

    def seen(actor: Actor) -> list[str]:
        return [row.team.name for row in list_teams_of(actor, [ana.user_id])[ana.user_id]]

    assert seen(alice) == ["Field", "Lab"]
    assert seen(now(other)) == ["Lab"]


def test_nothing_stays_of_what_was_rolled_back(acme: Cast, alice: Actor, ana: Membership) -> None:
    team = factories.team(acme.id, "Lab")
    roll_back(acme.id, lambda: add_team_members(alice, team.id, [ana.user_id], role="viewer"))
    assert (roles(alice, team.id), actions(acme.id), events(acme.id)) == ({}, [], [])
