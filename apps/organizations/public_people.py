"""Members and invitations, as REST and RPC offer them."""

from apps.accounts.models import User
from apps.accounts.selectors import find_active_user
from apps.core import clock
from apps.core.actors import Actor, ActorKind
from apps.core.errors import PermissionDenied
from apps.core.public import SIGNED_IN, id_of, ids_of, operation, page_of, timestamp
from apps.organizations import people
from apps.organizations.domain.invitations import state_of
from apps.organizations.joining import TeamPlace
from apps.organizations.messages import organization_message
from apps.organizations.models import Invitation
from apps.organizations.permissions import (
    CHANGE_MEMBER_ROLE,
    CREATE_INVITATION,
    LEAVE_ORGANIZATION,
    REMOVE_MEMBER,
    RESEND_INVITATION,
    REVOKE_INVITATION,
    VIEW_INVITATIONS,
    VIEW_MEMBERS,
)
from apps.organizations.services import invitations, members
from fleetd.pb.public.v1 import organization_pb2 as pb


@operation(VIEW_MEMBERS)
def list_members(actor: Actor, request: pb.ListMembersRequest) -> pb.ListMembersResponse:
    """The people in the organization with their roles, oldest first."""
    page = people.list_members(actor, page_of(request))
    return pb.ListMembersResponse(
        items=[member_message(each) for each in page.items], next_page_token=page.next_page_token
    )


@operation(VIEW_MEMBERS)
def get_member(actor: Actor, request: pb.GetMemberRequest) -> pb.GetMemberResponse:
    """One member."""
    return pb.GetMemberResponse(member=member_message(people.get_member(actor, id_of(request.id))))


@operation(CHANGE_MEMBER_ROLE)
def change_member_role(
    actor: Actor, request: pb.ChangeMemberRoleRequest
) -> pb.ChangeMemberRoleResponse:
    """Gives a member another role; it holds from their next call on. The last owner stays one."""
    member = members.change_member_role(
        actor, id_of(request.id), role=request.role, custom_role_id=request.custom_role_id
    )
    found = people.describe(actor.organization_id, [member])[0]
    return pb.ChangeMemberRoleResponse(member=member_message(found))


@operation(REMOVE_MEMBER)
def remove_member(actor: Actor, request: pb.RemoveMemberRequest) -> pb.RemoveMemberResponse:
    """Takes a person out at once, with teams, grants and API keys. The last owner stays."""
    members.remove_member(actor, id_of(request.id))
    return pb.RemoveMemberResponse()


@operation(CHANGE_MEMBER_ROLE)
def change_member_roles(
    actor: Actor, request: pb.ChangeMemberRolesRequest
) -> pb.ChangeMemberRolesResponse:
    """Gives several members a role; each stands for itself, see `code` in the results."""
    results = members.change_member_roles(
        actor,
        ids_of(request.ids, "ids"),
        role=request.role,
        custom_role_id=request.custom_role_id,
    )
    return pb.ChangeMemberRolesResponse(results=[result_message(each) for each in results])


@operation(REMOVE_MEMBER)
def remove_members(actor: Actor, request: pb.RemoveMembersRequest) -> pb.RemoveMembersResponse:
    """Takes several people out; each stands for itself, see `code` in the results."""
    results = members.remove_members(actor, ids_of(request.ids, "ids"))
    return pb.RemoveMembersResponse(results=[result_message(each) for each in results])


@operation(LEAVE_ORGANIZATION)
def leave_organization(
    actor: Actor, request: pb.LeaveOrganizationRequest
) -> pb.LeaveOrganizationResponse:
    """Takes the caller out of the organization. The last owner cannot leave, nor can a key."""
    members.leave_organization(actor, id_of(request.id))
    return pb.LeaveOrganizationResponse()


@operation(VIEW_INVITATIONS)
def list_invitations(
    actor: Actor, request: pb.ListInvitationsRequest
) -> pb.ListInvitationsResponse:
    """The organization's invitations, newest first, without their links."""
    page = people.list_invitations(actor, page_of(request))
    return pb.ListInvitationsResponse(
        items=[invitation_message(each) for each in page.items],
        next_page_token=page.next_page_token,
    )


@operation(VIEW_INVITATIONS)
def get_invitation(actor: Actor, request: pb.GetInvitationRequest) -> pb.GetInvitationResponse:
    """One invitation, without its link."""
    found = people.get_invitation(actor, id_of(request.id))
    return pb.GetInvitationResponse(invitation=invitation_message(found))


@operation(CREATE_INVITATION)
def create_invitation(
    actor: Actor, request: pb.CreateInvitationRequest
) -> pb.CreateInvitationResponse:
    """Invites one person. The link is in the answer where it did not go by mail, this once."""
    made = invitations.create_invitation(
        actor,
        email=request.email,
        role=request.role,
        custom_role_id=request.custom_role_id,
        teams=[TeamPlace(id_of(each.team_id), each.role) for each in request.teams],
        days=request.expires_in_days or invitations.DEFAULT_DAYS,
    )
    return pb.CreateInvitationResponse(
        invitation=invitation_message(made.invitation), link=made.link
    )


@operation(RESEND_INVITATION)
def resend_invitation(
    actor: Actor, request: pb.ResendInvitationRequest
) -> pb.ResendInvitationResponse:
    """A new link, valid for a week; the old one stops working."""
    made = invitations.resend_invitation(actor, id_of(request.id))
    return pb.ResendInvitationResponse(
        invitation=invitation_message(made.invitation), link=made.link
    )


@operation(REVOKE_INVITATION)
def revoke_invitation(
    actor: Actor, request: pb.RevokeInvitationRequest
) -> pb.RevokeInvitationResponse:
    """Withdraws an invitation."""
    revoked = invitations.revoke_invitation(actor, id_of(request.id))
    return pb.RevokeInvitationResponse(invitation=invitation_message(revoked))


@operation(SIGNED_IN)
def accept_invitation(
    actor: Actor, request: pb.AcceptInvitationRequest
) -> pb.AcceptInvitationResponse:
    """The caller, a person, joins the organization of the invitation. It works once."""
    joined = invitations.accept_invitation(actor.call, _person(actor), request.secret)
    return pb.AcceptInvitationResponse(organization=organization_message(joined))


def member_message(member: people.Member) -> pb.Member:
    """A person with a role and what is known of them."""
    membership = member.membership
    return pb.Member(
        id=str(membership.id),
        user_id=str(membership.user_id),
        email=membership.user.email,
        name=membership.user.name,
        role=membership.role,
        created_at=timestamp(membership.created_at),
        custom_role_id=str(membership.custom_role_id or ""),
        role_name=membership.role_name,
        last_active_at=timestamp(membership.last_active_at),
        has_second_factor=member.has_second_factor,
        teams=member.teams,
        sign_in_source=member.sign_in_source,
    )


def invitation_message(invitation: Invitation) -> pb.Invitation:
    """An invitation without its secret."""
    return pb.Invitation(
        id=str(invitation.id),
        email=invitation.email,
        role=invitation.role,
        custom_role_id=str(invitation.custom_role_id or ""),
        role_name=invitation.role_name,
        teams=[pb.InvitationTeam(**each) for each in invitation.teams],
        invited_by=invitation.invited_by.email,
        created_at=timestamp(invitation.created_at),
        expires_at=timestamp(invitation.expires_at),
        sent_at=timestamp(invitation.sent_at),
        state=state_of(invitation, clock.now()),
        accepted_at=timestamp(invitation.accepted_at),
    )


def result_message(result: members.MemberResult) -> pb.MemberResult:
    """What came of it for one member."""
    if result.failure is None:
        return pb.MemberResult(id=str(result.member_id))
    failure = result.failure
    return pb.MemberResult(id=str(result.member_id), code=failure.code, message=failure.message)


def _person(actor: Actor) -> User:
    user = find_active_user(actor.user_id) if actor.user_id else None
    if actor.kind is not ActorKind.USER or user is None:
        raise PermissionDenied("Only a person can do this, not a key.")
    return user
