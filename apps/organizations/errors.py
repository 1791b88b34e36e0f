"""What can go wrong with organizations."""

from uuid import UUID

from apps.core.errors import FleetdError, InvalidRequest, Kind, Unauthenticated, Unavailable


class SlugTaken(FleetdError):
    kind, code = Kind.CONFLICT, "slug_taken"
    default_message = "There is an organization with this name already."


class SetupDone(FleetdError):
    kind, code = Kind.STATE, "setup_done"
    default_message = "This installation is set up already. Sign in instead."


class WrongSetupCode(FleetdError):
    kind, code = Kind.DENIED, "wrong_setup_code"
    default_message = "This is not the setup code that the server printed."


class NoOrganization(Unauthenticated):
    """The person belongs to no organization, or not to the one that was asked for."""

    code = "no_organization"
    default_message = "You are not a member of this organization."
    page = "organization-none"


class PolicyRefusal(FleetdError):
    """What an organization's security policy has against a call.

    `organization_id` and `user_id` say whom the audit trail names.
    """

    organization_id: UUID | None = None
    user_id: UUID | None = None


class MfaRequired(PolicyRefusal):
    """The organization asks for a second factor, and the sign-in had none."""

    kind, code = Kind.DENIED, "mfa_required"
    default_message = "This organization asks for a second factor. Set one up, or sign in with it."
    page = "account_access"


class SessionTooOld(PolicyRefusal, Unauthenticated):
    """The organization ends sign-ins after a while, or after a time without use."""

    code = "session_expired"
    default_message = "Your sign-in has ended, as this organization wants it. Sign in again."
    page = "account_access"


class AddressNotAllowed(PolicyRefusal):
    """The organization names the networks that it may be reached from."""

    kind, code = Kind.DENIED, "address_not_allowed"
    default_message = "This organization cannot be reached from your network address."
    page = "account_access"


class WouldLockYouOut(FleetdError):
    """The policy would refuse the very person who sets it."""

    kind, code = Kind.STATE, "would_lock_you_out"
    default_message = "This would shut you out at once."


class OrganizationAmbiguous(FleetdError):
    kind, code = Kind.INVALID, "organization_required"
    default_message = "You belong to several organizations: name one in Fleetd-Organization."


class SingleOrganization(FleetdError):
    kind, code = Kind.STATE, "single_organization"
    default_message = "This installation is set up for one organization (FLEETD_ORGANIZATIONS)."


class OrganizationWaits(Unavailable):
    """What a device hears while its organization is suspended or being deleted: nothing is lost."""

    code = "organization_suspended"
    default_message = "The organization is suspended. Try again later; nothing is lost."


class NameDoesNotMatch(InvalidRequest):
    code = "name_does_not_match"
    default_message = "Type the organization's name exactly as it is."


class LastOwner(FleetdError):
    kind, code = Kind.STATE, "last_owner"
    default_message = "An organization keeps at least one owner. Make somebody else an owner first."


class AlreadyMember(FleetdError):
    kind, code = Kind.CONFLICT, "already_member"
    default_message = "This person is a member already."


class AlreadyInvited(FleetdError):
    kind, code = Kind.CONFLICT, "already_invited"
    default_message = "There is an invitation for this address already. Renew or revoke it."


class InvitationInvalid(FleetdError):
    """One answer for every invitation that does not work, whatever the reason."""

    kind, code = Kind.NOT_FOUND, "invitation_invalid"
    default_message = (
        "This invitation does not work: it was used, withdrawn or has expired. Ask for a new one."
    )


class InvitationForAnother(FleetdError):
    kind, code = Kind.DENIED, "invitation_for_another"
    default_message = "This invitation is for another e-mail address. Sign in with that account."


class InvitationNotPending(FleetdError):
    kind, code = Kind.STATE, "invitation_not_pending"
    default_message = "This invitation was accepted or revoked already."


class QuotaExceeded(FleetdError):
    """A quota of the organization is used up; `data` holds the quota, its limit and the use."""

    kind, code = Kind.EXHAUSTED, "quota_exceeded"
    default_message = "A quota of the organization is used up."


class ExportNotReady(FleetdError):
    kind, code = Kind.STATE, "export_not_ready"
    default_message = "The export is not finished, or has failed."


class RoleNameTaken(FleetdError):
    kind, code = Kind.CONFLICT, "role_name_taken"
    default_message = "There is a role with this name already."


class RoleIsHeld(FleetdError):
    kind, code = Kind.STATE, "role_is_held"
    default_message = "Somebody holds this role, here or in a team. Give them another one first."
