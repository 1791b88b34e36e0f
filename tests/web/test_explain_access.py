"""What somebody may do to something, and why."""

import pytest

from apps.core.actors import Actor
from apps.core.authz import Role
from apps.core.errors import InvalidRequest, NotFound, PermissionDenied
from apps.core.ids import uuid7
from apps.devices.access import GrantObject
from apps.devices.models import DeviceGroup
from apps.devices.services.grants import grant_access
from apps.organizations.models import Membership
from apps.web.access import AccessExplanation, explain_access
from tests import factories
from tests.factories import Cast
from tests.teams.support import now, person

pytestmark = pytest.mark.usefixtures("in_acme")
VIEW, RENAME = "devices.view_devices", "devices.update_device"


@pytest.fixture(autouse=True)
def foreign(globex: Cast) -> DeviceGroup:
    """Made first: later the test works in acme."""
    return globex.group


@pytest.fixture
def ana(acme: Cast) -> Membership:
    return person(acme.id, "ana@acme.test")


def about(actor: Actor, who: Membership, device: object, name: str = VIEW) -> tuple[bool, set[str]]:
    found = explain_access(
        actor, user_id=who.user_id, kind="device", object_id=device.id, permission=name
    )
    (item,) = found.items
    return item.allowed, set(item.because)


def names(found: AccessExplanation) -> set[str]:
    return {item.permission for item in found.items}


def test_every_reason_for_a_yes_is_named(acme: Cast, alice: Actor, ana: Membership) -> None:
    team = factories.team(acme.id, "Lab", acme.group)
    factories.team_member(team, ana.user, Role.OPERATOR)
    on = GrantObject("device_group", acme.group.id)
    grant_access(alice, user_id=ana.user_id, on=on, permissions=[VIEW])
    assert about(alice, ana, acme.device) == (
        True,
        {
            "role operator in the team Lab, which owns the group “acme-group”",
            "granted on the group acme-group",
        },
    )
    assert about(alice, ana, acme.device, RENAME) == (
        True,
        {"role operator in the team Lab, which owns the group “acme-group”"},
    )


def test_every_reason_for_a_no_is_named(acme: Cast, alice: Actor, ana: Membership) -> None:
    owner = factories.team(acme.id, "Owner", acme.group)
    other = factories.team(acme.id, "Field", factories.group(acme.id, "elsewhere"))
    factories.team_member(other, ana.user, Role.OPERATOR)
    assert about(alice, ana, acme.device) == (
        False,
        {
            "role member in the organization does not include it",
            "role operator in the team Field holds it, but that team owns no group of this device",
            "not in any team that owns a group of this device",
        },
    )
    factories.team_member(owner, ana.user, Role.VIEWER)
    allowed, because = about(alice, ana, acme.device, RENAME)
    assert not allowed
    assert (
        "role viewer in the team Owner, which owns the group “acme-group” does not include it"
        in because
    )


def test_a_device_in_no_group_is_reached_from_the_organization_only(
    acme: Cast, alice: Actor, ana: Membership
) -> None:
    allowed, because = about(alice, ana, acme.devices[1])
    assert not allowed
    assert "this device is in no group: only rights in the whole organization reach it" in because
    grant_access(
        alice,
        user_id=ana.user_id,
        on=GrantObject("organization", acme.id),
        permissions=[VIEW],
    )
    assert about(alice, ana, acme.devices[1]) == (True, {"granted in the organization"})


def test_what_is_the_organizations_matter_cannot_be_held_elsewhere(
    acme: Cast, alice: Actor, ana: Membership
) -> None:
    allowed, because = about(alice, ana, acme.device, "organizations.add_member")
    assert not allowed
    assert "it can only be held in the whole organization" in because


def test_without_a_permission_all_that_mean_something_there_are_told(
    acme: Cast, alice: Actor, ana: Membership
) -> None:
    def asked(kind: str, object_id: object) -> AccessExplanation:
        return explain_access(alice, user_id=ana.user_id, kind=kind, object_id=object_id)  # type: ignore[arg-type]

    device = names(asked("device", acme.device.id))
    assert {VIEW, RENAME, "enrollment.revoke_certificates"} <= device
    assert not {"updates.start_rollout", "organizations.add_member"} & device
    assert "updates.start_rollout" in names(asked("device_group", acme.group.id))
    assert "organizations.add_member" in names(asked("organization", acme.id))
    assert "teams.add_team_members" in names(asked("team", factories.team(acme.id).id))


def test_anybody_may_ask_about_themselves_and_what_they_see(
    acme: Cast, alice: Actor, ana: Membership, bob: Actor, bob_member: Membership
) -> None:
    assert about(bob, bob_member, acme.device)[0]
    with pytest.raises(PermissionDenied):
        about(bob, ana, acme.device)
    with pytest.raises(PermissionDenied):  # sees no device at all
        about(now(ana), ana, acme.device)
    team = factories.team(acme.id, "Lab", acme.group)
    factories.team_member(team, ana.user, Role.VIEWER)
    assert about(now(ana), ana, acme.device)[0]
    with pytest.raises(NotFound):
        about(now(ana), ana, acme.devices[1])


def test_groups_that_the_asker_cannot_see_are_not_named(acme: Cast, ana: Membership) -> None:
    secret = factories.group(acme.id, "secret project", acme.device)
    hidden = factories.team(acme.id, "Hidden", secret)
    factories.team_member(factories.team(acme.id, "Lab", acme.group), ana.user, Role.VIEWER)
    assert hidden
    allowed, because = about(now(ana), ana, acme.device, RENAME)
    assert not allowed
    assert "secret" not in " ".join(because)


def test_an_auditor_may_ask_about_everybody(acme: Cast, ana: Membership) -> None:
    auditor = now(person(acme.id, "audit@acme.test", Role.AUDITOR))
    assert about(auditor, ana, acme.device)[0] is False


def test_a_disabled_account_may_nothing(acme: Cast, alice: Actor, bob_member: Membership) -> None:
    bob_member.user.is_active = False
    bob_member.user.save(update_fields=["is_active"])
    assert about(alice, bob_member, acme.device) == (False, {"the account is disabled"})


def test_foreign_and_missing_objects_and_people_are_not_found(
    acme: Cast, alice: Actor, ana: Membership, foreign: DeviceGroup
) -> None:
    def ask(user_id: object, kind: str, object_id: object) -> None:
        explain_access(alice, user_id=user_id, kind=kind, object_id=object_id)  # type: ignore[arg-type]

    for kind in ("device", "device_group", "team", "rollout", "organization"):
        with pytest.raises(NotFound):
            ask(ana.user_id, kind, uuid7())
    with pytest.raises(NotFound):
        ask(ana.user_id, "device_group", foreign.id)
    with pytest.raises(NotFound):
        ask(ana.user_id, "organization", foreign.organization_id)
    with pytest.raises(NotFound):
        ask(factories.user().id, "device", acme.device.id)
    with pytest.raises(InvalidRequest):
        ask(ana.user_id, "planet", acme.device.id)
    with pytest.raises(InvalidRequest):
        about(alice, ana, acme.device, "devices.fly")
