"""Reading people and keys."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.db.models import Q

from apps.accounts.models import ApiKey, RefreshFamily, SigningKey, User
from apps.accounts.permissions import MANAGE_API_KEYS, VIEW_API_KEYS, VIEW_SERVICE_ACCOUNTS
from apps.core import clock
from apps.core.actors import Actor, ActorKind
from apps.core.authz import require
from apps.core.errors import NotFound, PermissionDenied
from apps.core.pagination import Page, PageRequest, paginate


def has_users() -> bool:
    """Whether anybody has an account yet; until then only `/setup` answers."""
    return User.objects.exists()


def find_active_user(user_id: UUID) -> User | None:
    """A person who may act now."""
    return User.objects.filter(id=user_id, is_active=True).first()


def find_person(email: str) -> User | None:
    """Somebody who may sign in: neither disabled nor a service account."""
    if not 0 < len(email) <= 254 or "\x00" in email:
        return None
    return User.objects.filter(email=email.lower(), is_active=True, kind=User.Kind.PERSON).first()


def is_person(user_id: UUID) -> bool:
    """Whether an account is a person's, and not a program's."""
    return User.objects.filter(id=user_id, kind=User.Kind.PERSON).exists()


def is_email_taken(email: str, *, except_for: UUID) -> bool:
    """Whether another account has this address."""
    return User.objects.filter(email=email.lower()).exclude(id=except_for).exists()


def session_seen_at(session_key: str) -> datetime | None:
    """When a browser's session was last used, to the minute."""
    found = UserSession.objects.filter(session_key=session_key)
    return found.values_list("last_seen_at", flat=True).first()


def list_browser_sessions(user: User) -> list[UserSession]:
    """A person's browser sessions that still work, the last used first."""
    live: list[UserSession] = UserSession.objects.purge_and_list(user)
    return sorted(live, key=lambda session: session.last_seen_at, reverse=True)


def list_second_factors(user_id: UUID) -> list[Authenticator]:
    """A person's authenticator app, passkeys and recovery codes, oldest first."""
    return list(Authenticator.objects.filter(user_id=user_id).order_by("pk"))


def has_second_factor(user_id: UUID) -> bool:
    """Whether the person has an authenticator app or a passkey."""
    return bool(people_with_second_factor([user_id]))


def people_with_second_factor(user_ids: Iterable[UUID]) -> set[UUID]:
    """Those of the people who have an authenticator app or a passkey."""
    strong = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)
    found = Authenticator.objects.filter(user_id__in=user_ids, type__in=strong)
    return set(found.values_list("user_id", flat=True))


def find_live_api_key(secret_hash: str) -> ApiKey | None:
    """The key with this hash, if it is neither revoked nor expired and its maker may still act.

    Works before the organization is known, inside `credential(secret_hash)`.
    """
    at = clock.now()
    is_it = Q(secret_hash=secret_hash) | Q(previous_hash=secret_hash, previous_until__gt=at)
    key: ApiKey | None = (
        # Unscoped: the organization is what is being looked up; row security lets one row through.
        ApiKey.unscoped.filter(
            is_it,
            revoked_at=None,
            expires_at__gt=at,
            user__is_active=True,
        )
        .select_related("user")
        .first()
    )
    return key


def find_usable_api_key(organization_id: UUID, api_key_id: UUID | None) -> ApiKey | None:
    """The organization's key with this id, if it is neither revoked nor expired now."""
    found: ApiKey | None = (
        ApiKey.objects.for_org(organization_id)
        .filter(id=api_key_id, revoked_at=None, expires_at__gt=clock.now())
        .first()
    )
    return found


def list_signing_keys() -> list[SigningKey]:
    """The keys of access tokens, oldest first."""
    return list(SigningKey.objects.order_by("kid"))


def find_live_family(family_id: UUID) -> RefreshFamily | None:
    """The sign-in with this id and its person, if its tokens are good now.

    They are not once it has ended, the person is disabled, or their access version was raised.
    """
    found = RefreshFamily.objects.filter(id=family_id).select_related("user", "bound_to")
    family = found.first()
    if family is None or family.ended_at is not None or family.expires_at <= clock.now():
        return None
    user = family.user
    is_good = user.is_active and user.kind == User.Kind.PERSON
    return family if is_good and user.access_version == family.access_version else None


def require_own_session(actor: Actor, family_id: UUID) -> None:
    """Raises `NotFound` unless the caller's user has had this sign-in."""
    families = RefreshFamily.objects.filter(id=family_id)
    if actor.user_id is None or not families.filter(user_id=actor.user_id).exists():
        raise NotFound


def list_sessions(actor: Actor) -> list[RefreshFamily]:
    """The caller's own programs that are signed in, newest first. There are a hundred at most.

    For people. A key is of one organization and has scopes: it must not tell where else, from
    which addresses and with what its person works.
    """
    if actor.kind is not ActorKind.USER or actor.user_id is None:
        raise PermissionDenied("Only a person who is signed in can see sign-ins.")
    live = RefreshFamily.objects.filter(
        user_id=actor.user_id, ended_at=None, expires_at__gt=clock.now()
    )
    families = live.select_related("user", "bound_to").order_by("-id")
    return [f for f in families if f.access_version == f.user.access_version]


def get_api_key(actor: Actor, api_key_id: UUID) -> ApiKey:
    """One of the caller's keys, or of a service account's for who may see those."""
    rows = ApiKey.objects.for_org(actor.organization_id).select_related("user")
    seen = Q(user_id=actor.user_id)
    if actor.has_perm(VIEW_SERVICE_ACCOUNTS.name):
        seen |= Q(user__kind=User.Kind.SERVICE)
    found: ApiKey | None = rows.filter(seen, id=api_key_id).first()
    if found is None:
        raise NotFound
    require(actor, VIEW_API_KEYS)
    return found


def list_api_keys(
    actor: Actor, page: PageRequest, *, everybody: bool = False, user_id: UUID | None = None
) -> Page[ApiKey]:
    """The caller's own keys in this organization, newest first; or everybody's, or one user's.

    Keys of others need the right to manage them; those of service accounts the right to see them.
    """
    rows = ApiKey.objects.for_org(actor.organization_id).select_related("user")
    wanted = user_id or (None if everybody else actor.user_id)
    if wanted is not None and wanted == actor.user_id:
        require(actor, VIEW_API_KEYS)
    elif wanted is not None and actor.has_perm(VIEW_SERVICE_ACCOUNTS.name):
        rows = rows if actor.has_perm(MANAGE_API_KEYS.name) else rows.filter(user__kind="service")
    else:
        require(actor, MANAGE_API_KEYS)
    if wanted is not None:
        rows = rows.filter(user_id=wanted)
    return paginate(rows, page, order_by=["-id"])
