"""Signing in a program on a machine without a browser (RFC 8628).

The program shows a short code; a person who is signed in elsewhere types it, sees which program
asks from where, chooses the organization and approves. Codes live ten minutes, are used once, and
are stored as hashes only.
"""

from dataclasses import dataclass
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils.crypto import salted_hmac

from apps.accounts.domain import secrets, user_codes
from apps.accounts.errors import (
    AuthorizationPending,
    DeviceSignInDenied,
    ExpiredDeviceCode,
    InvalidGrant,
    SlowDown,
    UnknownUserCode,
)
from apps.accounts.models import DeviceAuthorization, User
from apps.accounts.services.observers import tell_change
from apps.accounts.services.tokens import TokenPair, issue_tokens
from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor, ActorKind, Call, SignIn
from apps.core.addresses import limit_key
from apps.core.errors import FleetdError, PermissionDenied
from apps.core.limits import look, take
from apps.organizations.selectors import actor_for_user

LIFETIME = timedelta(minutes=10)
INTERVAL_SECONDS = 5
BEGINS_PER_MINUTE = 20
TRIES_PER_PERSON = 10
PER_ADDRESS = 50
TRIES_WINDOW_SECONDS = 300
POLLS_PER_MINUTE = 240
APPROVE = "accounts.approve_device_sign_in"
DENY = "accounts.deny_device_sign_in"
State = DeviceAuthorization.State


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """What a program gets that asks to be signed in; both codes are nowhere else."""

    device_code: str
    user_code: str
    expires_in: int
    interval: int


def begin_device_sign_in(call: Call, *, client: str) -> DeviceRequest:
    """Opens a request. Raises `TooMany` for an address that opens too many."""
    take("device_begin", limit_key(call.address), limit=BEGINS_PER_MINUTE, per_seconds=60)
    for _ in range(5):
        device_code, user_code = secrets.new_secret(secrets.DEVICE_CODE), user_codes.new_user_code()
        try:
            with transaction.atomic():
                _open(call, client, device_code, user_code)
        except IntegrityError:  # somebody else's request has this very user code
            continue
        shown = user_codes.shown(user_code)
        seconds = int(LIFETIME.total_seconds())
        return DeviceRequest(device_code, shown, seconds, INTERVAL_SECONDS)
    raise RuntimeError("no free user code found")


def find_device_request(user: User, call: Call, text: str) -> DeviceAuthorization:
    """The pending request with the code that a person has typed.

    Raises `UnknownUserCode`, and `TooMany` for a person or an address that tries too many. Only
    wrong codes cost an address something, and more of them than one person has: many people share
    one, and none of them shall lock the others out.
    """
    person, address = str(user.pk), limit_key(call.address)
    take("device_code_user", person, limit=TRIES_PER_PERSON, per_seconds=TRIES_WINDOW_SECONDS)
    look("device_code_address", address, limit=PER_ADDRESS, per_seconds=TRIES_WINDOW_SECONDS)
    found = _pending(text).first()
    if found is None:
        take("device_code_address", address, limit=PER_ADDRESS, per_seconds=TRIES_WINDOW_SECONDS)
        raise UnknownUserCode
    return found


def approve_device_sign_in(actor: Actor, text: str) -> DeviceAuthorization:
    """Lets the program act as the caller, in the actor's organization only.

    The tokens count as issued by the very sign-in that the person approves with, so the
    organization's policy on second factors and session length holds for them. Raises
    `UnknownUserCode`, and `PermissionDenied` for a caller that is no person at a browser.
    """
    found = _locked(text)
    if actor.kind is not ActorKind.USER or actor.session_id is not None:
        raise PermissionDenied("Only a person at a browser can approve this.")
    if actor.sign_in is None or actor.user_id is None:
        raise PermissionDenied("Sign in again to approve this.")
    user = User.objects.get(id=actor.user_id)
    found.state, found.user, found.bound_to_id = State.APPROVED, user, actor.organization_id
    found.methods = sorted(actor.sign_in.methods)
    found.authenticated_at = actor.sign_in.at
    found.access_version = user.access_version
    found.save()
    record(actor, APPROVE, found, changes={"client": found.client, "address": found.address})
    return found


def deny_device_sign_in(user: User, call: Call, text: str) -> None:
    """Refuses the program. Raises `UnknownUserCode`."""
    with transaction.atomic():
        found = _locked(text)
        found.state, found.user = State.DENIED, user
        found.save(update_fields=["state", "user"])
        changes = {"client": found.client, "address": found.address}
        tell_change(user, call, action=DENY, changes=changes)


def redeem_device_code(call: Call, device_code: str) -> TokenPair:
    """Tokens for an approved request; it is used up by this.

    Raises `AuthorizationPending`, `SlowDown`, `DeviceSignInDenied`, `ExpiredDeviceCode`, and
    `InvalidGrant` for everything else that is no good, also where the person's access has changed
    since the approval.
    """
    take("device_poll", limit_key(call.address), limit=POLLS_PER_MINUTE, per_seconds=60)
    if not secrets.is_well_formed(device_code, secrets.DEVICE_CODE):
        raise InvalidGrant
    with transaction.atomic():
        outcome = _redeem(call, secrets.secret_hash(device_code))
    if isinstance(outcome, FleetdError):
        raise outcome  # outside, so that what was noted about the poll stays
    return outcome


def _redeem(call: Call, code_hash: str) -> TokenPair | FleetdError:
    rows = DeviceAuthorization.objects.select_for_update(of=("self",)).select_related("user")
    found = rows.filter(device_code_hash=code_hash).first()
    if found is None or found.state == State.REDEEMED:
        return InvalidGrant()
    if found.expires_at <= clock.now():
        return ExpiredDeviceCode()
    if found.state == State.DENIED:
        return DeviceSignInDenied()
    if found.state == State.PENDING:
        return _note_poll(found)
    found.state = State.REDEEMED
    found.save(update_fields=["state"])
    user = found.user
    if user is None or found.authenticated_at is None:
        return InvalidGrant()
    sign_in = SignIn(found.authenticated_at, frozenset(found.methods), None)
    if user.access_version != found.access_version or not user.is_active:
        return InvalidGrant()
    try:
        actor_for_user(user, call, organization=str(found.bound_to_id), sign_in=sign_in)
    except FleetdError:  # no member any more, or not as the policy wants it
        return InvalidGrant()
    return issue_tokens(
        user,
        organization_id=found.bound_to_id,
        sign_in=sign_in,
        call=call,
        client=found.client,
    )


def _note_poll(found: DeviceAuthorization) -> FleetdError:
    """Still pending; who asks before the interval is over has to wait longer from then on."""
    at, last = clock.now(), found.last_polled_at
    is_early = last is not None and at - last < timedelta(seconds=found.interval_seconds - 0.5)
    found.last_polled_at = at
    if is_early:
        found.interval_seconds = min(found.interval_seconds + 5, 60)
    found.save(update_fields=["last_polled_at", "interval_seconds"])
    return (
        SlowDown(retry_after_seconds=found.interval_seconds) if is_early else AuthorizationPending()
    )


def _open(call: Call, client: str, device_code: str, user_code: str) -> None:
    at = clock.now()
    DeviceAuthorization.objects.create(
        device_code_hash=secrets.secret_hash(device_code),
        user_code_hash=_user_code_hash(user_code),
        client="".join(c for c in client if c.isprintable())[:100].strip() or "unnamed program",
        address=(call.address or "")[:45],
        created_at=at,
        expires_at=at + LIFETIME,
        interval_seconds=INTERVAL_SECONDS,
    )


def _pending(text: str) -> QuerySet[DeviceAuthorization]:
    code = user_codes.read(text)
    return DeviceAuthorization.objects.filter(
        user_code_hash=_user_code_hash(code) if code else "",
        state=State.PENDING,
        expires_at__gt=clock.now(),
    )


def _locked(text: str) -> DeviceAuthorization:
    found = _pending(text).select_for_update(of=("self",)).first()
    if found is None:
        raise UnknownUserCode
    return found


def _user_code_hash(code: str) -> str:
    """With the server's key: eight letters alone could be guessed from their hash."""
    return salted_hmac("fleetd.user_code", code, algorithm="sha256").hexdigest()
