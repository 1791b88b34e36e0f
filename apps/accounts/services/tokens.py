"""Access and refresh tokens of people: issued at a sign-in, rotated on use, ended at once.

A sign-in is a family of refresh tokens. Each is used once; its successor takes over. A used one
that comes back means that two hold what only one may hold: the family ends (RFC 9700, 4.14). For
ten seconds it gives the same successor again, because answers get lost on the way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils.crypto import get_random_string, salted_hmac

from apps.accounts.domain import jwt, secrets
from apps.accounts.errors import InvalidRefreshToken, InvalidToken
from apps.accounts.models import DeviceAuthorization, RefreshFamily, RefreshToken, User
from apps.accounts.services.signing_keys import RING
from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor, Call, SignIn
from apps.core.errors import NotFound, PermissionDenied

FAMILY_LIFETIME = timedelta(days=30)
GRACE = timedelta(seconds=10)
MAX_LIVE_FAMILIES = 100
"""Sign-ins of one person side by side; the oldest makes way, so that no script fills the table."""
KEPT_AFTER_END = timedelta(days=30)

SIGNED_OUT = "signed_out"
REVOKED = "revoked"
REUSED = "reused"
EVERYWHERE = "everywhere"
ACCESS_CHANGED = "access_changed"
CROWDED_OUT = "crowded_out"


Check = Callable[[RefreshFamily, Call], None]


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a program gets at a sign-in and at each refresh."""

    access_token: str
    refresh_token: str
    expires_in: int
    family: RefreshFamily


class RefreshTokenReused(InvalidRefreshToken):
    """A used token came back; its family has been ended. Looks like any other refusal."""

    def __init__(self, family: RefreshFamily) -> None:
        self.family = family
        super().__init__()


def issue_tokens(
    user: User, *, organization_id: UUID | None, sign_in: SignIn, call: Call, client: str = ""
) -> TokenPair:
    """Tokens for a sign-in that has just succeeded; begins a family of thirty days.

    Where `organization_id` is given they work in that organization only. Whoever calls this has
    checked the sign-in and the organization's policy. Raises `PermissionDenied` for a service
    account and `InvalidToken` for a disabled person: neither can sign in.
    """
    if user.kind != User.Kind.PERSON:
        raise PermissionDenied("A service account cannot sign in; it has API keys.")
    if not user.is_active:
        raise InvalidToken
    at = clock.now()
    with transaction.atomic():
        _make_room(user)
        family = RefreshFamily.objects.create(
            user=user,
            bound_to_id=organization_id,
            client=_line(client) or "unnamed program",
            methods=sorted(sign_in.methods),
            authenticated_at=sign_in.at,
            access_version=user.access_version,
            created_at=at,
            last_used_at=at,
            last_address=(call.address or "")[:45],
            expires_at=at + FAMILY_LIFETIME,
        )
        text = secrets.new_secret(secrets.REFRESH_TOKEN)
        _keep(family, text)
    return _pair(family, text)


def rotate_refresh_token(call: Call, text: str, *, check: Check | None = None) -> TokenPair:
    """New tokens for a refresh token, which is used up by this.

    The same token again within ten seconds gives the same successor. Raises `RefreshTokenReused`
    where it comes back later, which ends the family, and `InvalidRefreshToken` for one that is
    unknown, expired, ended, or of a person whose access has changed since. `check` may refuse a
    good one; then nothing has changed.
    """
    if not secrets.is_well_formed(text, secrets.REFRESH_TOKEN):
        raise InvalidRefreshToken
    with transaction.atomic():
        token = _locked(secrets.secret_hash(text))
        was_live = token.family.ended_at is None
        successor = _successor(token, text, call, check)
    # Raised outside: the end of a family must not be rolled back with the refusal.
    if successor is None and was_live and token.family.end_reason == REUSED:
        raise RefreshTokenReused(token.family)
    if successor is None:
        raise InvalidRefreshToken
    return _pair(token.family, successor)


def end_family(actor: Actor, family_id: UUID, *, action: str, reason: str) -> RefreshFamily:
    """Ends one of the caller's own sign-ins, recorded as `action`; its tokens die in five seconds.

    Ending an ended one changes nothing. Raises `NotFound` for one that is not the caller's.
    """
    family = RefreshFamily.objects.select_for_update().filter(id=family_id).first()
    if family is None or family.user_id != actor.user_id:
        raise NotFound
    if family.ended_at is None:
        _end(family, reason)
        record(actor, action, family, changes={"client": family.client})
    return family


def end_family_of_token(text: str) -> RefreshFamily | None:
    """Ends the sign-in that a refresh token belongs to; None where there is none (RFC 7009).

    Holding any token of a family is right enough to end it.
    """
    if not secrets.is_well_formed(text, secrets.REFRESH_TOKEN):
        return None
    with transaction.atomic():
        try:
            token = _locked(secrets.secret_hash(text))
        except InvalidRefreshToken:
            return None
        if token.family.ended_at is not None:
            return None
        _end(token.family, SIGNED_OUT)
    return token.family


def sign_out_everywhere(user: User) -> None:
    """Ends every sign-in of a person: browsers, programs and the tokens that they hold.

    API keys stay: they are no sign-ins and are revoked one by one.
    """
    with transaction.atomic():
        User.objects.filter(id=user.id).update(access_version=F("access_version") + 1)
        user.refresh_from_db(fields=["access_version"])
        RefreshFamily.objects.filter(user=user, ended_at=None).update(
            ended_at=clock.now(), end_reason=EVERYWHERE
        )


def forget_old_sign_ins() -> None:
    """Deletes families with their tokens a month after their end, device requests after a day."""
    at = clock.now()
    DeviceAuthorization.objects.filter(expires_at__lt=at - timedelta(days=1)).delete()
    limit = at - KEPT_AFTER_END
    RefreshFamily.objects.filter(ended_at__lt=limit).delete()
    RefreshFamily.objects.filter(expires_at__lt=limit).delete()


def _locked(token_hash: str) -> RefreshToken:
    """The token with its family, whose row is locked: one refresh of a family at a time."""
    found = RefreshToken.objects.filter(token_hash=token_hash)
    family_id = found.values_list("family_id", flat=True).first()
    if family_id is None:
        raise InvalidRefreshToken
    families = RefreshFamily.objects.select_for_update(of=("self",)).select_related("user")
    family = families.filter(id=family_id).first()
    token = found.first()  # read again: it may have been used while we waited for the lock
    if family is None or token is None:
        raise InvalidRefreshToken
    token.family = family
    return token


def _successor(token: RefreshToken, text: str, call: Call, check: Check | None) -> str | None:
    """The token after this one; None where it is refused, which may have ended the family."""
    family, at = token.family, clock.now()
    if family.ended_at is not None or family.expires_at <= at:
        return None
    if not _may_still_sign_in(family):
        _end(family, ACCESS_CHANGED)
        return None
    if check is not None:
        check(family, call)
    if token.used_at is None:
        return _use(token, text, call)
    successor = _derived(text, token.successor_seed)
    following = RefreshToken.objects.get(token_hash=secrets.secret_hash(successor))
    if at - token.used_at <= GRACE and following.used_at is None:
        return successor
    _end(family, REUSED)
    return None


def _use(token: RefreshToken, text: str, call: Call) -> str:
    at = clock.now()
    token.used_at, token.successor_seed = at, get_random_string(43)
    token.save(update_fields=["used_at", "successor_seed"])
    family = token.family
    family.last_used_at, family.last_address = at, (call.address or "")[:45]
    family.save(update_fields=["last_used_at", "last_address"])
    successor = _derived(text, token.successor_seed)
    _keep(family, successor)
    return successor


def _derived(text: str, seed: str) -> str:
    """The successor of a token. It takes the token, the seed and the server's key to know it."""
    mac = salted_hmac(f"fleetd.refresh.{seed}", text, algorithm="sha256")
    return secrets.secret_from(secrets.REFRESH_TOKEN, mac.digest())


def _may_still_sign_in(family: RefreshFamily) -> bool:
    user = family.user
    return (
        user.is_active
        and user.kind == User.Kind.PERSON
        and user.access_version == family.access_version
    )


def _keep(family: RefreshFamily, text: str) -> None:
    RefreshToken.objects.create(
        family=family, token_hash=secrets.secret_hash(text), issued_at=clock.now()
    )


def _end(family: RefreshFamily, reason: str) -> None:
    if family.ended_at is None:
        family.ended_at, family.end_reason = clock.now(), reason
        family.save(update_fields=["ended_at", "end_reason"])


def _make_room(user: User) -> None:
    """Ends the oldest sign-ins of somebody who has too many."""
    live = RefreshFamily.objects.filter(user=user, ended_at=None).order_by("-id")
    crowded = list(live.values_list("id", flat=True)[MAX_LIVE_FAMILIES - 1 :])
    RefreshFamily.objects.filter(id__in=crowded).update(
        ended_at=clock.now(), end_reason=CROWDED_OUT
    )


def _pair(family: RefreshFamily, refresh_token: str) -> TokenPair:
    claims = jwt.new_claims(
        subject=family.user_id,
        session=family.id,
        version=family.access_version,
        organization=family.bound_to_id,
        methods=frozenset(family.methods),
        authenticated_at=family.authenticated_at,
        now=clock.now(),
    )
    expires_in = claims.expires_at - claims.issued_at
    return TokenPair(RING.sign(claims), refresh_token, expires_in, family)


def _line(text: str) -> str:
    """What a program calls itself, as one printable line."""
    return "".join(c for c in text if c.isprintable())[:100].strip()
