"""What can go wrong with people and keys."""

from apps.core.errors import FleetdError, Kind, RecentSignInRequired, Unauthenticated


class InvalidApiKey(Unauthenticated):
    """The key is malformed, unknown, revoked or expired: which one is not said."""

    code = "invalid_api_key"
    default_message = "This API key is not valid."


class InvalidToken(Unauthenticated):
    """The access token is malformed, expired, ended or not ours: which one is not said."""

    code = "invalid_token"
    default_message = "This access token is not valid."


class InvalidRefreshToken(Unauthenticated):
    """The refresh token is malformed, unknown, used, expired or ended: which one is not said."""

    code = "invalid_refresh_token"
    default_message = "This sign-in has ended. Sign in again."


class AuthorizationPending(FleetdError):
    kind, code = Kind.STATE, "authorization_pending"
    default_message = "Nobody has decided yet. Ask again after the interval."


class SlowDown(FleetdError):
    kind, code = Kind.EXHAUSTED, "slow_down"
    default_message = "You ask too often: wait five seconds longer from now on."


class ExpiredDeviceCode(FleetdError):
    kind, code = Kind.STATE, "expired_token"
    default_message = "The code has expired. Begin again."


class DeviceSignInDenied(FleetdError):
    kind, code = Kind.DENIED, "access_denied"
    default_message = "The sign-in was denied."


class InvalidGrant(FleetdError):
    """The device code or refresh token is malformed, unknown or used up: which is not said."""

    kind, code = Kind.UNAUTHENTICATED, "invalid_grant"
    default_message = "This code or token is not valid."


class UnknownUserCode(FleetdError):
    """The code on the page is mistyped, expired or decided already."""

    kind, code = Kind.INVALID, "unknown_user_code"
    default_message = "This code is not valid. Check it, or begin again on the device."


class KeyTooFresh(FleetdError):
    """The next signing key was published so recently that others may not have read it yet."""

    kind, code = Kind.STATE, "key_too_fresh"
    default_message = "The next key was published too recently to sign with it."


class WrongCredentials(Unauthenticated):
    """Unknown address, wrong password, disabled person or service account: not said which."""

    code = "invalid_credentials"
    default_message = "The e-mail address or the password is not right."


class SecondFactorRequired(Unauthenticated):
    code = "second_factor_required"
    default_message = "Send the code of your authenticator app, or a recovery code, as well."


class WrongSecondFactor(Unauthenticated):
    code = "invalid_second_factor"
    default_message = "This code is not right, or it has been used already."


class PasswordChangeRequired(FleetdError):
    kind, code = Kind.DENIED, "password_change_required"
    default_message = "Your organization asks for a longer password. Sign in on the web to set one."


class EmailNotVerified(FleetdError):
    kind, code = Kind.DENIED, "email_not_verified"
    default_message = "Confirm your e-mail address first: sign in on the web to get the message."


class EmailTaken(FleetdError):
    kind, code = Kind.CONFLICT, "email_taken"
    default_message = "There is an account with this e-mail address already."


class WeakPassword(FleetdError):
    kind, code = Kind.INVALID, "weak_password"
    default_message = "This password is too easy to guess."


class SecondFactorConfirmation(RecentSignInRequired):
    """The act is about second factors: the password alone is not enough to confirm it."""

    default_message = "Confirm with your app, a passkey or a recovery code, then do it again."
    page = "mfa_reauthenticate"
