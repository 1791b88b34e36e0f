"""What can go wrong with people and keys."""

from apps.core.errors import FleetdError, Kind, Unauthenticated


class InvalidApiKey(Unauthenticated):
    """The key is malformed, unknown, revoked or expired: which one is not said."""

    code = "invalid_api_key"
    default_message = "This API key is not valid."


class EmailTaken(FleetdError):
    kind, code = Kind.CONFLICT, "email_taken"
    default_message = "There is an account with this e-mail address already."


class WeakPassword(FleetdError):
    kind, code = Kind.INVALID, "weak_password"
    default_message = "This password is too easy to guess."
