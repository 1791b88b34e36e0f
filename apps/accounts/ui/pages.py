"""The base of the account pages: a person, in no organization."""

from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache

from apps.core.errors import FleetdError
from apps.core.web import error_response, failure_lines

if TYPE_CHECKING:
    from apps.accounts.models import User


class PersonRequest(HttpRequest):
    """A request as handlers of `PersonView` see it."""

    user: "User"


@method_decorator(never_cache, name="dispatch")
class PersonView(View):
    """A page of somebody who is signed in. It works where no organization lets the person in."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answers the person; everybody else signs in first."""
        if not request.user.is_authenticated:
            query = urlencode({"next": request.get_full_path()})
            return HttpResponseRedirect(f"{resolve_url('account_login')}?{query}")
        try:
            return super().dispatch(request, *args, **kwargs)
        except FleetdError as error:
            return error_response(request, error)


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
