"""Pages of teams, roles, grants and explanations: they show and do what the services do."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.core.actors import Actor
from apps.core.authz import Role
from apps.core.pagination import PageRequest
from apps.core.tenancy import tenant
from apps.devices.access import GrantObject, list_access_grants
from apps.devices.services.grants import grant_access
from apps.organizations.access import list_custom_roles
from apps.organizations.models import Membership, Organization
from apps.teams.models import Team, TeamMember
from tests import factories
from tests.factories import Cast
from tests.teams.support import person

HOSTILE = "<script>alert(1)</script>"


def browser_of(member: Membership) -> Client:
    browser = Client()
    browser.force_login(member.user)
    return browser


@pytest.fixture
def owner(alice_member: Membership) -> Client:
    """Alice's browser."""
    return browser_of(alice_member)


@pytest.fixture
def ana(acme: Cast) -> Membership:
    return person(acme.id, "ana@acme.test")


def text_of(browser: Client, address: str) -> str:
    answer = browser.get(address)
    assert answer.status_code == 200, f"{address}: {answer.status_code}"
    return answer.content.decode()


def teams(acme: Cast) -> list[Any]:
    with tenant(acme.id):
        return list(Team.objects.for_org(acme.id))


def test_a_team_is_made_filled_and_given_a_group(
    acme: Cast, owner: Client, ana: Membership
) -> None:
    assert "No team yet" in text_of(owner, "/settings/teams")
    made = owner.post("/settings/teams", {"name": "Lab", "description": HOSTILE})
    (team,) = teams(acme)
    page = f"/settings/teams/{team.id}"
    assert made["Location"] == page
    assert "It owns no device group" in text_of(owner, page)
    assert "ana@acme.test" in text_of(owner, f"{page}/candidates?q=ANA@")
    owner.post(f"{page}/add", {"user": [str(ana.user_id)], "role": "viewer"})
    owner.post(f"{page}/groups", {"group": [str(acme.group.id)]})
    owner.post(f"{page}/members/{ana.user_id}/role", {"role": "operator"})
    with tenant(acme.id):
        assert TeamMember.objects.for_org(acme.id).get().role == "operator"
    shown = text_of(owner, page)
    assert "acme-group" in shown
    assert "ana@acme.test" in shown
    assert HOSTILE not in shown
    assert "acme-one" in text_of(browser_of(ana), "/devices")
    refused = owner.post(f"{page}/delete", follow=True).content.decode()
    assert "still owns device groups" in refused
    owner.post(f"{page}/groups/{acme.group.id}/take")
    owner.post(f"{page}/members/{ana.user_id}/remove")
    owner.post(f"{page}/delete")
    assert teams(acme) == []


def test_a_custom_role_chosen_by_its_id_holds_in_a_team(
    acme: Cast, owner: Client, ana: Membership
) -> None:
    team = factories.team(acme.id, "Lab", acme.group)
    role = factories.custom_role(acme.id, "Watch", "devices.view_devices")
    page = f"/settings/teams/{team.id}"
    owner.post(f"{page}/add", {"user": [str(ana.user_id)], "role": str(role.id)})
    assert "Watch" in text_of(owner, page)
    assert "acme-one" in text_of(browser_of(ana), "/devices")


def test_who_is_only_in_a_team_sees_it_without_buttons(acme: Cast, ana: Membership) -> None:
    team = factories.team(acme.id, "Lab", acme.group)
    other = factories.team(acme.id, "Field")
    factories.team_member(team, ana.user, Role.VIEWER)
    browser = browser_of(ana)
    listed = text_of(browser, "/settings/teams")
    assert "Lab" in listed
    assert "Field" not in listed
    shown = text_of(browser, f"/settings/teams/{team.id}")
    assert "Add people" not in shown
    assert "Delete the team" not in shown
    assert browser.get(f"/settings/teams/{other.id}").status_code == 404
    data = {"user": [str(ana.user_id)], "role": "admin"}
    assert browser.post(f"/settings/teams/{team.id}/add", data).status_code == 403


def test_the_table_of_roles_shows_every_right_and_role(
    acme: Cast, owner: Client, bob_member: Membership
) -> None:
    factories.custom_role(acme.id, HOSTILE, "devices.view_devices")
    shown = text_of(owner, "/settings/roles")
    assert HOSTILE not in shown
    assert "updates.approve_rollout" in shown
    assert "devices.register_device" not in shown
    assert "New role" in shown
    assert "New role" not in text_of(browser_of(bob_member), "/settings/roles")


def test_a_role_is_made_changed_and_deleted(acme: Cast, owner: Client, alice: Actor) -> None:
    data = {"name": "Night shift", "permission": ["devices.view_devices"]}
    owner.post("/settings/roles/new", data)
    with tenant(acme.id):
        (role,) = list_custom_roles(alice, PageRequest()).items
    page = f"/settings/roles/{role.id}"
    assert "Night shift" in text_of(owner, page)
    again = owner.post("/settings/roles/new", data).content.decode()
    assert "There is a role with this name already." in again
    owner.post(page, {**data, "permission": ["devices.view_devices", "devices.update_device"]})
    with tenant(acme.id):
        (role,) = list_custom_roles(alice, PageRequest()).items
    assert len(role.permissions) == 2
    owner.post(f"{page}/delete")
    with tenant(acme.id):
        assert list_custom_roles(alice, PageRequest()).items == []


def test_rights_on_a_group_are_given_and_taken_back(
    acme: Cast, owner: Client, alice: Actor, ana: Membership
) -> None:
    where = {"kind": "device_group", "id": str(acme.group.id)}
    assert "Nobody was given rights" in text_of(
        owner, f"/settings/grants?kind=device_group&id={acme.group.id}"
    )
    assert "ana@acme.test" in text_of(owner, "/settings/grants/people?q=ana")
    sent = {**where, "user": str(ana.user_id), "role": "viewer"}
    assert owner.post("/settings/grants", sent)["Location"] == f"/device-groups/{acme.group.id}"
    assert "acme-one" in text_of(browser_of(ana), "/devices")
    assert "acme-group" in text_of(owner, f"/settings/grants?user={ana.user_id}")
    owner.post("/settings/grants/revoke", {**where, "user": str(ana.user_id)})
    with tenant(acme.id):
        assert list_access_grants(alice, PageRequest()).items == []


def test_the_explanation_says_yes_and_no_with_reasons(
    acme: Cast, owner: Client, alice: Actor, ana: Membership
) -> None:
    assert "ana@acme.test" in text_of(owner, "/settings/access")
    choose = text_of(owner, f"/settings/access?user={ana.user_id}")
    assert "acme-one" in choose
    found = text_of(owner, f"/settings/access/choices?of=objects&user={ana.user_id}&q=acme-two")
    assert "acme-two" in found
    assert "acme-one" not in found
    address = f"/settings/access?user={ana.user_id}&kind=device&object={acme.device.id}"
    assert "Not in any team that owns a group of this device" in text_of(owner, address)
    with tenant(acme.id):
        on = GrantObject("device_group", acme.group.id)
        names = ["devices.view_devices"]
        grant_access(alice, user_id=ana.user_id, on=on, permissions=names)
    assert "Granted on the group acme-group" in text_of(owner, address)


def test_whoever_comes_from_a_device_is_told_which_one_before_choosing_a_person(
    acme: Cast, owner: Client
) -> None:
    address = f"/settings/access?kind=device&object={acme.device.id}"
    shown = text_of(owner, address)
    assert "Choose a person first" in shown
    assert acme.device.name in shown
    nowhere = "/settings/access?kind=device&object=01890000-0000-7000-8000-000000000000"
    assert owner.get(nowhere).status_code == 404


def test_owners_of_what_is_being_deleted_are_not_told_to_ask_for_a_team(
    acme: Cast, owner: Client
) -> None:
    with tenant(acme.id):
        Organization.objects.filter(id=acme.id).update(
            status="deleting", deletes_at=timezone.now() + timedelta(days=7)
        )
    shown = text_of(owner, "/")
    assert "Everything stands still" in shown
    assert "Keep the organization" in shown
    assert "put you into a team" not in shown


def test_people_ask_about_themselves_only(
    acme: Cast, bob_member: Membership, ana: Membership
) -> None:
    bob = browser_of(bob_member)
    address = f"/settings/access?user={ana.user_id}&kind=device&object={acme.device.id}"
    shown = text_of(bob, address)
    assert "bob@acme.test" in shown
    assert "ana@acme.test" not in shown
    assert bob.get("/settings/access/choices?of=people").status_code == 403


@pytest.mark.parametrize("count", [0, 3, 60])
def test_pages_hold_nothing_few_and_many(acme: Cast, owner: Client, count: int) -> None:
    for number in range(count):
        team = factories.team(acme.id, f"Team {number:02}")
        if number == 0:
            for each in range(count):
                member = person(acme.id, f"p{each}@acme.test")
                factories.team_member(team, member.user, Role.VIEWER)
            text_of(owner, f"/settings/teams/{team.id}")
        factories.custom_role(acme.id, f"Role {number}", "devices.view_devices")
    for address in ("/settings/teams", "/settings/roles", "/settings/access"):
        text_of(owner, address)


def test_devices_groups_and_members_lead_to_the_explanation(
    acme: Cast, owner: Client, ana: Membership
) -> None:
    device = text_of(owner, f"/devices/{acme.device.id}")
    assert f"/settings/access?kind=device&amp;object={acme.device.id}" in device
    group = text_of(owner, f"/device-groups/{acme.group.id}")
    assert f"/settings/access?kind=device_group&amp;object={acme.group.id}" in group
    assert f"/settings/grants?kind=device_group&amp;id={acme.group.id}" in group
    member = text_of(owner, f"/settings/members/{ana.id}")
    assert f"/settings/access?user={ana.user_id}" in member
    assert f"/settings/grants?user={ana.user_id}" in member


def test_a_new_role_can_begin_as_a_built_in_one(owner: Client) -> None:
    shown = text_of(owner, "/settings/roles/new?from=viewer")
    assert 'value="devices.view_devices" checked' in shown
    assert '" checked' not in text_of(owner, "/settings/roles/new?from=nobody")
