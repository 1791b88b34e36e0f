"""What the account pages share: the person who asks, and what they are told."""

from typing import TYPE_CHECKING, cast

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url

from apps.core.errors import FleetdError
from apps.core.web import failure_lines

if TYPE_CHECKING:
    from apps.accounts.models import User


def person_of(request: HttpRequest) -> "User":
    """The person who asks."""
    return cast("User", request.user)


def say(request: HttpRequest, error: FleetdError) -> None:
    """Shows a failure on the next page."""
    for line in failure_lines(error):
        messages.error(request, line)


def done(request: HttpRequest, text: str) -> HttpResponse:
    """Back to the account, which says what was done."""
    messages.success(request, text)
    return HttpResponseRedirect(resolve_url("account"))
