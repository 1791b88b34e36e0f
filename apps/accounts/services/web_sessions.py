"""Browser sessions: opening one for a person who just proved who they are, and ending them."""

from datetime import datetime, timedelta
from typing import Any

from allauth.account.internal.flows.login import record_authentication
from allauth.usersessions.models import UserSession
from django.contrib.auth import login, update_session_auth_hash
from django.db import transaction
from django.http import HttpRequest

from apps.accounts.models import User
from apps.accounts.services.observers import tell_change
from apps.accounts.services.sign_in import note_success
from apps.core import clock
from apps.core.actors import Call, Source
from apps.core.errors import NotFound

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
SEEN_NOTED_EVERY = timedelta(minutes=1)


def web_call(request: Any) -> Call:
    """The call of a browser's page."""
    return Call(Source.UI, request.client_address, request.request_id)


def open_session(request: HttpRequest, user: User, *, method: str = "password") -> None:
    """Signs a person in who has just set their password: setup, and accepted invitations.

    `method` is what was proved: `password`. Everybody else signs in at the sign-in page.
    """
    record_authentication(request, user, method=method)
    login(request, user, backend=BACKEND)
    UserSession.objects.create_from_request(request)
    note_success(user, web_call(request), {method})


def note_seen(session_key: str, address: str | None, *, before: datetime | None) -> None:
    """Remembers that a session is in use; at most once a minute, `before` being the last time."""
    at = clock.now()
    if before is None or at - before < SEEN_NOTED_EVERY:
        return
    rows = UserSession.objects.filter(session_key=session_key, last_seen_at=before)
    rows.update(last_seen_at=at, **({"ip": address} if address else {}))


@transaction.atomic
def end_session(user: User, call: Call, session_id: int) -> None:
    """Ends one of the person's own sessions. Raises `NotFound`."""
    session = UserSession.objects.filter(user=user, pk=session_id).first()
    if session is None:
        raise NotFound
    session.end()
    tell_change(user, call, action="accounts.end_session", changes={"sessions": 1})


@transaction.atomic
def end_other_sessions(user: User, call: Call, *, keep: str) -> int:
    """Ends all of the person's sessions but the one with the key `keep`; says how many."""
    others = UserSession.objects.filter(user=user).exclude(session_key=keep)
    ended = [session.end() for session in others]
    if ended:
        tell_change(user, call, action="accounts.end_session", changes={"sessions": len(ended)})
    return len(ended)


def keep_session(request: HttpRequest, user: User) -> None:
    """After a change of the password this session stays, under a new key; all others have ended."""
    update_session_auth_hash(request, user)
    request.session.save()
    UserSession.objects.create_from_request(request)
