"""Addresses of signing in, of one's own account and of one's own API keys."""

from allauth.account import views as allauth
from django.urls import path, re_path
from django.views.generic import RedirectView

from apps.accounts.ui import account, api_keys, factors, reset, sign_in

_sign_in = RedirectView.as_view(pattern_name="account_login")

# Of allauth's pages only what is listed here answers: nobody can sign up. The names are allauth's
# where it asks for them.
signing_in = [
    path("accounts/login", sign_in.Login.as_view(), name="account_login"),
    path("accounts/login/passkey", sign_in.PasskeyLogin.as_view(), name="mfa_login_webauthn"),
    path("accounts/login/second-step", sign_in.SecondStep.as_view(), name="mfa_authenticate"),
    path("accounts/login/password", sign_in.RenewPassword.as_view(), name="account_renew_password"),
    path("accounts/logout", sign_in.Logout.as_view(), name="account_logout"),
    path("accounts/signup", _sign_in, name="account_signup"),
    path("accounts/inactive", allauth.account_inactive, name="account_inactive"),
    path("accounts/confirm", sign_in.Reauthenticate.as_view(), name="account_reauthenticate"),
    path(
        "accounts/confirm/code", sign_in.ReauthenticateByCode.as_view(), name="mfa_reauthenticate"
    ),
    path(
        "accounts/confirm/passkey",
        sign_in.ReauthenticateByPasskey.as_view(),
        name="mfa_reauthenticate_webauthn",
    ),
    path(
        "accounts/password/reset", reset.ForgottenPassword.as_view(), name="account_reset_password"
    ),
    path(
        "accounts/password/reset/done",
        allauth.password_reset_from_key_done,
        name="account_reset_password_from_key_done",
    ),
    re_path(
        r"^accounts/password/reset/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)$",
        reset.PasswordFromLink.as_view(),
        name="account_reset_password_from_key",
    ),
    path(
        "accounts/email/sent",
        allauth.email_verification_sent,
        name="account_email_verification_sent",
    ),
    re_path(
        r"^accounts/email/confirm/(?P<key>[-:\w]+)$",
        allauth.confirm_email,
        name="account_confirm_email",
    ),
]

mine = [
    path("accounts/", account.Account.as_view(), name="account"),
    path("accounts", RedirectView.as_view(pattern_name="account")),
    path("accounts/name", account.Name.as_view(), name="account_name"),
    path("accounts/password", account.Password.as_view(), name="account_change_password"),
    path("accounts/email", account.Email.as_view(), name="account_email"),
    path("accounts/app", factors.App.as_view(), name="account_app"),
    path("accounts/passkeys/add", factors.PasskeyAdd.as_view(), name="account_passkey_add"),
    path(
        "accounts/passkeys/<int:factor_id>",
        factors.PasskeyRename.as_view(),
        name="account_passkey_rename",
    ),
    path(
        "accounts/factors/<int:factor_id>/remove",
        factors.FactorRemove.as_view(),
        name="account_factor_remove",
    ),
    path("accounts/recovery-codes", factors.RecoveryCodes.as_view(), name="account_recovery_codes"),
    path(
        "accounts/sessions/<int:session_id>/end",
        account.SessionEnd.as_view(),
        name="account_session_end",
    ),
    path("accounts/sessions/end", account.SessionsEnd.as_view(), name="account_sessions_end"),
    path("accounts/everywhere/end", account.Everywhere.as_view(), name="account_everywhere_end"),
]

urlpatterns = [
    *signing_in,
    *mine,
    path("api-keys", api_keys.ApiKeyList.as_view(), name="api-keys"),
    path(
        "api-keys/<uuid:api_key_id>/revoke", api_keys.ApiKeyRevoke.as_view(), name="api-key-revoke"
    ),
]
