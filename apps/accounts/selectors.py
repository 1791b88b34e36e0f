"""Reading people and keys."""

from uuid import UUID

from apps.accounts.models import ApiKey, User
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
    key: ApiKey | None = (
        # Unscoped: the organization is what is being looked up; row security lets one row through.
        ApiKey.unscoped.filter(
            secret_hash=secret_hash,
            revoked_at=None,
            expires_at__gt=clock.now(),
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


def list_api_keys(actor: Actor, page: PageRequest) -> Page[ApiKey]:
    """The caller's own keys in this organization, newest first."""
    require(actor, VIEW_API_KEYS)
    rows = ApiKey.objects.for_org(actor.organization_id).filter(user_id=actor.user_id)
    return paginate(rows, page, order_by=["-id"])
