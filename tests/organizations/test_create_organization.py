"""Making a further organization, and refusing to, in both modes."""

import pytest

from apps.core.actors import Actor
from apps.core.errors import InvalidRequest, PermissionDenied
from apps.core.tenancy import tenant
from apps.organizations.errors import SingleOrganization, SlugTaken
from apps.organizations.models import Membership, Organization
from apps.organizations.selectors import list_memberships_of
from apps.organizations.services.organizations import create_organization
from apps.organizations.services.setup import create_organization as create_with_account
from tests import factories
from tests.factories import Cast
from tests.organizations.support import entries, roles
from tests.rest.conftest import Api

in_acme = pytest.mark.usefixtures("in_acme")


@pytest.fixture
def everyone(settings: object) -> None:
    """Whoever is signed in may make organizations."""
    settings.ORGANIZATION_CREATION = "everyone"  # type: ignore[attr-defined]


@in_acme
@pytest.mark.usefixtures("everyone")
def test_its_maker_owns_it_and_nobody_else_is_in_it(acme: Cast, bob: Actor) -> None:
    made = create_organization(bob, name=" Initech Fleet ")
    assert (made.slug, made.name, made.status) == ("initech-fleet", "Initech Fleet", "active")
    assert bob.user_id is not None
    mine = {m.organization.slug: m.role for m in list_memberships_of(bob.user_id)}
    assert mine == {"acme": "viewer", "initech-fleet": "owner"}


@pytest.mark.usefixtures("everyone")
def test_its_audit_trail_begins_with_it(acme: Cast, bob: Actor) -> None:
    with tenant(acme.id):
        made = create_organization(bob, name="Initech")
    (entry,) = entries(made)
    assert (entry.sequence, entry.action) == (1, "organizations.create_organization")
    assert entry.actor_label == "bob@acme.test"
    assert not entries(acme)


@in_acme
def test_only_superusers_make_them_by_default(bob_member: Membership) -> None:
    with pytest.raises(PermissionDenied):
        create_organization(factories.actor(bob_member), name="Initech")
    bob_member.user.is_superuser = True
    bob_member.user.save()
    assert create_organization(factories.actor(bob_member), name="Initech").slug == "initech"


@pytest.mark.parametrize("creation", ["superusers", "everyone"])
def test_a_single_installation_refuses_a_second_one_at_every_door(
    settings: object, alice_member: Membership, creation: str
) -> None:
    settings.ORGANIZATIONS = "single"  # type: ignore[attr-defined]
    settings.ORGANIZATION_CREATION = creation  # type: ignore[attr-defined]
    alice_member.user.is_superuser = True
    alice_member.user.save()
    alice = factories.actor(alice_member)
    with tenant(alice.organization_id), pytest.raises(SingleOrganization):
        create_organization(alice, name="Initech")
    with pytest.raises(SingleOrganization):
        create_with_account(
            None, name="Initech", email="i@i.test", password="correct horse battery staple"
        )
    assert Organization.objects.count() == 1


def test_a_single_installation_takes_its_first_one(db: None, settings: object) -> None:
    settings.ORGANIZATIONS = "single"  # type: ignore[attr-defined]
    made = create_with_account(
        None, name="Initech", email="i@i.test", password="correct horse battery staple"
    )
    assert made.organization.slug == "initech"


@in_acme
@pytest.mark.usefixtures("everyone")
@pytest.mark.parametrize("name", ["", "   ", "!!!", "x" * 101, "a\x00b"])
def test_a_name_has_letters_and_an_end(bob: Actor, name: str) -> None:
    with pytest.raises(InvalidRequest):
        create_organization(bob, name=name)


@in_acme
@pytest.mark.usefixtures("everyone")
def test_a_name_that_is_taken_changes_nothing(acme: Cast, bob: Actor) -> None:
    with pytest.raises(SlugTaken):
        create_organization(bob, name="ACME")
    assert Organization.objects.filter(slug="acme").count() == 1


@pytest.mark.usefixtures("everyone")
def test_a_key_makes_no_organization(acme: Cast, alice_member: Membership) -> None:
    response = Api(factories.api_key(alice_member)).post("organizations", name="Initech")
    assert (response.status_code, response.json()["code"]) == (403, "permission_denied")
    assert roles(acme) == {"alice@acme.test": "owner"}
