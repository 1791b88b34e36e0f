"""What can go wrong with organizations."""

from apps.core.errors import FleetdError, Kind, Unauthenticated


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


class MfaRequired(FleetdError):
    """The organization asks for a second factor, and the sign-in had none."""

    kind, code = Kind.DENIED, "mfa_required"
    default_message = "This organization asks for a second factor. Set one up, or sign in with it."
    page = "account_access"


class SessionTooOld(Unauthenticated):
    """The organization ends sign-ins after a while, or after a time without use."""

    code = "session_expired"
    default_message = "Your sign-in has ended, as this organization wants it. Sign in again."
    page = "account_access"


class AddressNotAllowed(FleetdError):
    """The organization names the networks that it may be reached from."""

    kind, code = Kind.DENIED, "address_not_allowed"
    default_message = "This organization cannot be reached from your network address."
    page = "account_access"


class OrganizationAmbiguous(FleetdError):
    kind, code = Kind.INVALID, "organization_required"
    default_message = "You belong to several organizations: name one in Fleetd-Organization."
