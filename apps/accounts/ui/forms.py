"""The forms of signing in and of one's own account; allauth's, with our checks inside."""

import struct
from typing import TYPE_CHECKING, Any

from allauth.account.forms import LoginForm as AllauthLoginForm
from allauth.core import context
from allauth.mfa.adapter import get_adapter
from allauth.mfa.base.forms import AuthenticateForm as AllauthAuthenticateForm
from allauth.mfa.base.forms import ReauthenticateForm as AllauthReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn import forms as webauthn
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from django import forms
from django.utils.crypto import get_random_string
from django.utils.translation import gettext_lazy as _

from apps.accounts.errors import WrongSecondFactor
from apps.accounts.services.observers import tell_change
from apps.accounts.services.second_factors import (
    check_code,
    matching_counter,
    open_secret,
    seal_secret,
    take_attempt,
)
from apps.accounts.services.sign_in import note_refusal
from apps.accounts.services.web_sessions import web_call
from apps.accounts.ui.stages import TOO_SHORT
from apps.core.errors import FleetdError, TooMany

if TYPE_CHECKING:
    from apps.accounts.models import User

# What a made-up credential makes of the parsers in fido2: never a failure of ours.
MALFORMED = (
    ArithmeticError,
    AttributeError,
    InvalidSignature,
    LookupError,
    RecursionError,
    TypeError,
    UnsupportedAlgorithm,
    ValueError,
    struct.error,
)
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_SECRET_KEY = "totp_enrollment"  # noqa: S105 - where the session keeps it, sealed


class LoginForm(AllauthLoginForm):
    """Remembers for the last step that the password is too short by now."""

    def _clean_with_password(self, credentials: dict[str, Any]) -> Any:
        cleaned = super()._clean_with_password(credentials)
        self._login.state[TOO_SHORT] = self.request.password_is_too_short
        return cleaned


class CodeMixin:
    """Checks a code by the one function that every door uses."""

    user: "User"
    authenticator: Authenticator
    cleaned_data: dict[str, Any]

    def clean_code(self) -> str:
        """A code works once."""
        code = str(self.cleaned_data["code"])
        try:
            self.authenticator = check_code(self.user, code)
        except (WrongSecondFactor, TooMany) as error:
            self.note(error)
            if isinstance(error, TooMany):
                raise
            raise get_adapter().validation_error("incorrect_code") from error
        self.authenticator.user = self.user
        if self.authenticator.type == Authenticator.Type.RECOVERY_CODES:
            tell_change(self.user, web_call(context.request), action="accounts.use_recovery_code")
        return code

    def note(self, error: FleetdError) -> None:
        """What the audit trail hears of a wrong code."""


class AuthenticateForm(CodeMixin, AllauthAuthenticateForm):
    """The second step of signing in."""

    def note(self, error: FleetdError) -> None:
        """A refused sign-in."""
        note_refusal(self.user, web_call(context.request), method="password+code", error=error)


class ReauthenticateForm(CodeMixin, AllauthReauthenticateForm):
    """Who is at the keyboard, asked in an open session."""


class CredentialMixin:
    """Takes whatever a browser, or somebody else, sends as a passkey's answer."""

    user: "User | None"

    def clean_credential(self) -> Any:
        """What cannot be read is wrong, as a wrong signature is."""
        try:
            return super().clean_credential()  # type: ignore[misc]
        except MALFORMED as error:
            raise get_adapter().validation_error("incorrect_code") from error


class PasskeyLoginForm(CredentialMixin, webauthn.LoginWebAuthnForm):
    """Signing in with a passkey alone."""


class PasskeyStepForm(CredentialMixin, webauthn.AuthenticateWebAuthnForm):
    """A passkey as the second step."""


class PasskeyReauthenticateForm(CredentialMixin, webauthn.ReauthenticateWebAuthnForm):
    """A passkey, asked for in an open session."""


class AddPasskeyForm(webauthn._BaseAddWebAuthnForm):
    """A new passkey: always one that can sign in alone, with a PIN or finger."""

    name = forms.CharField(max_length=60, required=False, label=_("What to call it"))

    def clean(self) -> dict[str, Any]:
        """What cannot be read is refused."""
        self.cleaned_data["passwordless"] = True
        try:
            cleaned: dict[str, Any] = super().clean()
        except MALFORMED as error:
            raise get_adapter().validation_error("incorrect_code") from error
        return cleaned


class RenamePasskeyForm(forms.Form):
    """A passkey's name."""

    name = forms.CharField(max_length=60, label=_("What to call it"))


class ActivateTOTPForm(forms.Form):
    """Proves that the app shows the codes of the secret that was shown."""

    code = forms.CharField(
        max_length=20,
        label=_("Code from the app"),
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}),
    )

    def __init__(self, *args: Any, user: "User", session: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        if _SECRET_KEY not in session:  # kept for reloads; sealed, as sessions lie in the database
            session[_SECRET_KEY] = seal_secret(get_random_string(32, _BASE32))
        self.secret = open_secret(session[_SECRET_KEY])

    def clean_code(self) -> str:
        """Right now, or half a minute off."""
        take_attempt(self.user)
        code = "".join(self.cleaned_data["code"].split())
        if matching_counter(self.secret, code) is None:
            raise get_adapter().validation_error("incorrect_code")
        return code


def forget_enrollment(session: Any) -> None:
    """The next app gets another secret."""
    session.pop(_SECRET_KEY, None)


class NewPasswordForm(forms.Form):
    """A new password, once: the field can be made visible."""

    password = forms.CharField(
        label=_("New password"),
        strip=False,
        max_length=1024,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )


class ChangePasswordForm(NewPasswordForm):
    """A new password from somebody who knows the old one."""

    current = forms.CharField(
        label=_("Current password"),
        strip=False,
        max_length=1024,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    field_order = ("current", "password")


class NameForm(forms.Form):
    """What others read."""

    name = forms.CharField(label=_("Name"), max_length=150, required=False)


class EmailForm(forms.Form):
    """The address to change to, or to send something to."""

    email = forms.EmailField(label=_("E-mail"), max_length=254)
