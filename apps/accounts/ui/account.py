"""One's own account: name, address, password, second factors, sessions."""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render, resolve_url
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_post_parameters

from apps.accounts.errors import EmailTaken, WeakPassword
from apps.accounts.selectors import list_browser_sessions, list_second_factors
from apps.accounts.services.mail import is_mail_configured
from apps.accounts.services.observers import tell_change
from apps.accounts.services.passwords import set_password
from apps.accounts.services.profiles import ask_for_email_change, rename_self
from apps.accounts.services.tokens import sign_out_everywhere
from apps.accounts.services.web_sessions import (
    end_other_sessions,
    end_session,
    keep_session,
    web_call,
)
from apps.accounts.ui.browsers import describe
from apps.accounts.ui.forms import ChangePasswordForm, EmailForm, NameForm
from apps.accounts.ui.pages import done, person_of
from apps.core.limits import forget, take
from apps.core.web import PersonView, add_failure, require_recent_sign_in


class Account(PersonView):
    """Everything at a glance."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """The page."""
        user = person_of(request)
        factors = list_second_factors(user.pk)
        of_type = {kind: [f for f in factors if f.type == kind] for kind in Authenticator.Type}
        context = {
            "user": user,
            "app": next(iter(of_type[Authenticator.Type.TOTP]), None),
            "passkeys": of_type[Authenticator.Type.WEBAUTHN],
            "codes": next(iter(of_type[Authenticator.Type.RECOVERY_CODES]), None),
            "codes_left": _codes_left(of_type[Authenticator.Type.RECOVERY_CODES]),
            "sessions": [_session_row(request, s) for s in list_browser_sessions(user)],
            "new_email": EmailAddress.objects.get_new(user),
            "has_mail": is_mail_configured(),
        }
        return render(request, "account/account.html", context)


class Name(PersonView):
    """What others read."""

    def post(self, request: HttpRequest) -> HttpResponse:
        """Changes it."""
        form = NameForm(request.POST)
        if not form.is_valid():
            messages.error(request, _("A name has at most 150 characters."))
            return HttpResponseRedirect(resolve_url("account"))
        rename_self(person_of(request), web_call(request), form.cleaned_data["name"])
        return done(request, _("Your name is changed."))


@method_decorator(sensitive_post_parameters("current", "password"), name="dispatch")
class Password(PersonView):
    """A new password, which ends every other session."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """The form."""
        return render(request, "account/password_change.html", {"form": ChangePasswordForm()})

    def post(self, request: HttpRequest) -> HttpResponse:
        """Sets it, for whoever knows the present one."""
        user, form = person_of(request), ChangePasswordForm(request.POST)
        if form.is_valid() and self._is_current(user, form) and self._set(request, user, form):
            keep_session(request, user)
            text = _("Your password is changed. Everywhere else you are signed out.")
            return done(request, text)
        return render(request, "account/password_change.html", {"form": form}, status=400)

    def _is_current(self, user: Any, form: ChangePasswordForm) -> bool:
        take("reauthenticate", str(user.pk), limit=10, per_seconds=600)
        if user.check_password(form.cleaned_data["current"]):
            forget("reauthenticate", str(user.pk))
            return True
        form.add_error("current", _("This is not your password."))
        return False

    def _set(self, request: HttpRequest, user: Any, form: ChangePasswordForm) -> bool:
        try:
            new = form.cleaned_data["password"]
            set_password(user, web_call(request), new, action="accounts.change_password")
        except WeakPassword as error:
            add_failure(form, error)
            return False
        return True


class Email(PersonView):
    """Another address, after a message to it was answered."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """The form, or why there is none."""
        return self._page(request, EmailForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        """Sends the message."""
        require_recent_sign_in(request)
        form = EmailForm(request.POST)
        if is_mail_configured() and form.is_valid():
            try:
                ask_for_email_change(request, person_of(request), form.cleaned_data["email"])
                return done(request, _("Open the link in the message to the new address."))
            except EmailTaken as error:
                add_failure(form, error)
        return self._page(request, form, 400)

    def _page(self, request: HttpRequest, form: EmailForm, status: int = 200) -> HttpResponse:
        context = {"form": form, "has_mail": is_mail_configured(), "user": person_of(request)}
        return render(request, "account/email_change.html", context, status=status)


class SessionEnd(PersonView):
    """Signs one browser out."""

    def post(self, request: HttpRequest, session_id: int) -> HttpResponse:
        """At once; one's own too."""
        end_session(person_of(request), web_call(request), session_id)
        return done(request, _("That browser is signed out."))


class SessionsEnd(PersonView):
    """Signs out every other browser."""

    def post(self, request: HttpRequest) -> HttpResponse:
        """This one stays."""
        key = request.session.session_key or ""
        n = end_other_sessions(person_of(request), web_call(request), keep=key)
        one, many = "%(n)s other browser is signed out.", "%(n)s other browsers are signed out."
        return done(request, ngettext(one, many, n) % {"n": n})


class Everywhere(PersonView):
    """Signs out everything: browsers, command lines, programs with tokens."""

    def post(self, request: HttpRequest) -> HttpResponse:
        """This browser too."""
        user = person_of(request)
        tell_change(user, web_call(request), action="accounts.sign_out_everywhere")
        sign_out_everywhere(user)
        logout(request)
        messages.success(request, _("You are signed out everywhere."))
        return HttpResponseRedirect(resolve_url("account_login"))


def _session_row(request: HttpRequest, session: UserSession) -> dict[str, Any]:
    return {
        "id": session.pk,
        "browser": describe(session.user_agent),
        "address": session.ip,
        "began": session.created_at,
        "seen": session.last_seen_at,
        "is_current": session.session_key == request.session.session_key,
    }


def _codes_left(codes: list[Authenticator]) -> int:
    return len(codes[0].wrap().get_unused_codes()) if codes else 0
