"""Signing in and out: password, second step, passkey, a new password where one is asked for."""

from typing import Any

from allauth.account import views as allauth
from allauth.account.internal.decorators import login_stage_required
from allauth.account.internal.flows.login import perform_login
from allauth.account.models import Login as PendingLogin
from allauth.mfa.base import views as mfa
from allauth.mfa.base.internal.flows import post_authentication
from allauth.mfa.webauthn import views as webauthn
from allauth.mfa.webauthn.internal import auth
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render, resolve_url
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from apps.accounts.errors import WeakPassword, WrongCredentials
from apps.accounts.services.mail import is_mail_configured
from apps.accounts.services.passwords import set_password
from apps.accounts.services.sign_in import count_passkey_attempt, note_refusal
from apps.accounts.services.web_sessions import web_call
from apps.accounts.ui.forms import (
    AuthenticateForm,
    LoginForm,
    NewPasswordForm,
    PasskeyLoginForm,
    PasskeyReauthenticateForm,
    PasskeyStepForm,
    ReauthenticateForm,
)
from apps.accounts.ui.stages import RenewPasswordStage
from apps.core.web import add_failure, is_local_path


class Login(allauth.LoginView):
    """E-mail and password."""

    form_class = LoginForm

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Whether a forgotten password can be helped by mail."""
        return {**super().get_context_data(**kwargs), "has_mail": is_mail_configured()}


class SecondStep(mfa.AuthenticateView):
    """A code, or a passkey."""

    form_class = AuthenticateForm
    webauthn_form_class = PasskeyStepForm


@method_decorator(never_cache, name="dispatch")
class PasskeyLogin(View):
    """A passkey alone. It proves possession and a PIN or finger: nothing else is asked for."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """The challenge, for the script of the sign-in page."""
        if request.headers.get("Accept") != "application/json":
            return HttpResponseRedirect(resolve_url("account_login"))
        count_passkey_attempt(web_call(request).address)
        return JsonResponse({"request_options": auth.begin_authentication(user=None)})

    def post(self, request: HttpRequest) -> HttpResponse:
        """The browser's answer to it."""
        if request.user.is_authenticated:
            return HttpResponseRedirect(resolve_url("dashboard"))
        form = PasskeyLoginForm(data=request.POST)
        if not form.is_valid():
            note_refusal(None, web_call(request), method="passkey", error=WrongCredentials())
            messages.error(request, _("This passkey does not open an account here."))
            return HttpResponseRedirect(resolve_url("account_login"))
        authenticator = form.cleaned_data["credential"]
        post_authentication(request, authenticator, passwordless=True)
        target = request.POST.get("next", "")
        login = PendingLogin(
            user=authenticator.user, redirect_url=target if is_local_path(target) else None
        )
        response: HttpResponse = perform_login(request, login)
        return response


@method_decorator(
    login_stage_required(stage=RenewPasswordStage.key, redirect_urlname="account_login"),
    name="dispatch",
)
@method_decorator(sensitive_post_parameters("password"), name="dispatch")
class RenewPassword(View):
    """The password was right, and is shorter than an organization of the person wants."""

    def get(self, request: Any) -> HttpResponse:
        """The form."""
        return self._page(request, NewPasswordForm())

    def post(self, request: Any) -> HttpResponse:
        """Sets it and goes on signing in."""
        stage, form = request._login_stage, NewPasswordForm(request.POST)
        if form.is_valid():
            try:
                set_password(
                    stage.login.user,
                    web_call(request),
                    form.cleaned_data["password"],
                    action="accounts.change_password",
                )
                response: HttpResponse = stage.exit()
                return response
            except WeakPassword as error:
                add_failure(form, error)
        return self._page(request, form)

    def _page(self, request: Any, form: NewPasswordForm) -> HttpResponse:
        context = {"form": form, "user": request._login_stage.login.user}
        return render(request, "account/renew_password.html", context)


class Reauthenticate(allauth.ReauthenticateView):
    """Who is at the keyboard: by password."""


class ReauthenticateByCode(mfa.ReauthenticateView):
    """By code."""

    form_class = ReauthenticateForm


class ReauthenticateByPasskey(webauthn.ReauthenticateWebAuthnView):
    """By passkey."""

    form_class = PasskeyReauthenticateForm

    def form_invalid(self, form: Any) -> HttpResponse:
        """Asks again."""
        messages.error(self.request, _("That did not work. Try again, or choose another way."))
        return HttpResponseRedirect(self.request.get_full_path())


class Logout(allauth.LogoutView):
    """By a form only; a link asks first."""
