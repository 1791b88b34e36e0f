"""Inviting people, and what became of invitations."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.accounts.services.mail import is_mail_configured
from apps.core import clock
from apps.core.authz import Role, needs
from apps.core.errors import FleetdError, invalid
from apps.core.ids import parse_uuid
from apps.core.pagination import PageRequest
from apps.core.web import OrgRequest, OrgView, attempt, failure_lines, go
from apps.organizations.domain.invitations import state_of
from apps.organizations.joining import TeamPlace, team_choices
from apps.organizations.people import list_invitations
from apps.organizations.permissions import (
    CREATE_INVITATION,
    RESEND_INVITATION,
    REVOKE_INVITATION,
    VIEW_INVITATIONS,
)
from apps.organizations.services.invitations import (
    DEFAULT_DAYS,
    NewInvitation,
    create_invitation,
    resend_invitation,
    revoke_invitation,
)
from apps.organizations.ui.members import ROLE_WORDS, chosen_role, role_choices

LIFETIMES = [
    (1, gettext_lazy("1 day")),
    (7, gettext_lazy("7 days")),
    (30, gettext_lazy("30 days")),
]
TEAM_ROLES = (Role.VIEWER, Role.OPERATOR, Role.DEPLOYER, Role.ADMIN)


class InvitationList(OrgView):
    """Invitations, newest first, and the form that makes one."""

    @needs(VIEW_INVITATIONS)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The page."""
        return _page(request)

    @needs(CREATE_INVITATION)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Invites somebody; the link is shown this once."""
        form = request.POST
        role, custom_id = chosen_role(form.get("role", ""))
        by_mail = form.get("way") != "link"
        try:
            if by_mail and not form.get("email", "").strip():
                raise invalid("email", "missing", _("Say whom to invite, or make a link."))
            made = create_invitation(
                request.actor,
                email=form.get("email", "") if by_mail else "",
                role=role,
                custom_role_id=custom_id,
                teams=_places(request),
                days=int(form.get("days", DEFAULT_DAYS)) if form.get("days", "7").isdigit() else 0,
            )
        except FleetdError as error:
            return _page(request, errors=failure_lines(error))
        return _page(request, made=made)


class Resend(OrgView):
    """A new link, and a new mail."""

    @needs(RESEND_INVITATION)
    def post(self, request: OrgRequest, invitation_id: UUID) -> HttpResponse:
        """Shows the link where it did not go by mail."""
        made = attempt(request, lambda: resend_invitation(request.actor, invitation_id))
        return _page(request, made=made) if made else go(request, "settings-invitations")


class Revoke(OrgView):
    """Withdraws an invitation."""

    @needs(REVOKE_INVITATION)
    def post(self, request: OrgRequest, invitation_id: UUID) -> HttpResponse:
        """Its link stops working."""
        done = _("The invitation is withdrawn. Its link does not work any more.")
        attempt(request, lambda: revoke_invitation(request.actor, invitation_id), done)
        return go(request, "settings-invitations")


def _page(
    request: OrgRequest, *, made: NewInvitation | None = None, errors: list[str] | None = None
) -> HttpResponse:
    actor = request.actor
    page = list_invitations(actor, PageRequest.of(None, request.GET.get("page_token")))
    context = {
        "actor": actor,
        "settings_section": "members",
        "page": page,
        "rows": [_row(invitation) for invitation in page.items],
        "made": made,
        "errors": errors or [],
        "typed": request.POST if errors else {},
        "roles": role_choices(actor),
        "teams": team_choices(actor),
        "team_roles": [(role.value, ROLE_WORDS[role]) for role in TEAM_ROLES],
        "lifetimes": LIFETIMES,
        "default_days": DEFAULT_DAYS,
        "has_mail": is_mail_configured(),
    }
    response = render(request, "settings/invitations.html", context, status=400 if errors else 200)
    if made:
        response["Cache-Control"] = "no-store"
    return response


def _row(invitation: Any) -> dict[str, Any]:
    return {
        "invitation": invitation,
        "state": state_of(invitation, clock.now()),
        "role_word": ROLE_WORDS.get(invitation.role, invitation.role_name),
    }


def _places(request: OrgRequest) -> list[TeamPlace]:
    """The teams that were chosen, all with one role."""
    role = request.POST.get("team_role", Role.VIEWER)
    ids = [parse_uuid(text) for text in request.POST.getlist("team")]
    return [TeamPlace(team_id, role) for team_id in ids if team_id is not None]
