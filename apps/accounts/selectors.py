"""Reading people and keys."""

from uuid import UUID

from django.db.models import Q

from apps.accounts.models import ApiKey, RefreshFamily, User
from apps.accounts.permissions import VIEW_API_KEYS
from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require
from apps.core.pagination import Page, PageRequest, paginate


def has_users() -> bool:
    """Whether anybody has an account yet; until then only `/setup` answers."""
    return User.objects.exists()


def find_active_user(user_id: UUID) -> User | None:
    """A person who may act now."""
    return User.objects.filter(id=user_id, is_active=True).first()


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


def list_sessions(actor: Actor) -> list[RefreshFamily]:
    """The caller's own programs that are signed in, newest first. There are a hundred at most."""
    if actor.user_id is None:
        return []
    live = RefreshFamily.objects.filter(
        user_id=actor.user_id, ended_at=None, expires_at__gt=clock.now()
    )
    families = live.select_related("user", "bound_to").order_by("-id")
    return [f for f in families if f.access_version == f.user.access_version]


def list_api_keys(actor: Actor, page: PageRequest) -> Page[ApiKey]:
    """The caller's own keys in this organization, newest first."""
    require(actor, VIEW_API_KEYS)
    rows = ApiKey.objects.for_org(actor.organization_id).filter(user_id=actor.user_id)
    return paginate(rows, page, order_by=["-id"])
