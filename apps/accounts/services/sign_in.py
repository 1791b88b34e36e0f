"""Signing in with a password: one way for the web, REST and RPC.

Guessing is bounded three times. An account takes five wrong passwords from anywhere, an address
twenty, then both answer 429 until attempts have come back. That alone would let a stranger lock
the owner out, so a browser that the person signed in from before carries a signed cookie and has a
budget of its own (OWASP device cookies): what strangers do does not count against it, and what is
tried from it counts against nobody else. Passkeys and reset links have limits of their own.

Known and unknown accounts are counted, hashed and answered alike.
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn

import structlog
from allauth.account.app_settings import EmailVerificationMethod
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.core import signing
from django.utils.crypto import get_random_string
from prometheus_client import Counter

from apps.accounts.errors import (
    EmailNotVerified,
    PasswordChangeRequired,
    SecondFactorRequired,
    WrongCredentials,
)
from apps.accounts.models import User
from apps.accounts.selectors import find_person, has_second_factor
from apps.accounts.services import second_factors
from apps.accounts.services.observers import required_password_length, tell_sign_in
from apps.accounts.services.passwords import MAX_PASSWORD
from apps.core import clock
from apps.core.actors import Call, SignIn
from apps.core.addresses import limit_key
from apps.core.errors import FleetdError, TooMany
from apps.core.limits import forget, look, take

log = structlog.get_logger(__name__)

SIGN_INS = Counter("fleetd_sign_ins", "Attempts to sign in", ["result", "method"])

WINDOW_SECONDS = 600
PER_ACCOUNT = 5
PER_ADDRESS = 20
PER_DEVICE = 10
DEVICE_SALT = "accounts.known_device"
DEVICE_LIFETIME = timedelta(days=365)
MAX_PEOPLE_PER_DEVICE = 5


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A person who proved who they are, and how."""

    user: User
    sign_in: SignIn


@dataclass(frozen=True, slots=True)
class PasswordChecked:
    """A right password. `is_too_short` for an organization of the person that asks for more."""

    user: User
    is_too_short: bool


def authenticate_password(call: Call, *, email: str, password: str, code: str = "") -> SignedIn:
    """Signs a program's person in. Recorded in the audit trail, success or not.

    Raises `WrongCredentials`, `TooMany` with the seconds to wait, and for a right password
    `SecondFactorRequired`, `WrongSecondFactor`, `PasswordChangeRequired`, `EmailNotVerified`.
    """
    checked = check_password(call, email=email, password=password)
    methods = {"password"}
    try:
        if has_second_factor(checked.user.pk):
            methods.add(_second_method(checked.user, code))
        if checked.is_too_short:
            raise PasswordChangeRequired
        if not is_email_good_enough(checked.user):
            raise EmailNotVerified
    except FleetdError as error:
        note_refusal(checked.user, call, method="password", error=error)
        raise
    note_success(checked.user, call, methods)
    return SignedIn(checked.user, SignIn(clock.now(), frozenset(methods)))


def check_password(call: Call, *, email: str, password: str, device: str = "") -> PasswordChecked:
    """The person with this address and password. Raises `WrongCredentials` and `TooMany`.

    `device` is the browser's cookie. The first step of signing in only: says nothing of second
    factors and records refusals alone.
    """
    email = email.strip().lower()
    user = find_person(email)
    known = _known_device(device, user)
    try:
        _spend(email, call.address, known)
        _verify(user, password)
    except WrongCredentials as error:
        if not known:
            _count_wrong(call.address)
        _refuse(user, call, error)
    except TooMany as error:
        _refuse(user, call, error)
    assert user is not None  # noqa: S101 - _verify would have raised
    forget(*_budget(email, known))
    return PasswordChecked(user, len(password) < required_password_length(user))


def is_email_good_enough(user: User) -> bool:
    """Whether the address is confirmed, where the installation asks for that."""
    if settings.ACCOUNT_EMAIL_VERIFICATION != EmailVerificationMethod.MANDATORY.value:
        return True
    return EmailAddress.objects.filter(user=user, email=user.email, verified=True).exists()


def note_success(user: User, call: Call, methods: set[str] | frozenset[str]) -> None:
    """Counts and records that somebody is signed in."""
    method = "+".join(sorted(methods)) or "unknown"
    SIGN_INS.labels("success", method).inc()
    tell_sign_in(user, call, method=method)


def note_refusal(user: User | None, call: Call, *, method: str, error: FleetdError) -> None:
    """Counts and records a refused attempt; one on no known account goes to the log.

    While a limit holds, one entry a minute says so: a flood of attempts is no flood of entries.
    """
    SIGN_INS.labels("denied", method).inc()
    if user is None:
        log.warning("sign_in_refused", method=method, reason=error.code, address=call.address)
        return
    if isinstance(error, TooMany) and not _is_news(user):
        return
    tell_sign_in(user, call, method=method, reason=error.code)


def count_passkey_attempt(address: str | None) -> None:
    """There is nothing to guess in a passkey; this only keeps an address from flooding us."""
    take("passkey_challenge", limit_key(address), limit=60, per_seconds=WINDOW_SECONDS)


def device_cookie(old: str, user: User) -> str:
    """The cookie of a browser that somebody has just signed in from."""
    held = _read_device(old)
    people = {k: v for k, v in held.get("people", {}).items() if k != str(user.pk)}
    people = dict(list(people.items())[1 - MAX_PEOPLE_PER_DEVICE :])
    people[str(user.pk)] = user.access_version
    nonce = held.get("nonce") or get_random_string(22)
    return signing.dumps({"nonce": nonce, "people": people}, salt=DEVICE_SALT, compress=True)


def _second_method(user: User, code: str) -> str:
    if not code:
        raise SecondFactorRequired(data={"methods": _methods_of(user)})
    used = second_factors.check_code(user, code)
    return "totp" if used.type == Authenticator.Type.TOTP else "recovery_code"


def _methods_of(user: User) -> list[str]:
    types = Authenticator.objects.filter(user=user).values_list("type", flat=True)
    return sorted({second_factors.WORDS[kind] for kind in types})


def _verify(user: User | None, password: str) -> None:
    """One hash either way: an unknown account costs what a known one does."""
    if not 0 < len(password) <= MAX_PASSWORD:
        raise WrongCredentials
    if user is None:
        make_password(password)
        raise WrongCredentials
    if not user.check_password(password):
        raise WrongCredentials


def _refuse(user: User | None, call: Call, error: FleetdError) -> NoReturn:
    note_refusal(user, call, method="password", error=error)
    raise error


def _spend(email: str, address: str | None, known: str) -> None:
    """Takes one attempt before the password is looked at, so that parallel guesses count too."""
    if not known:
        key = limit_key(address)
        look("sign_in_address", key, limit=PER_ADDRESS, per_seconds=WINDOW_SECONDS)
    name, key = _budget(email, known)
    take(name, key, limit=PER_DEVICE if known else PER_ACCOUNT, per_seconds=WINDOW_SECONDS)


def _count_wrong(address: str | None) -> None:
    """Right passwords cost an address nothing: many people may share it."""
    try:
        key = limit_key(address)
        take("sign_in_address", key, limit=PER_ADDRESS, per_seconds=WINDOW_SECONDS)
    except TooMany:
        pass  # others of this address were faster; the next attempt is refused


def _budget(email: str, known: str) -> tuple[str, str]:
    """Which budget an attempt belongs to. Keys are digests: no address lies in Valkey."""
    if known:
        return "sign_in_device", f"{known}:{email}"
    return "sign_in_account", hashlib.sha256(email.encode("utf-8", "replace")).hexdigest()


def _known_device(cookie: str, user: User | None) -> str:
    """The browser's own name, if this person signed in from it since their password was set."""
    held = _read_device(cookie) if cookie and user else {}
    if user is None or held.get("people", {}).get(str(user.pk)) != user.access_version:
        return ""
    return str(held.get("nonce", ""))


def _read_device(cookie: str) -> dict[str, Any]:
    try:
        held = signing.loads(cookie, salt=DEVICE_SALT, max_age=DEVICE_LIFETIME)
    except (signing.BadSignature, ValueError, TypeError):
        return {}
    return held if isinstance(held, dict) else {}


def _is_news(user: User) -> bool:
    try:
        take("sign_in_refusal_noted", str(user.pk), limit=1, per_seconds=60)
    except TooMany:
        return False
    return True
