"""API keys: one's own to make, see once and revoke; everybody's to see and revoke."""

from datetime import timedelta
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.accounts.domain.key_states import state_of
from apps.accounts.permissions import (
    CREATE_API_KEY,
    MANAGE_API_KEYS,
    REVOKE_API_KEY,
    VIEW_API_KEYS,
)
from apps.accounts.selectors import list_api_keys
from apps.accounts.services.api_keys import NewApiKey, create_api_key, revoke_api_key
from apps.core import clock
from apps.core.authz import needs
from apps.core.errors import FleetdError, invalid
from apps.core.pagination import PageRequest
from apps.core.web import OrgRequest, OrgView, attempt, failure_lines, go

LIFETIMES = [
    (7, gettext_lazy("7 days")),
    (30, gettext_lazy("30 days")),
    (90, gettext_lazy("90 days")),
    (365, gettext_lazy("1 year")),
]
DEFAULT_DAYS = 90


class ApiKeyList(OrgView):
    """The caller's keys, newest first, and the form that makes one."""

    @needs(VIEW_API_KEYS)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The page."""
        return _page(request)

    @needs(CREATE_API_KEY)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Makes a key and shows its secret, this once."""
        try:
            made = create_api_key(
                request.actor,
                name=request.POST.get("name", ""),
                lifetime=_lifetime(request),
                networks=request.POST.get("networks", "").replace(",", " ").split(),
            )
        except FleetdError as error:
            return _page(request, errors=failure_lines(error))
        return _page(request, made=made)


class ApiKeyRevoke(OrgView):
    """Ends a key."""

    @needs(REVOKE_API_KEY)
    def post(self, request: OrgRequest, api_key_id: UUID) -> HttpResponse:
        """Revokes."""
        done = _("The key is revoked. Programs that use it are refused from now on.")
        attempt(request, lambda: revoke_api_key(request.actor, api_key_id), done)
        return go(request, "api-keys")


def _page(
    request: OrgRequest, *, made: NewApiKey | None = None, errors: list[str] | None = None
) -> HttpResponse:
    everybody = bool(request.GET.get("everybody")) and request.actor.has_perm(MANAGE_API_KEYS.name)
    page = list_api_keys(
        request.actor,
        PageRequest.of(None, request.GET.get("page_token")),
        everybody=everybody,
    )
    now = clock.now()
    context = {
        "actor": request.actor,
        "settings_section": "api-keys",
        "everybody": everybody,
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
    response = render(request, "accounts/api_keys.html", context)
    if made:
        response["Cache-Control"] = "no-store"
    return response


def _lifetime(request: OrgRequest) -> timedelta:
    chosen = request.POST.get("days", str(DEFAULT_DAYS))
    if chosen not in {str(days) for days, _word in LIFETIMES}:
        raise invalid("days", "invalid_lifetime", _("Choose how long the key lasts."))
    return timedelta(days=int(chosen))
