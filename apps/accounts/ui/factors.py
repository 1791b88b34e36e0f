"""Second factors of one's own: authenticator app, passkeys, recovery codes."""

from ipaddress import ip_address
from typing import Any

import qrcode  # type: ignore[import-untyped]
from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.internal.auth import begin_registration
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render, resolve_url
from django.utils.translation import gettext as _

from apps.accounts.errors import SecondFactorConfirmation
from apps.accounts.selectors import has_second_factor, list_second_factors
from apps.accounts.services.second_factors import (
    add_app,
    add_passkey,
    remove_factor,
    rename_passkey,
    renew_recovery_codes,
    show_recovery_codes,
)
from apps.accounts.services.web_sessions import web_call
from apps.accounts.ui.forms import (
    ActivateTOTPForm,
    AddPasskeyForm,
    RenamePasskeyForm,
    forget_enrollment,
)
from apps.accounts.ui.pages import done, person_of
from apps.core.errors import NotFound
from apps.core.web import PersonView, require_recent_sign_in


class App(PersonView):
    """Adds an authenticator app."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """The secret as a picture and as text."""
        _require_proof(request)
        if _has(request, Authenticator.Type.TOTP):
            return HttpResponseRedirect(resolve_url("account"))
        form = ActivateTOTPForm(user=person_of(request), session=request.session)
        return self._page(request, form)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Adds it, once its code is right."""
        _require_proof(request)
        user = person_of(request)
        if _has(request, Authenticator.Type.TOTP):
            return HttpResponseRedirect(resolve_url("account"))
        form = ActivateTOTPForm(request.POST, user=user, session=request.session)
        if not form.is_valid():
            return self._page(request, form, 400)
        add_app(request, user, web_call(request), form.secret)
        forget_enrollment(request.session)
        return _after_adding(request, _("The authenticator app is set up."))

    def _page(
        self, request: HttpRequest, form: ActivateTOTPForm, status: int = 200
    ) -> HttpResponse:
        url = get_adapter().build_totp_url(person_of(request), form.secret)
        groups = [form.secret[i : i + 4] for i in range(0, len(form.secret), 4)]
        context = {"form": form, "secret": " ".join(groups), "qr": _qr(url), "url": url}
        response = render(request, "account/app.html", context, status=status)
        response["Cache-Control"] = "no-store"
        return response


class PasskeyAdd(PersonView):
    """Adds a passkey."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """The challenge, for the script of the page."""
        _require_proof(request)
        return self._page(request, AddPasskeyForm(user=person_of(request)))

    def post(self, request: HttpRequest) -> HttpResponse:
        """The browser's answer to it."""
        _require_proof(request)
        user = person_of(request)
        form = AddPasskeyForm(request.POST, user=user)
        if not form.is_valid():
            return self._page(request, form, 400)
        values = form.cleaned_data
        name = values["name"] or _("Passkey")
        add_passkey(request, user, web_call(request), name=name, credential=values["credential"])
        return _after_adding(request, _("The passkey is added. You can sign in with it alone."))

    def _page(self, request: HttpRequest, form: AddPasskeyForm, status: int = 200) -> HttpResponse:
        context: dict[str, Any] = {"form": form, "is_possible": passkeys_work(request)}
        if context["is_possible"]:
            context["options"] = begin_registration(person_of(request), True)
        return render(request, "account/passkey_add.html", context, status=status)


class PasskeyRename(PersonView):
    """Calls a passkey something else."""

    def post(self, request: HttpRequest, factor_id: int) -> HttpResponse:
        """Renames."""
        form = RenamePasskeyForm(request.POST)
        if form.is_valid():
            name = form.cleaned_data["name"]
            rename_passkey(person_of(request), web_call(request), factor_id, name)
            return done(request, _("The passkey has a new name."))
        return HttpResponseRedirect(resolve_url("account"))


class FactorRemove(PersonView):
    """Takes a factor away."""

    def post(self, request: HttpRequest, factor_id: int) -> HttpResponse:
        """Removes; the recovery codes go with the last one."""
        _require_proof(request)
        remove_factor(request, person_of(request), web_call(request), factor_id)
        return done(request, _("It is removed."))


class RecoveryCodes(PersonView):
    """The codes for the day when app and passkey are gone."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Shown once after they were made."""
        _require_proof(request)
        codes = show_recovery_codes(person_of(request))
        response = render(request, "account/recovery_codes.html", {"codes": codes})
        response["Cache-Control"] = "no-store"
        return response

    def post(self, request: HttpRequest) -> HttpResponse:
        """Makes new ones."""
        _require_proof(request)
        if not any(_has(request, kind) for kind in ("totp", "webauthn")):
            raise NotFound
        renew_recovery_codes(request, person_of(request), web_call(request))
        return HttpResponseRedirect(resolve_url("account_recovery_codes"))


def _require_proof(request: Any) -> None:
    """Raises unless the person proved lately who they are, with a factor if they have one.

    A session that a password alone opened stays when its person adds a factor. Whoever holds such
    a session and the password must not take the factor away, or add one of their own.
    """
    require_recent_sign_in(request)
    is_weak = request.find_sign_in().methods <= {"password"}
    if is_weak and has_second_factor(person_of(request).pk):
        raise SecondFactorConfirmation


def passkeys_work(request: HttpRequest) -> bool:
    """Whether browsers offer passkeys here: https or localhost, and a name, no address."""
    host = request.get_host().rsplit(":", 1)[0].strip("[]")
    try:
        ip_address(host)
    except ValueError:
        return request.is_secure() or host == "localhost"
    return False


def _has(request: HttpRequest, kind: str) -> bool:
    return any(factor.type == kind for factor in list_second_factors(person_of(request).pk))


def _after_adding(request: HttpRequest, text: str) -> HttpResponse:
    """The first factor brings recovery codes: they are shown before anything else."""
    codes = [f for f in list_second_factors(person_of(request).pk) if f.type == "recovery_codes"]
    if codes and not codes[0].wrap().did_view:
        return HttpResponseRedirect(resolve_url("account_recovery_codes"))
    return done(request, text)


def _qr(text: str) -> dict[str, Any]:
    """A QR code as one path of squares."""
    code = qrcode.QRCode(border=2)
    code.add_data(text)
    rows = code.get_matrix()
    path = "".join(
        f"M{x} {y}h1v1h-1z" for y, row in enumerate(rows) for x, dark in enumerate(row) if dark
    )
    return {"size": len(rows), "path": path}
