"""How the person of a browser's session signed in, and what the account pages say to failures."""

from collections.abc import Callable
from functools import cache
from typing import Any

from allauth.core.exceptions import ReauthenticationRequired
from django.http import HttpRequest, HttpResponse

from apps.accounts.domain.sessions import sign_in_of
from apps.accounts.selectors import session_seen_at
from apps.core.actors import SignIn
from apps.core.errors import FleetdError, RecentSignInRequired
from apps.core.web import error_response

GetResponse = Callable[[HttpRequest], HttpResponse]


class SignInMiddleware:
    """`request.find_sign_in()` is how the session's person signed in."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> HttpResponse:
        """Looks up nothing that no one asks for."""
        request.find_sign_in = cache(lambda: _sign_in(request))
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Failures of the account pages, as everywhere; and the question who it is.

        allauth would ask that too, but keep the form meanwhile, passwords and all, in the database.
        """
        if isinstance(exception, ReauthenticationRequired):
            return error_response(request, RecentSignInRequired())
        if isinstance(exception, FleetdError):
            return error_response(request, exception)
        return None


def _sign_in(request: Any) -> SignIn:
    seen = session_seen_at(request.session.session_key or "")
    return sign_in_of(request.session, request.user.pk, seen)
