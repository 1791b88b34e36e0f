"""The list of enrollment tokens."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from apps.core import clock
from apps.core.authz import needs
from apps.core.pagination import PageRequest
from apps.core.web import OrgRequest, OrgView, attempt, go
from apps.enrollment.permissions import REVOKE_ENROLLMENT_TOKEN, VIEW_ENROLLMENT_TOKENS
from apps.enrollment.selectors import list_enrollment_tokens, revocable_ids
from apps.enrollment.services.tokens import revoke_enrollment_token


class TokenList(OrgView):
    """All tokens, newest first."""

    @needs(VIEW_ENROLLMENT_TOKENS)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The page."""
        asked = PageRequest.of(None, request.GET.get("page_token"))
        page, now = list_enrollment_tokens(request.actor, asked), clock.now()
        revocable = revocable_ids(request.actor, page.items)
        rows = [
            {
                "token": t,
                "state": state_of(t, now),
                "used": t.max_uses - t.uses_left,
                "may_revoke": t.id in revocable,
            }
            for t in page.items
        ]
        context = {"actor": request.actor, "page": page, "rows": rows}
        return render(request, "enrollment/tokens.html", context)


class TokenRevoke(OrgView):
    """Ends a token."""

    @needs(REVOKE_ENROLLMENT_TOKEN)
    def post(self, request: OrgRequest, token_id: UUID) -> HttpResponse:
        """Revokes."""
        done = _("The token is revoked. Devices that joined with it stay.")
        attempt(request, lambda: revoke_enrollment_token(request.actor, token_id), done)
        return go(request, "enrollment-tokens")


def state_of(token: Any, now: datetime) -> str:
    """Why a token works or does not, in one word."""
    if token.revoked_at is not None:
        return "revoked"
    if token.expires_at <= now:
        return "expired"
    return "usable" if token.uses_left else "used_up"
