"""Inviting people, and their joining."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction

from apps.accounts.domain.secrets import new_secret, secret_hash
from apps.accounts.models import User
from apps.accounts.services.mail import is_mail_configured, send_mail
from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor, ActorKind, Call
from apps.core.authz import require
from apps.core.errors import FleetdError, NotFound, PermissionDenied, invalid
from apps.core.ids import parse_uuid
from apps.core.limits import take
from apps.core.tenancy import visiting
from apps.core.transactions import after_commit
from apps.events.services.outbox import publish
from apps.organizations.domain.invitations import INVITATION, REVOKED, state_of
from apps.organizations.errors import (
    AlreadyInvited,
    AlreadyMember,
    InvitationForAnother,
    InvitationInvalid,
    InvitationNotPending,
)
from apps.organizations.joining import TeamPlace, check_places, join_places
from apps.organizations.models import Invitation, Membership, Organization
from apps.organizations.people import find_invitation
from apps.organizations.permissions import (
    CREATE_INVITATION,
    RESEND_INVITATION,
    REVOKE_INVITATION,
)
from apps.organizations.selectors import find_member_actor, find_membership
from apps.organizations.services.members import ChosenRole, choose_role, require_may_give
from apps.organizations.types import MemberAdded

ACCEPT_INVITATION = "organizations.accept_invitation"
DEFAULT_DAYS = 7
MAX_DAYS = 90
MAX_TEAMS = 20
MAILS_PER_HOUR = 100  # of one organization: it must not become a cannon
TRIES_PER_MINUTE = 30  # of one address


@dataclass(frozen=True, slots=True)
class NewInvitation:
    """An invitation with its link, which is nowhere else; empty where it went by mail."""

    invitation: Invitation
    link: str
    secret: str


def create_invitation(
    actor: Actor,
    *,
    role: str,
    email: str = "",
    custom_role_id: UUID | str | None = None,
    teams: Sequence[TeamPlace] = (),
    days: int = DEFAULT_DAYS,
) -> NewInvitation:
    """Invites one person, by mail to an address or by a link for whoever has it.

    It works once, for `days` days. What went by mail is not shown: that it comes back proves whose
    the address is. Raises `AlreadyMember`, `AlreadyInvited`, `RightsExceedOwn`, `InvalidRequest`.
    """
    require(actor, CREATE_INVITATION)
    chosen = choose_role(actor, role, custom_role_id)
    require_may_give(actor, chosen)
    _check_places(actor, teams)
    email = _checked_address(actor, email)
    secret = new_secret(INVITATION)
    invitation = Invitation(
        organization_id=actor.organization_id,
        email=email,
        role=chosen.role,
        custom_role=chosen.custom,
        teams=[{"team_id": str(place.team_id), "role": place.role} for place in teams],
        secret_hash=secret_hash(secret),
        invited_by_id=_inviter(actor),
        created_at=clock.now(),
        expires_at=clock.now() + _lifetime(days),
        sent_at=_sending_at(actor, email),
    )
    try:
        with transaction.atomic():
            invitation.save(force_insert=True)
    except IntegrityError as error:
        raise AlreadyInvited from error
    changes = {"email": email, "role": chosen.name, "teams": len(teams)}
    record(actor, CREATE_INVITATION.name, invitation, changes=changes)
    return _made(actor, invitation, secret)


def resend_invitation(
    actor: Actor, invitation_id: UUID, *, days: int = DEFAULT_DAYS
) -> NewInvitation:
    """A new link, and a new mail where it went by mail; the old link stops working.

    From now on the caller is who invites: it never gives more than the caller has. Raises
    `InvitationNotPending` once it was accepted or revoked.
    """
    invitation = _locked(actor, invitation_id)
    require(actor, RESEND_INVITATION)
    if invitation.accepted_at or invitation.revoked_at:
        raise InvitationNotPending
    require_may_give(actor, ChosenRole(invitation.role, invitation.custom_role))
    _check_places(actor, _places_of(invitation))
    secret = new_secret(INVITATION)
    invitation.secret_hash = secret_hash(secret)
    invitation.invited_by_id = _inviter(actor)
    invitation.expires_at = clock.now() + _lifetime(days)
    invitation.sent_at = _sending_at(actor, invitation.email)
    fields = ["secret_hash", "invited_by", "expires_at", "sent_at"]
    invitation.save(update_fields=fields)
    record(actor, RESEND_INVITATION.name, invitation)
    return _made(actor, invitation, secret)


def revoke_invitation(actor: Actor, invitation_id: UUID) -> Invitation:
    """Withdraws an invitation; again changes nothing. Raises `InvitationNotPending`."""
    invitation = _locked(actor, invitation_id)
    require(actor, REVOKE_INVITATION)
    if state_of(invitation, clock.now()) == REVOKED:
        return invitation
    if invitation.accepted_at is not None:
        raise InvitationNotPending
    invitation.revoked_at = clock.now()
    invitation.save(update_fields=["revoked_at"])
    record(actor, REVOKE_INVITATION.name, invitation)
    return invitation


def open_invitation(call: Call, secret: str) -> Invitation:
    """The invitation behind a link, for the page that shows it. Raises `InvitationInvalid`.

    One answer for whatever does not work: unknown, used, withdrawn, expired, or of somebody who
    may not invite any more. Whoever tries many of them has to wait.
    """
    take("invitation", call.address or "unknown", limit=TRIES_PER_MINUTE, per_seconds=60)
    found = find_invitation(secret)
    if found is None:
        raise InvitationInvalid
    with visiting(found.organization_id):
        return _usable(call, found.id, found.organization_id)[0]


def accept_invitation(call: Call, user: User, secret: str) -> Organization:
    """The person joins the organization of the invitation, with its role and teams. Works once.

    Of two at the same moment one joins. It gives nothing that whoever invited does not hold now.
    A member who follows a link stays what they are, and the link works on. Raises
    `InvitationInvalid`, `InvitationForAnother`.
    """
    take("invitation", call.address or "unknown", limit=TRIES_PER_MINUTE, per_seconds=60)
    found = find_invitation(secret)
    if found is None:
        raise InvitationInvalid
    with visiting(found.organization_id):
        invitation, inviter = _usable(call, found.id, found.organization_id)
        if invitation.email and invitation.email != user.email.lower():
            raise InvitationForAnother
        if not user.is_active or user.kind != User.Kind.PERSON:
            raise PermissionDenied("Only people can accept invitations.")
        if find_membership(invitation.organization_id, user.id) is None:
            _join(call, user, invitation, inviter)
        return invitation.organization


def _places_of(invitation: Invitation) -> list[TeamPlace]:
    """The teams that whoever accepts joins."""
    places = ((parse_uuid(each["team_id"]), each["role"]) for each in invitation.teams)
    return [TeamPlace(team_id, role) for team_id, role in places if team_id is not None]


def _usable(call: Call, invitation_id: UUID, organization_id: UUID) -> tuple[Invitation, Actor]:
    """The invitation, locked, and whoever invited, as they are now.

    The organization first: whoever locks both and the audit trail does it in this order.
    """
    Organization.objects.select_for_update(no_key=True).filter(id=organization_id).first()
    rows = Invitation.objects.for_org(organization_id).select_related("organization")
    usable = rows.filter(accepted_at=None, revoked_at=None, expires_at__gt=clock.now())
    invitation: Invitation | None = (
        usable.select_for_update(of=("self",)).filter(id=invitation_id).first()
    )
    if invitation is None or invitation.organization.status != Organization.Status.ACTIVE:
        raise InvitationInvalid
    inviter = find_member_actor(organization_id, invitation.invited_by_id, call)
    if inviter is None:
        raise InvitationInvalid
    try:
        require(inviter, CREATE_INVITATION)
        require_may_give(inviter, ChosenRole(invitation.role, invitation.custom_role))
        check_places(inviter, _places_of(invitation))
    except FleetdError as error:
        raise InvitationInvalid from error
    return invitation, inviter


def _join(call: Call, user: User, invitation: Invitation, inviter: Actor) -> None:
    at = clock.now()
    membership = Membership(
        organization_id=invitation.organization_id,
        user=user,
        role=invitation.role,
        custom_role=invitation.custom_role,
        created_at=at,
        last_active_at=at,
    )
    membership.save(force_insert=True)
    invitation.accepted_at, invitation.accepted_by = at, user
    invitation.save(update_fields=["accepted_at", "accepted_by"])
    joiner = Actor(
        ActorKind.USER,
        invitation.organization_id,
        user.email,
        call,
        id=user.id,
        user_id=user.id,
        role=invitation.role,
    )
    changes = {
        "email": user.email,
        "role": membership.role_name,
        "invited_by": inviter.label,
    }
    record(joiner, ACCEPT_INVITATION, invitation, changes=changes)
    join_places(inviter, user.id, _places_of(invitation))
    publish(joiner, MemberAdded(user_id=user.id))


def _made(actor: Actor, invitation: Invitation, secret: str) -> NewInvitation:
    """Sends the mail once the invitation is stored, or hands out the link."""
    link = f"{settings.EXTERNAL_URL}/invitations/{secret}"
    if invitation.sent_at is None:
        return NewInvitation(invitation, link, secret)
    organization = Organization.objects.get(id=actor.organization_id)
    context = {
        "organization": organization.name,
        "inviter": actor.label,
        "role": invitation.role_name,
        "link": link,
        "expires_at": invitation.expires_at,
    }
    to = invitation.email
    after_commit(lambda: _send(to, context))
    return NewInvitation(invitation, "", secret)


def _send(to: str, context: dict[str, object]) -> None:
    send_mail("organizations/mail/invitation", to, context)


def _locked(actor: Actor, invitation_id: UUID) -> Invitation:
    rows = Invitation.objects.for_org(actor.organization_id).select_related("custom_role")
    found: Invitation | None = rows.select_for_update(of=("self",)).filter(id=invitation_id).first()
    if found is None:
        raise NotFound
    return found


def _inviter(actor: Actor) -> UUID:
    if actor.user_id is None:
        raise PermissionDenied("Only a person, or a person's key, can invite.")
    return actor.user_id


def _check_places(actor: Actor, places: Sequence[TeamPlace]) -> None:
    if len(places) > MAX_TEAMS:
        raise invalid("teams", "too_many", f"At most {MAX_TEAMS} teams.")
    check_places(actor, places)


def _checked_address(actor: Actor, email: str) -> str:
    """The address in the spelling of accounts, empty for a link; nobody is invited twice."""
    email = email.strip().lower()
    if not email:
        return ""
    try:
        validate_email(email)
    except ValidationError as error:
        raise invalid("email", "invalid_email", "This is not an e-mail address.") from error
    members = Membership.objects.for_org(actor.organization_id)
    if members.filter(user__email__iexact=email).exists():
        raise AlreadyMember
    open_ones = Invitation.objects.for_org(actor.organization_id).filter(
        email=email, accepted_at=None, revoked_at=None
    )
    if open_ones.filter(expires_at__gt=clock.now()).exists():
        raise AlreadyInvited
    open_ones.update(revoked_at=clock.now())  # it has expired: a new one takes its place
    return email


def _lifetime(days: int) -> timedelta:
    if not 1 <= days <= MAX_DAYS:
        message = f"An invitation lasts 1 to {MAX_DAYS} days."
        raise invalid("expires_in_days", "invalid_lifetime", message)
    return timedelta(days=days)


def _sending_at(actor: Actor, email: str) -> datetime | None:
    """When its mail goes out; None where there is no address, or no mail server."""
    if not email or not is_mail_configured():
        return None
    key = str(actor.organization_id)
    take("invitation-mails", key, limit=MAILS_PER_HOUR, per_seconds=3600)
    return clock.now()
