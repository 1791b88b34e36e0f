"""The page behind an invitation's link: for people with an account, and for those without."""

from http import HTTPStatus
from typing import Any

from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache

from apps.accounts.services.people import create_person
from apps.accounts.services.web_sessions import open_session, web_call
from apps.core.authz import OPEN_TO_ALL, needs
from apps.core.errors import FleetdError, InvalidRequest
from apps.core.tenancy import visiting
from apps.core.web import ORGANIZATION_KEY, error_response
from apps.organizations.domain.settings import value
from apps.organizations.errors import InvitationInvalid
from apps.organizations.people import inviter_and_role
from apps.organizations.services.invitations import accept_invitation, open_invitation
from apps.organizations.ui.members import ROLE_WORDS

PASSWORD_LENGTH = "security.password_min_length"  # noqa: S105 - the name of a setting


@method_decorator(never_cache, name="dispatch")
class Join(View):
    """Shows who invites to what; accepts it for an account that exists or is made now.

    The address is the secret: the site's policy `same-origin` keeps it from other sites. (With
    `no-referrer` browsers would send the form with the origin `null`, which is refused.)
    """

    @needs(OPEN_TO_ALL)
    def get(self, request: Any, secret: str) -> HttpResponse:
        """The page; whatever does not work looks the same."""
        return _shown_or_gone(request, secret)

    @needs(OPEN_TO_ALL)
    def post(self, request: Any, secret: str) -> HttpResponse:
        """Joins, as whoever is signed in, or as somebody new."""
        try:
            if request.user.is_authenticated:
                joined = accept_invitation(web_call(request), request.user, secret)
            else:
                joined = _join_as_somebody_new(request, secret)
        except FleetdError as error:
            return _shown_or_gone(request, secret, error)
        request.session[ORGANIZATION_KEY] = str(joined.id)
        return redirect("dashboard")


def _join_as_somebody_new(request: Any, secret: str) -> Any:
    """The account and the membership, both or neither; then the session."""
    call, form = web_call(request), request.POST
    with transaction.atomic():
        invitation = open_invitation(call, secret)
        typed = form.get("email", "") if not invitation.email else invitation.email
        person = create_person(
            None,
            email=typed,
            password=form.get("password", ""),
            name=form.get("name", ""),
            # The link went to this address and to nobody else.
            is_email_verified=bool(invitation.email and invitation.sent_at),
            password_min_length=value(invitation.organization, PASSWORD_LENGTH),
        )
        joined = accept_invitation(call, person, secret)
    open_session(request, person)
    return joined


def _shown_or_gone(request: Any, secret: str, error: FleetdError | None = None) -> HttpResponse:
    """The page with what went wrong, or the one page for all invitations that do not work."""
    try:
        return _page(request, secret, error)
    except InvitationInvalid:
        return render(request, "organizations/invitation_gone.html", status=HTTPStatus.NOT_FOUND)
    except FleetdError as other:
        return error_response(request, other)


def _page(request: Any, secret: str, error: FleetdError | None = None) -> HttpResponse:
    invitation = open_invitation(web_call(request), secret)
    context = {
        **_shown(invitation, request.user),
        "secret": secret,
        "errors": _errors(error),
        "typed": {name: request.POST.get(name, "") for name in ("email", "name")},
        "min_length": value(invitation.organization, PASSWORD_LENGTH),
    }
    status = 200 if error is None else 400
    return render(request, "organizations/invitation.html", context, status=status)


def _shown(invitation: Any, user: Any) -> dict[str, Any]:
    with visiting(invitation.organization_id):
        inviter, role = inviter_and_role(invitation)
    is_mine = not invitation.email or (
        user.is_authenticated and user.email.lower() == invitation.email
    )
    return {
        "invitation": invitation,
        "organization": invitation.organization,
        "inviter": inviter,
        "role_word": ROLE_WORDS.get(invitation.role, role),
        "is_mine": is_mine,
    }


def _errors(error: FleetdError | None) -> dict[str, object]:
    """Messages by field, and those that belong to none under `all`."""
    if error is None:
        return {}
    if isinstance(error, InvalidRequest) or error.fields:
        return {item.field: item.message for item in error.fields} or {"all": [error.message]}
    return {"all": [error.message]}
