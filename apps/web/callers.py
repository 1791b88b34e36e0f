"""Whose socket it is: the page's origin, the session, and whether both still hold."""

from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user
from django.http.cookie import parse_cookie
from django.http.request import split_domain_port, validate_host

from apps.accounts.domain.sessions import sign_in_of
from apps.accounts.models import User
from apps.accounts.selectors import session_seen_at
from apps.core.actors import Actor, Call, SignIn, Source
from apps.core.addresses import client_address
from apps.core.errors import Unauthenticated
from apps.core.ids import uuid7
from apps.core.tenancy import tenant
from apps.core.web import ORGANIZATION_KEY
from apps.organizations.selectors import refreshed
from apps.web.middleware import actor_of_session

Scope = Mapping[str, Any]


def is_own_page(scope: Scope) -> bool:
    """Whether the page that opens the socket is ours: a browser's cookies alone prove nothing."""
    origin, host = _header(scope, b"origin"), _header(scope, b"host")
    parts = urlsplit(origin) if origin.isascii() else urlsplit("")
    if not parts.netloc or parts.scheme not in ("http", "https"):
        return False
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    domain, _ = split_domain_port(host)
    return parts.netloc.lower() == host.lower() and validate_host(domain, settings.ALLOWED_HOSTS)


def find_actor(scope: Scope) -> Actor:
    """The signed-in person in the session's organization. Raises `Unauthenticated` and its kin."""
    session, user = _session(scope)
    call = Call(Source.UI, address_of(scope), f"req_{uuid7().hex}")
    chosen = session.get(ORGANIZATION_KEY, "")
    return actor_of_session(user, chosen, call, sign_in=_sign_in(session, user), is_page=True)


def recheck(scope: Scope, actor: Actor) -> Actor:
    """The same person with the rights of now; raises once signed out or no longer a member."""
    session, user = _session(scope)
    with tenant(actor.organization_id):
        return refreshed(replace(actor, sign_in=_sign_in(session, user)))


def _sign_in(session: Any, user: User) -> SignIn:
    """How the person signed in, and when they were last at the keyboard."""
    return sign_in_of(session, user.pk, session_seen_at(session.session_key or ""))


def _session(scope: Scope) -> tuple[Any, User]:
    """The session as it is stored now, and its person."""
    cookies = parse_cookie(_header(scope, b"cookie"))
    store = import_module(settings.SESSION_ENGINE).SessionStore
    session = store(cookies.get(settings.SESSION_COOKIE_NAME))
    user = get_user(SimpleNamespace(session=session))  # type: ignore[arg-type]
    if not isinstance(user, User):
        raise Unauthenticated
    return session, user


def address_of(scope: Scope) -> str | None:
    """The caller's address."""
    client = scope.get("client")
    forwarded = [v.decode("latin-1") for k, v in scope["headers"] if k == b"x-forwarded-for"]
    return client_address(client[0] if client else None, forwarded)


def _header(scope: Scope, name: bytes) -> str:
    values = [value for key, value in scope["headers"] if key == name]
    return values[0].decode("latin-1") if len(values) == 1 else ""
