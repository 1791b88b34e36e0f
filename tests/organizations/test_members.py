"""Who is calling, and changing organizations and their members."""

import pytest

from apps.accounts.models import User
from apps.core.actors import Actor, Call, Source
from apps.core.authz import Role
from apps.core.errors import InvalidRequest, NotFound, PermissionDenied
from apps.core.ids import uuid7
from apps.core.pagination import PageRequest
from apps.core.tenancy import tenant
from apps.organizations.errors import NoOrganization, OrganizationAmbiguous
from apps.organizations.models import Membership
from apps.organizations.people import list_members
from apps.organizations.selectors import (
    actor_for_user,
    get_organization,
    list_organizations,
)
from apps.organizations.services.members import add_member
from apps.organizations.services.organizations import update_organization
from tests import factories
from tests.devices.support import actions
from tests.factories import Cast

CALL = Call(Source.UI)
in_acme = pytest.mark.usefixtures("in_acme")


def test_a_member_acts_in_their_organization(acme: Cast, bob_member: Membership) -> None:
    actor = actor_for_user(bob_member.user, CALL)
    assert (actor.organization_id, actor.role) == (acme.id, "viewer")


def test_a_person_of_two_organizations_says_which(
    acme: Cast, globex: Cast, bob_member: Membership
) -> None:
    bob = bob_member.user
    factories.membership(globex.id, bob, Role.ADMIN)
    with pytest.raises(OrganizationAmbiguous):
        actor_for_user(bob, CALL)
    assert actor_for_user(bob, CALL, organization="globex").role == "admin"
    assert actor_for_user(bob, CALL, organization=str(acme.id)).role == "viewer"


def test_nobody_acts_in_a_foreign_organization(globex: Cast, bob_member: Membership) -> None:
    for name in ("globex", str(globex.id), "nowhere"):
        with pytest.raises(NoOrganization):
            actor_for_user(bob_member.user, CALL, organization=name)


def test_a_disabled_person_acts_nowhere(bob_member: Membership) -> None:
    User.objects.filter(id=bob_member.user_id).update(is_active=False)
    with pytest.raises(NoOrganization):
        actor_for_user(User.objects.get(id=bob_member.user_id), CALL)


@in_acme
def test_renaming_keeps_the_slug(acme: Cast, alice: Actor) -> None:
    for _ in range(2):
        renamed = update_organization(alice, acme.id, name=" Acme Ltd ")
    assert (renamed.name, renamed.slug) == ("Acme Ltd", "acme")
    assert actions(acme.id) == ["organizations.update_organization"]


@in_acme
@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\x00"])
def test_bad_names_are_refused(acme: Cast, alice: Actor, name: str) -> None:
    with pytest.raises(InvalidRequest):
        update_organization(alice, acme.id, name=name)


@in_acme
def test_organizations_of_others_are_not_found(globex: Cast, alice: Actor) -> None:
    for organization_id in (globex.id, uuid7()):
        with pytest.raises(NotFound):
            update_organization(alice, organization_id, name="x")
        with pytest.raises(NotFound):
            get_organization(alice, organization_id)


@in_acme
def test_rights_are_needed(acme: Cast, bob: Actor, erin: Actor) -> None:
    with pytest.raises(PermissionDenied):
        update_organization(erin, acme.id, name="x")
    with pytest.raises(PermissionDenied):
        add_member(bob, factories.user(), role=Role.VIEWER)


def test_adding_a_member_twice_keeps_the_first_role(acme: Cast, alice: Actor) -> None:
    person = factories.user()
    with tenant(acme.id):
        add_member(alice, person, role=Role.VIEWER)
        assert add_member(alice, person, role=Role.ADMIN).role == "viewer"
        assert actions(acme.id) == ["organizations.add_member"]
        assert person.id in {m.membership.user_id for m in list_members(alice, PageRequest()).items}


def test_only_an_owner_makes_owners(globex: Cast, charlie: Actor) -> None:
    with tenant(globex.id), pytest.raises(PermissionDenied):
        add_member(charlie, factories.user(), role=Role.OWNER)


def test_one_lists_the_organizations_one_belongs_to(acme: Cast, globex: Cast, bob: Actor) -> None:
    with tenant(acme.id):
        assert [o.slug for o in list_organizations(bob)] == ["acme"]
