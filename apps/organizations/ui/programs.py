"""Accounts of programs with their keys, and giving a key a new secret."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.accounts.domain.key_states import state_of
from apps.accounts.permissions import (
    MANAGE_SERVICE_ACCOUNTS,
    ROTATE_API_KEY,
    VIEW_SERVICE_ACCOUNTS,
)
from apps.accounts.selectors import get_api_key, list_api_keys
from apps.core import clock
from apps.core.authz import Role, needs, permissions_of
from apps.core.errors import FleetdError, invalid
from apps.core.pagination import PageRequest
from apps.core.web import OrgRequest, OrgView, attempt, failure_lines, go
from apps.organizations.services import service_accounts as services

LIFETIMES = [
    (7, gettext_lazy("7 days")),
    (30, gettext_lazy("30 days")),
    (90, gettext_lazy("90 days")),
    (365, gettext_lazy("1 year")),
]
DEFAULT_DAYS = 90
OVERLAPS = [
    (0, gettext_lazy("not at all")),
    (3600, gettext_lazy("for 1 hour")),
    (86_400, gettext_lazy("for 1 day")),
    (7 * 86_400, gettext_lazy("for 7 days")),
]
DEFAULT_OVERLAP = 86_400


class ServiceAccountList(OrgView):
    """The organization's service accounts, and the form that makes one."""

    @needs(VIEW_SERVICE_ACCOUNTS)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The page."""
        page = services.list_service_accounts(
            request.actor, PageRequest.of(None, request.GET.get("page_token"))
        )
        given = [r for r in Role if r is not Role.OWNER]
        context = {
            "actor": request.actor,
            "settings_section": "service-accounts",
            "page": page,
            "accounts": page.items,
            "roles": [
                (r.value, r.name.title())
                for r in given
                if request.actor.holds_all(permissions_of(r))
            ],
        }
        return render(request, "settings/service_accounts.html", context)

    @needs(MANAGE_SERVICE_ACCOUNTS)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Makes one and goes to its page, where it gets its keys."""
        name, role = request.POST.get("name", ""), request.POST.get("role", "")
        made = attempt(
            request, lambda: services.create_service_account(request.actor, name=name, role=role)
        )
        if made is None:
            return go(request, "settings-service-accounts")
        messages.success(request, _("The account is made. Programs need a key of it."))
        return go(request, "service-account", made.user.id)


class ServiceAccountPage(OrgView):
    """One service account with its keys."""

    @needs(VIEW_SERVICE_ACCOUNTS)
    def get(self, request: OrgRequest, account_id: UUID) -> HttpResponse:
        """The page."""
        return _account_page(request, account_id)

    @needs(MANAGE_SERVICE_ACCOUNTS)
    def post(self, request: OrgRequest, account_id: UUID) -> HttpResponse:
        """Makes a key and shows its secret, this once."""
        try:
            made = services.create_service_account_key(
                request.actor,
                account_id,
                name=request.POST.get("name", ""),
                lifetime=_days(request),
                networks=request.POST.get("networks", "").replace(",", " ").split(),
            )
        except FleetdError as error:
            if not error.fields:
                raise
            return _account_page(request, account_id, errors=failure_lines(error))
        return _account_page(request, account_id, made=made)


class ServiceAccountDisable(OrgView):
    """Stops its keys."""

    @needs(MANAGE_SERVICE_ACCOUNTS)
    def post(self, request: OrgRequest, account_id: UUID) -> HttpResponse:
        """Disables."""
        done = _("The account is disabled: its keys are refused within seconds.")
        attempt(request, lambda: services.disable_service_account(request.actor, account_id), done)
        return go(request, "service-account", account_id)


class ServiceAccountEnable(OrgView):
    """Lets its keys work again."""

    @needs(MANAGE_SERVICE_ACCOUNTS)
    def post(self, request: OrgRequest, account_id: UUID) -> HttpResponse:
        """Enables."""
        done = _("The account is enabled: its keys work again.")
        attempt(request, lambda: services.enable_service_account(request.actor, account_id), done)
        return go(request, "service-account", account_id)


class ServiceAccountDelete(OrgView):
    """Ends it for ever."""

    @needs(MANAGE_SERVICE_ACCOUNTS)
    def post(self, request: OrgRequest, account_id: UUID) -> HttpResponse:
        """Deletes."""
        services.delete_service_account(request.actor, account_id)
        messages.success(request, _("The account is deleted, and its keys with it."))
        return go(request, "settings-service-accounts")


class KeyRenewal(OrgView):
    """A new secret for a key of one's own or of a service account."""

    @needs(ROTATE_API_KEY)
    def get(self, request: OrgRequest, api_key_id: UUID) -> HttpResponse:
        """Asks how long the old secret goes on."""
        key = get_api_key(request.actor, api_key_id)
        context = {
            "actor": request.actor,
            "settings_section": "api-keys",
            "key": key,
            "overlaps": OVERLAPS,
            "default_overlap": DEFAULT_OVERLAP,
        }
        return render(request, "accounts/key_renewal.html", context)

    @needs(ROTATE_API_KEY)
    def post(self, request: OrgRequest, api_key_id: UUID) -> HttpResponse:
        """Renews and shows the secret, this once."""
        get_api_key(request.actor, api_key_id)
        chosen = request.POST.get("overlap", "")
        if chosen not in {str(seconds) for seconds, _word in OVERLAPS}:
            raise invalid("overlap", "invalid_overlap", _("Choose how long the old secret works."))
        overlap = timedelta(seconds=int(chosen))
        made = attempt(
            request, lambda: services.rotate_key(request.actor, api_key_id, overlap=overlap)
        )
        if made is None:
            return go(request, "api-keys")
        context = {"actor": request.actor, "settings_section": "api-keys", "made": made}
        response = render(request, "accounts/key_renewal.html", context)
        response["Cache-Control"] = "no-store"
        return response


def _account_page(
    request: OrgRequest, account_id: UUID, *, made: Any = None, errors: list[str] | None = None
) -> HttpResponse:
    account = services.get_service_account(request.actor, account_id)
    page = list_api_keys(
        request.actor,
        PageRequest.of(None, request.GET.get("page_token")),
        user_id=account_id,
    )
    now = clock.now()
    context = {
        "actor": request.actor,
        "settings_section": "service-accounts",
        "account": account,
        "page": page,
        "rows": [{"key": key, "state": state_of(key, now)} for key in page.items],
        "made": made,
        "errors": errors or [],
        "name": request.POST.get("name", "") if errors else "",
        "networks": request.POST.get("networks", "") if errors else "",
        "lifetimes": LIFETIMES,
        "default_days": DEFAULT_DAYS,
        "now": now,
    }
    response = render(request, "settings/service_account.html", context)
    if made:
        response["Cache-Control"] = "no-store"
    return response


def _days(request: OrgRequest) -> timedelta:
    chosen = request.POST.get("days", str(DEFAULT_DAYS))
    if chosen not in {str(days) for days, _word in LIFETIMES}:
        raise invalid("days", "invalid_lifetime", _("Choose how long the key lasts."))
    return timedelta(days=int(chosen))
