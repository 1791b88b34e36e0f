"""allauth's hooks: our limits, our mail, our audit trail, our idea of an address on this site."""

from typing import TYPE_CHECKING, Any, cast

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.accounts.domain.sessions import sign_in_of
from apps.accounts.errors import WeakPassword, WrongCredentials
from apps.accounts.selectors import is_email_taken
from apps.accounts.services import passwords
from apps.accounts.services.mail import send_mail
from apps.accounts.services.observers import tell_change
from apps.accounts.services.second_factors import open_secret, seal_secret
from apps.accounts.services.sign_in import (
    DEVICE_LIFETIME,
    check_password,
    device_cookie,
    note_refusal,
    note_success,
)
from apps.accounts.services.web_sessions import web_call
from apps.accounts.ui.browsers import describe
from apps.core.errors import RecentSignInRequired
from apps.core.limits import take
from apps.core.web import is_local_path, require_recent_sign_in

if TYPE_CHECKING:
    from apps.accounts.models import User

DEVICE_COOKIE = "fleetd_device"

_NOTICES = {
    "account/email/password_changed": gettext_lazy("Your password was changed."),
    "account/email/password_reset": gettext_lazy("Your password was reset."),
    "account/email/email_changed": gettext_lazy("The e-mail address of your account was changed."),
    "mfa/email/totp_activated": gettext_lazy("An authenticator app was added to your account."),
    "mfa/email/totp_deactivated": gettext_lazy(
        "The authenticator app was removed from your account."
    ),
    "mfa/email/webauthn_added": gettext_lazy("A passkey was added to your account."),
    "mfa/email/webauthn_removed": gettext_lazy("A passkey was removed from your account."),
    "mfa/email/recovery_codes_generated": gettext_lazy(
        "New recovery codes were made for your account."
    ),
}


class AccountAdapter(DefaultAccountAdapter):
    """How people sign in here, and what leaves the house."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "email_password_mismatch": gettext_lazy("The e-mail address or the password is not right."),
        "incorrect_password": gettext_lazy("This is not your password."),
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Never: accounts are made by setup and by invitation."""
        return False

    def is_safe_url(self, url: str | None) -> bool:
        """Only addresses on this site, written as a path."""
        return is_local_path(url or "")

    def get_client_ip(self, request: Any) -> str:
        """The address that every door sees; sessions need one."""
        return request.client_address or "0.0.0.0"  # noqa: S104 - not listened on

    def authenticate(self, request: HttpRequest, **credentials: Any) -> "User | None":
        """The first step of the form, by the one function that all doors use."""
        try:
            checked = check_password(
                web_call(request),
                email=str(credentials.get("email", "")),
                password=str(credentials.get("password", "")),
                device=request.COOKIES.get(DEVICE_COOKIE, ""),
            )
        except WrongCredentials:
            return None
        cast(Any, request).password_is_too_short = checked.is_too_short
        return checked.user

    def reauthenticate(self, user: "User", password: str) -> bool:
        """In a session that is open already strangers cannot lock anybody out: it has its own."""
        take("reauthenticate", str(user.pk), limit=10, per_seconds=600)
        return user.check_password(password)

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Not just after signing in: that was the proof."""
        try:
            require_recent_sign_in(context.request)
        except RecentSignInRequired:
            return True
        return False

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        """The other ways, in our words."""
        words = {
            "reauthenticate": _("Use your password"),
            "mfa_reauthenticate": _("Use a code"),
            "mfa_reauthenticate:webauthn": _("Use a passkey"),
        }
        methods = super().get_reauthentication_methods(user)
        return [{**method, "description": words[method["id"]]} for method in methods]

    def get_login_stages(self) -> list[str]:
        """What follows the first step, in this order."""
        return [
            "allauth.mfa.stages.AuthenticateStage",
            "allauth.account.stages.EmailVerificationStage",
            "apps.accounts.ui.stages.RenewPasswordStage",
        ]

    def pre_login(self, request: HttpRequest, user: "User", **kwargs: Any) -> HttpResponse | None:
        """Disabled people and service accounts do not pass, whatever they proved."""
        if not user.is_active or user.kind != "person":
            note_refusal(user, web_call(request), method="passkey", error=WrongCredentials())
            user.is_active = False
        response: HttpResponse | None = super().pre_login(request, user, **kwargs)
        return response

    def post_login(self, request: HttpRequest, user: "User", **kwargs: Any) -> HttpResponse:
        """Signed in: recorded, and the browser is known from now on."""
        response: HttpResponse = super().post_login(request, user, **kwargs)
        methods = sign_in_of(request.session, user.pk, None).methods
        note_success(user, web_call(request), methods)
        response.set_cookie(
            DEVICE_COOKIE,
            device_cookie(request.COOKIES.get(DEVICE_COOKIE, ""), user),
            max_age=DEVICE_LIFETIME,
            path="/accounts",
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )
        return response

    def clean_password(self, password: str, user: "User | None" = None) -> str:
        """The installation's rules and those of the person's organizations."""
        if user is None:
            raise ValidationError(_("Open the link again."))
        try:
            passwords.check_new_password(user, password)
        except WeakPassword as error:
            raise ValidationError(error.message) from error
        return password

    def set_password(self, user: "User", password: str) -> None:
        """Changed by its owner, or reset by whoever holds the link."""
        request: Any = context.request
        is_own = request.user.is_authenticated and request.user.pk == user.pk
        action = "accounts.change_password" if is_own else "accounts.reset_password"
        passwords.set_password(user, web_call(request), password, action=action)

    def confirm_email(self, request: HttpRequest, email_address: EmailAddress) -> bool:
        """Not where somebody else has the address by now."""
        user = email_address.user
        if is_email_taken(email_address.email, except_for=user.pk):
            messages.error(request, _("Another account has this address."))
            return False
        before = user.email
        is_done = bool(super().confirm_email(request, email_address))
        if is_done and before != email_address.email:
            changes = {"email": [before, email_address.email]}
            tell_change(user, web_call(request), action="accounts.change_email", changes=changes)
        return is_done

    def get_email_confirmation_url(self, request: HttpRequest, emailconfirmation: Any) -> str:
        """By our own address, whatever Host the request named."""
        path = reverse("account_confirm_email", args=[emailconfirmation.key])
        return f"{settings.EXTERNAL_URL}{path}"

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Without waiting for the mail server."""
        send_mail(template_prefix, email, context)

    def send_notification_mail(
        self,
        template_prefix: str,
        user: "User",
        context: dict[str, Any] | None = None,
        email: str | None = None,
    ) -> None:
        """Tells the owner of an account what was done to it."""
        what = _NOTICES.get(template_prefix)
        if what:
            values = {"what": what, "when": timezone.now(), "email": user.email}
            values["address"] = self.get_client_ip(self.request)
            send_mail("account/email/notice", email or user.email, values)


class MFAAdapter(DefaultMFAAdapter):
    """Secrets are sealed before they reach the database."""

    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "incorrect_code": gettext_lazy("This code is not right, or it has been used already."),
    }

    def generate_authenticator_name(self, user: "User", type: Any) -> str:
        """What a passkey is called until its owner says better: the browser that made it."""
        return describe(context.request.headers.get("User-Agent", "")) or _("Passkey")

    def encrypt(self, text: str) -> str:
        """Sealed with the installation's key."""
        return seal_secret(text)

    def decrypt(self, encrypted_text: str) -> str:
        """Opened again."""
        return open_secret(encrypted_text)
