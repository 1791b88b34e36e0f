"""A forgotten password: the message, and the page that its link opens."""

from typing import Any

from allauth.account import views as allauth
from allauth.account.forms import ResetPasswordKeyForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache

from apps.accounts.selectors import find_person
from apps.accounts.services.mail import is_mail_configured
from apps.accounts.services.passwords import mail_reset_link
from apps.accounts.services.web_sessions import web_call
from apps.accounts.ui.forms import EmailForm
from apps.core.addresses import limit_key
from apps.core.limits import Limit, take_all


@method_decorator(never_cache, name="dispatch")
class ForgottenPassword(View):
    """Sends a link. The answer is the same whether or not there is such an account."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """The form, or why there is none."""
        return self._page(request, EmailForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        """Sends the message, soon."""
        form = EmailForm(request.POST)
        if not is_mail_configured() or not form.is_valid():
            return self._page(request, form, 400)
        email = form.cleaned_data["email"].lower()
        address = limit_key(web_call(request).address)
        take_all([Limit("reset_address", address, 20, 3600), Limit("reset_email", email, 3, 3600)])
        mail_reset_link(find_person(email), email)
        return render(request, "account/password_reset_done.html", {"email": email})

    def _page(self, request: HttpRequest, form: EmailForm, status: int = 200) -> HttpResponse:
        context = {"form": form, "has_mail": is_mail_configured()}
        return render(request, "account/password_reset.html", context, status=status)


class NewPasswordOnce(ResetPasswordKeyForm):
    """One field, which can be made visible, instead of two."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        del self.fields["password2"]

    def clean(self) -> dict[str, Any]:
        """There is nothing to compare with."""
        return self.cleaned_data


class PasswordFromLink(allauth.PasswordResetFromKeyView):
    """Sets a new password for whoever holds the link. Signs nobody in: second factors stay."""

    form_class = NewPasswordOnce

    def render_to_response(self, context: Any, **kwargs: Any) -> HttpResponse:
        """A link that does not work any more is no success."""
        response: HttpResponse = super().render_to_response(context, **kwargs)
        if context.get("token_fail"):
            response.status_code = 404
        return response
