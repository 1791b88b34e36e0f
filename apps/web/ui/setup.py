"""The first account, before there is anybody to sign in."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache

from apps.accounts.selectors import has_users
from apps.accounts.services.web_sessions import open_session
from apps.core.errors import FleetdError
from apps.organizations.services.setup import complete_setup

FIELDS = ("code", "email", "organization")


@method_decorator(never_cache, name="dispatch")
class Setup(View):
    """Makes the first owner and organization for whoever holds the one-time code."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """The form; once somebody has an account it leads to the dashboard."""
        if has_users():
            return redirect("dashboard")
        values = {"code": request.GET.get("code", "")}
        return render(request, "web/setup.html", {"values": values, "errors": {}})

    def post(self, request: HttpRequest) -> HttpResponse:
        """Makes the account and signs its owner in."""
        values = {name: request.POST.get(name, "").strip() for name in FIELDS}
        try:
            made = complete_setup(
                None,
                code=values["code"],
                email=values["email"],
                password=request.POST.get("password", ""),
                organization_name=values["organization"],
            )
        except FleetdError as error:
            context = {"values": values, "errors": _errors(error)}
            return render(request, "web/setup.html", context, status=400)
        open_session(request, made.owner)
        return redirect("dashboard")


def _errors(error: FleetdError) -> dict[str, object]:
    """Messages by field, and those that belong to none under `all`."""
    by_field: dict[str, object] = {item.field: item.message for item in error.fields}
    if error.code == "wrong_setup_code":
        return {"code": error.message}
    return by_field or {"all": [error.message]}
