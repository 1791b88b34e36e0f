"""Inviting people: what an invitation gives, how often, to whom, and what it never tells."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import transaction

from apps.accounts.services.mail import _SENDER
from apps.core import clock
from apps.core.actors import Actor, Call, Source
from apps.core.authz import Role
from apps.core.errors import InvalidRequest, NotFound, PermissionDenied
from apps.core.ids import uuid7
from apps.core.tenancy import tenant
from apps.organizations.errors import (
    AlreadyInvited,
    AlreadyMember,
    InvitationForAnother,
    InvitationInvalid,
    InvitationNotPending,
)
from apps.organizations.joining import TeamPlace
from apps.organizations.models import Invitation, Membership, Organization
from apps.organizations.people import find_invitation
from apps.organizations.services.invitations import (
    NewInvitation,
    accept_invitation,
    create_invitation,
    open_invitation,
    resend_invitation,
    revoke_invitation,
)
from apps.organizations.services.members import change_member_role, remove_member
from apps.teams.models import TeamMember
from apps.teams.services.teams import create_team
from tests import factories
from tests.factories import Cast
from tests.organizations.support import as_now, entries, roles, set_status
from tests.rest.conftest import Api

CALL = Call(Source.UI, "192.0.2.9", "request-9")
in_acme = pytest.mark.usefixtures("in_acme")


@pytest.fixture
def with_mail(settings: Any) -> None:
    """An installation that sends mail."""
    settings.EMAIL_IS_CONFIGURED = True


def invite(member: Membership, **values: Any) -> NewInvitation:
    """An invitation by this member."""
    actor = as_now(member)
    with tenant(actor.organization_id):
        return create_invitation(actor, **{"role": "viewer", **values})


def test_a_link_lets_one_person_in_with_its_role(acme: Cast, alice_member: Membership) -> None:
    made = invite(alice_member, role="operator")
    person, late = factories.user("new@else.test"), factories.user("late@else.test")
    assert made.link.endswith(f"/invitations/{made.secret}")
    assert accept_invitation(CALL, person, made.secret).slug == "acme"
    with pytest.raises(InvitationInvalid):
        accept_invitation(CALL, late, made.secret)
    assert roles(acme)["new@else.test"] == "operator"
    assert "late@else.test" not in roles(acme)
    (entry,) = entries(acme, "organizations.accept_invitation")
    assert entry.actor_label == "new@else.test"
    assert entry.changes["invited_by"] == "alice@acme.test"
    assert made.secret not in str([e.changes for e in entries(acme)])


def test_only_the_hash_of_the_secret_is_kept(alice_member: Membership) -> None:
    made = invite(alice_member)
    kept = {str(value) for value in vars(made.invitation).values()}
    assert not any(made.secret in value for value in kept)
    assert find_invitation(made.secret) is not None
    assert find_invitation(made.secret[:-1] + "x") is None


def test_an_address_is_for_its_account_only(acme: Cast, alice_member: Membership) -> None:
    made = invite(alice_member, email=" Ana@Else.Test ")
    with pytest.raises(InvitationForAnother):
        accept_invitation(CALL, factories.user("eve@else.test"), made.secret)
    accept_invitation(CALL, factories.user("ana@else.test"), made.secret)
    assert set(roles(acme)) == {"alice@acme.test", "ana@else.test"}


@pytest.mark.usefixtures("with_mail")
def test_what_goes_by_mail_is_not_shown(
    alice_member: Membership, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        made = invite(alice_member, email="ana@else.test")
    _SENDER.submit(int).result(10)
    assert (made.link, made.invitation.sent_at is None) == ("", False)
    (message,) = mail.outbox
    assert message.to == ["ana@else.test"]
    assert f"/invitations/{made.secret}" in str(message.body)
    assert "Acme" in message.subject


@pytest.mark.usefixtures("with_mail")
def test_nothing_is_sent_for_an_invitation_that_is_rolled_back(
    alice_member: Membership, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True), tenant(alice_member.organization_id):
        invite(alice_member, email="ana@else.test")
        transaction.set_rollback(True)
    assert not mail.outbox
    assert not Invitation.unscoped.exists()


def test_whoever_joins_is_put_into_the_teams(acme: Cast, alice_member: Membership) -> None:
    with tenant(acme.id):
        team = create_team(as_now(alice_member), name="Lab")
    made = invite(alice_member, role="member", teams=[TeamPlace(team.id, "operator")])
    person = factories.user("new@else.test")
    accept_invitation(CALL, person, made.secret)
    with tenant(acme.id):
        row = TeamMember.objects.for_org(acme.id).get(user=person)
    assert (row.team_id, row.role) == (team.id, "operator")


@pytest.mark.parametrize("how", ["demoted", "removed", "disabled"])
def test_it_gives_nothing_that_the_inviter_does_not_hold_now(
    acme: Cast, alice_member: Membership, how: str
) -> None:
    admin = factories.membership(acme.id, factories.user("dora@acme.test"), Role.ADMIN)
    made = invite(admin, role="operator")
    with tenant(acme.id):
        if how == "demoted":
            change_member_role(as_now(alice_member), admin.id, role="viewer")
        elif how == "removed":
            remove_member(as_now(alice_member), admin.id)
        else:
            admin.user.is_active = False
            admin.user.save()
    with pytest.raises(InvitationInvalid):
        accept_invitation(CALL, factories.user("new@else.test"), made.secret)
    assert "new@else.test" not in roles(acme)


def test_nobody_invites_to_more_than_they_hold(acme: Cast, alice_member: Membership) -> None:
    admin = factories.membership(acme.id, factories.user(), Role.ADMIN)
    with pytest.raises(PermissionDenied):
        invite(admin, role="owner")
    with tenant(acme.id):
        narrow = as_now(alice_member).narrowed(frozenset({"organizations.create_invitation"}))
        with pytest.raises(PermissionDenied) as refused:
            create_invitation(narrow, role="viewer")
    assert refused.value.code == "rights_exceed_own"


@pytest.mark.parametrize("how", ["unknown", "used", "revoked", "expired", "suspended", "nonsense"])
def test_whatever_does_not_work_looks_the_same(
    acme: Cast, alice_member: Membership, how: str
) -> None:
    made = invite(alice_member)
    secret = made.secret
    rows = Invitation.unscoped.filter(id=made.invitation.id)
    with tenant(acme.id):
        if how == "used":
            rows.update(accepted_at=clock.now(), accepted_by=alice_member.user)
        elif how == "revoked":
            revoke_invitation(as_now(alice_member), made.invitation.id)
        elif how == "expired":
            rows.update(expires_at=clock.now() - timedelta(seconds=1))
        elif how == "unknown":
            rows.delete()
    if how == "suspended":
        set_status(acme, "suspended")
    if how == "nonsense":
        secret = "fld_inv_" + "0" * 39
    for act in (
        lambda: open_invitation(CALL, secret),
        lambda: accept_invitation(CALL, factories.user(), secret),
    ):
        with pytest.raises(InvitationInvalid) as refused:
            act()
        assert refused.value.message == InvitationInvalid.default_message


def test_a_member_who_follows_a_link_stays_what_they_are(
    acme: Cast, alice_member: Membership, bob_member: Membership
) -> None:
    made = invite(alice_member, role="admin")
    accept_invitation(CALL, bob_member.user, made.secret)
    assert roles(acme)["bob@acme.test"] == "viewer"
    accept_invitation(CALL, factories.user("new@else.test"), made.secret)
    assert roles(acme)["new@else.test"] == "admin"


@in_acme
def test_nobody_is_invited_twice(alice: Actor, bob_member: Membership) -> None:
    with pytest.raises(AlreadyMember):
        create_invitation(alice, role="viewer", email="BOB@acme.test")
    first = create_invitation(alice, role="viewer", email="new@else.test")
    with pytest.raises(AlreadyInvited):
        create_invitation(alice, role="viewer", email="NEW@else.test")
    Invitation.unscoped.filter(id=first.invitation.id).update(expires_at=clock.now())
    assert create_invitation(alice, role="viewer", email="new@else.test").link


@in_acme
@pytest.mark.parametrize(
    "values",
    [
        {"email": "nobody"},
        {"role": "king"},
        {"role": "custom"},
        {"days": 0},
        {"days": 91},
        {"teams": [TeamPlace(uuid7(), "viewer")]},
    ],
)
def test_bad_input_invites_nobody(acme: Cast, alice: Actor, values: dict[str, Any]) -> None:
    with pytest.raises((InvalidRequest, NotFound)):
        create_invitation(alice, **{"role": "viewer", **values})
    assert not Invitation.objects.for_org(acme.id).exists()
    assert not entries(acme)


def test_renewing_gives_a_new_link_and_ends_the_old(acme: Cast, alice_member: Membership) -> None:
    made = invite(alice_member)
    alice = as_now(alice_member)
    with tenant(acme.id):
        again = resend_invitation(alice, made.invitation.id)
    with pytest.raises(InvitationInvalid):
        open_invitation(CALL, made.secret)
    assert open_invitation(CALL, again.secret).id == made.invitation.id
    with tenant(acme.id):
        for _ in range(2):
            revoke_invitation(alice, made.invitation.id)
        with pytest.raises(InvitationNotPending):
            resend_invitation(alice, made.invitation.id)
    assert len(entries(acme, "organizations.revoke_invitation")) == 1


def test_an_accepted_one_is_neither_renewed_nor_revoked(
    acme: Cast, alice_member: Membership
) -> None:
    made = invite(alice_member)
    accept_invitation(CALL, factories.user(), made.secret)
    with tenant(acme.id):
        for operation in (resend_invitation, revoke_invitation):
            with pytest.raises(InvitationNotPending):
                operation(as_now(alice_member), made.invitation.id)


def test_others_invite_nobody_and_touch_no_foreign_invitation(
    alice: Actor, bob: Actor, charlie: Actor, alice_member: Membership
) -> None:
    made = invite(alice_member)
    with tenant(bob.organization_id), pytest.raises(PermissionDenied):
        create_invitation(bob, role="viewer")
    with tenant(charlie.organization_id):
        for operation in (resend_invitation, revoke_invitation):
            with pytest.raises(NotFound):
                operation(charlie, made.invitation.id)


def test_a_service_account_accepts_nothing(acme: Cast, alice_member: Membership) -> None:
    made = invite(alice_member)
    robot = factories.user("robot@acme.test")
    robot.set_unusable_password()
    robot.kind = "service"
    with pytest.raises(PermissionDenied):
        accept_invitation(CALL, robot, made.secret)


def test_whoever_tries_many_secrets_has_to_wait(db: None) -> None:
    impatient = replace(CALL, address="192.0.2.66")
    codes = set()
    for _ in range(40):
        try:
            open_invitation(impatient, "fld_inv_x")
        except Exception as error:  # noqa: BLE001 - its code is looked at
            codes.add(getattr(error, "code", ""))
    assert codes == {"invitation_invalid", "too_many_requests"}


def test_rest_invites_lists_and_revokes(acme: Cast, alice_member: Membership) -> None:
    api = Api(factories.api_key(alice_member))
    made = api.post("invitations", email="ana@else.test", role="viewer", expires_in_days=1)
    assert made.status_code == 201
    assert "/invitations/fld_inv_" in made.json()["link"]
    (item,) = api.get("invitations").json()["items"]
    assert (item["email"], item["state"], "link" in item) == ("ana@else.test", "pending", False)
    again = api.post("invitations", email="ana@else.test", role="viewer")
    assert (again.status_code, again.json()["code"]) == (409, "already_invited")
    renewed = api.post(f"invitations/{item['id']}:resend").json()
    assert renewed["link"] != made.json()["link"]
    revoked = api.post(f"invitations/{item['id']}:revoke").json()
    assert revoked["state"] == "revoked"
    assert Organization.objects.get(id=acme.id)
    by_key = api.post("invitations:accept", secret="fld_inv_x")
    assert (by_key.status_code, by_key.json()["code"]) == (403, "permission_denied")
