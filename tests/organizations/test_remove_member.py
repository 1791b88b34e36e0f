"""Taking people out of an organization, and leaving it."""

import pytest
from django.core.cache import cache

from apps.accounts.errors import InvalidRefreshToken
from apps.accounts.models import ApiKey
from apps.accounts.services.tokens import issue_tokens, rotate_refresh_token
from apps.core.actors import Actor, Call, Source
from apps.core.authz import Role
from apps.core.errors import NotFound, PermissionDenied
from apps.core.ids import uuid7
from apps.core.tenancy import tenant
from apps.organizations.errors import InvitationInvalid, LastOwner, NoOrganization
from apps.organizations.models import Membership
from apps.organizations.selectors import actor_for_user, refreshed
from apps.organizations.services.authentication import forget_callers
from apps.organizations.services.invitations import create_invitation, open_invitation
from apps.organizations.services.members import (
    leave_organization,
    note_activity,
    remove_member,
    remove_members,
)
from apps.teams.models import Team, TeamMember
from apps.teams.services.members import add_team_members
from apps.teams.services.teams import create_team
from tests import factories
from tests.devices.support import events
from tests.factories import Cast
from tests.organizations.support import as_now, entries, roles
from tests.rest.conftest import Api

ACTION = "organizations.remove_member"
in_acme = pytest.mark.usefixtures("in_acme")


@in_acme
def test_everything_of_theirs_here_goes(
    acme: Cast, alice_member: Membership, bob_member: Membership
) -> None:
    alice, bob = as_now(alice_member), as_now(bob_member)
    team: Team = create_team(alice, name="Lab")
    add_team_members(alice, team.id, [bob_member.user_id], role="operator")
    key = factories.api_key(bob_member)
    remove_member(alice, bob_member.id)
    assert roles(acme) == {"alice@acme.test": "owner"}
    assert not TeamMember.objects.for_org(acme.id).exists()
    assert ApiKey.objects.for_org(acme.id).get(user_id=bob_member.user_id).revoked_at
    with pytest.raises(NoOrganization):
        refreshed(bob)
    forget_callers()
    assert Api(key).get("devices").status_code == 401
    (entry,) = entries(acme, ACTION)
    assert entry.changes == {"email": "bob@acme.test", "role": ["viewer", None]}
    assert len(events(acme.id, "organizations.member.removed")) == 1


@in_acme
def test_who_comes_back_has_nothing_of_before(
    acme: Cast, alice_member: Membership, bob_member: Membership
) -> None:
    key = factories.api_key(bob_member)
    remove_member(as_now(alice_member), bob_member.id)
    factories.membership(acme.id, bob_member.user, Role.MEMBER)
    forget_callers()
    assert Api(key).get("devices").status_code == 401


@in_acme
def test_who_comes_back_finds_no_program_signed_in_and_no_invitation_open(
    acme: Cast, globex: Cast, alice_member: Membership, bob_member: Membership
) -> None:
    Membership.objects.for_org(acme.id).filter(id=bob_member.id).update(role=Role.ADMIN)
    call = Call(Source.REST, "192.0.2.7", "r-1")
    bob = as_now(bob_member)
    assert bob.sign_in is not None
    here, elsewhere = (
        issue_tokens(bob_member.user, organization_id=where, sign_in=bob.sign_in, call=call)
        for where in (acme.id, None)
    )
    invited = create_invitation(bob, role="viewer")
    remove_member(as_now(alice_member), bob_member.id)
    factories.membership(acme.id, bob_member.user, Role.ADMIN)
    with pytest.raises(InvalidRefreshToken):
        rotate_refresh_token(call, here.refresh_token)
    assert rotate_refresh_token(call, elsewhere.refresh_token)
    with pytest.raises(InvitationInvalid):
        open_invitation(call, invited.secret)
    assert len(entries(acme, "organizations.revoke_invitation")) == 1


def test_other_organizations_of_theirs_stay(
    acme: Cast, globex: Cast, alice: Actor, bob_member: Membership
) -> None:
    there = factories.membership(globex.id, bob_member.user, Role.OPERATOR)
    with tenant(acme.id):
        remove_member(alice, bob_member.id)
    call = Call(Source.UI)
    found = actor_for_user(bob_member.user, call, sign_in=as_now(there).sign_in)
    assert found.organization_id == globex.id


@in_acme
def test_the_last_owner_stays(acme: Cast, alice: Actor, alice_member: Membership) -> None:
    with pytest.raises(LastOwner):
        remove_member(alice, alice_member.id)
    with pytest.raises(LastOwner):
        leave_organization(alice, acme.id)
    assert roles(acme) == {"alice@acme.test": "owner"}
    assert not entries(acme)


@in_acme
def test_an_administrator_removes_no_owner(acme: Cast, alice_member: Membership) -> None:
    factories.membership(acme.id, factories.user(), Role.OWNER)
    admin = factories.actor(factories.membership(acme.id, factories.user(), Role.ADMIN))
    with pytest.raises(PermissionDenied):
        remove_member(admin, alice_member.id)


def test_a_viewer_removes_nobody_and_foreign_ones_are_not_found(
    alice: Actor, bob: Actor, alice_member: Membership, charlie_member: Membership
) -> None:
    with tenant(alice.organization_id):
        with pytest.raises(PermissionDenied):
            remove_member(bob, alice_member.id)
        for member_id in (charlie_member.id, uuid7()):
            with pytest.raises(NotFound):
                remove_member(alice, member_id)


@in_acme
def test_several_at_once(acme: Cast, alice: Actor, bob_member: Membership) -> None:
    results = remove_members(alice, [bob_member.id, uuid7()])
    assert [r.failure.code if r.failure else "" for r in results] == ["", "not_found"]
    assert roles(acme) == {"alice@acme.test": "owner"}


@in_acme
def test_anybody_leaves_but_not_by_key(
    acme: Cast, globex: Cast, bob: Actor, bob_member: Membership
) -> None:
    response = Api(factories.api_key(bob_member)).post(f"organizations/{acme.id}:leave")
    assert (response.status_code, response.json()["code"]) == (403, "permission_denied")
    with pytest.raises(NotFound):
        leave_organization(bob, globex.id)
    leave_organization(bob, acme.id)
    assert "bob@acme.test" not in roles(acme)
    assert len(entries(acme, "organizations.leave_organization")) == 1


@in_acme
def test_being_there_is_noted_once_a_minute(acme: Cast, bob_member: Membership) -> None:
    bob = as_now(bob_member)
    cache.delete(f"member-active:{acme.id}:{bob.user_id}")
    note_activity(bob)
    first = Membership.unscoped.get(id=bob_member.id).last_active_at
    note_activity(bob)
    assert first is not None
    assert Membership.unscoped.get(id=bob_member.id).last_active_at == first


def test_rest_removes(acme: Cast, alice_member: Membership, bob_member: Membership) -> None:
    api = Api(factories.api_key(alice_member))
    assert api.delete(f"members/{bob_member.id}").status_code == 204
    assert api.delete(f"members/{bob_member.id}").status_code == 404
    items = api.get("members").json()["items"]
    assert [m["email"] for m in items] == ["alice@acme.test"]
    assert items[0]["sign_in_source"] == "password"
    assert items[0]["has_second_factor"] is False
