"""Accounts of programs: members of one organization that have API keys and cannot sign in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Count, Max, Q, QuerySet
from django.utils.crypto import get_random_string
from django.utils.text import slugify

from apps.accounts.models import ApiKey, User
from apps.accounts.permissions import (
    MANAGE_SERVICE_ACCOUNTS,
    ROTATE_API_KEY,
    VIEW_SERVICE_ACCOUNTS,
)
from apps.accounts.services.api_keys import (
    KeyPlan,
    NewApiKey,
    make_key,
    renew_key,
    rotate_api_key,
)
from apps.accounts.services.departures import revoke_keys_of
from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import Role, held_grants, require, require_at_least
from apps.core.errors import NotFound, invalid
from apps.core.pagination import Page, PageRequest, paginate
from apps.core.rights import Place
from apps.events.services.outbox import publish
from apps.organizations.models import Membership, Organization
from apps.organizations.services.departures import depart
from apps.organizations.services.members import choose_role, require_may_give
from apps.organizations.types import MemberAdded, MemberRemoved

NAME_LENGTH = 100


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A service account with what its list shows."""

    membership: Membership
    key_count: int
    last_used_at: datetime | None

    @property
    def user(self) -> User:
        """The account itself."""
        return self.membership.user


def list_service_accounts(actor: Actor, page: PageRequest) -> Page[ServiceAccount]:
    """The organization's service accounts, newest first."""
    require(actor, VIEW_SERVICE_ACCOUNTS)
    found = paginate(_rows(actor), page, order_by=["-id"])
    return Page(_described(actor, found.items), found.next_page_token)


def get_service_account(actor: Actor, account_id: UUID) -> ServiceAccount:
    """One of the organization's service accounts. Raises `NotFound`."""
    membership = _rows(actor).filter(user_id=account_id).first()
    if membership is None:
        raise NotFound
    require(actor, VIEW_SERVICE_ACCOUNTS)
    return _described(actor, [membership])[0]


def create_service_account(actor: Actor, *, name: str, role: str) -> ServiceAccount:
    """Makes an account for a program, with a built-in role. It has no password and no keys yet.

    Not idempotent. Raises `InvalidRequest` for a bad name or role, and `RightsExceedOwn` for a role
    that holds more than the caller.
    """
    require(actor, MANAGE_SERVICE_ACCOUNTS)
    name = name.strip()
    if not name or len(name) > NAME_LENGTH or not name.isprintable():
        raise invalid("name", "invalid_name", "A name has 1 to 100 characters.")
    if role == Role.OWNER:
        raise invalid("role", "not_an_owner", "Only a person can own an organization.")
    chosen = choose_role(actor, role)
    require_may_give(actor, chosen)
    user = User(email=_address(actor, name), name=name, kind=User.Kind.SERVICE)
    user.set_unusable_password()
    user.save(force_insert=True)
    membership = Membership(
        organization_id=actor.organization_id, user=user, role=chosen.role, created_at=clock.now()
    )
    membership.save(force_insert=True)
    changes = {"name": name, "role": chosen.name}
    record(actor, "accounts.create_service_account", user, changes=changes)
    publish(actor, MemberAdded(user_id=user.id))
    return ServiceAccount(membership, 0, None)


def disable_service_account(actor: Actor, account_id: UUID) -> ServiceAccount:
    """Its keys stop working within five seconds, until it is enabled again."""
    return _set_active(actor, account_id, False, "accounts.disable_service_account")


def enable_service_account(actor: Actor, account_id: UUID) -> ServiceAccount:
    """Its keys work again, those that have not ended meanwhile."""
    return _set_active(actor, account_id, True, "accounts.enable_service_account")


def delete_service_account(actor: Actor, account_id: UUID) -> None:
    """Ends it for ever, with its keys, teams and grants. The audit trail keeps its name."""
    membership = _locked(actor, account_id)
    require(actor, MANAGE_SERVICE_ACCOUNTS)
    require_at_least(actor, membership.role_permissions)
    user = membership.user
    record(actor, "accounts.delete_service_account", user, changes={"name": [user.name, None]})
    depart(actor, user.id)
    revoke_keys_of(actor, user.id)
    membership.delete()
    user.delete()
    publish(actor, MemberRemoved(user_id=account_id))


def create_service_account_key(
    actor: Actor,
    account_id: UUID,
    *,
    name: str,
    scopes: Sequence[str] = (),
    lifetime: timedelta | None = None,
    networks: Sequence[str] = (),
) -> NewApiKey:
    """Makes a key with which a program acts as the service account. The secret is shown this once.

    Raises `RightsExceedOwn` where the key would hold more than the caller, and otherwise what
    `create_api_key` raises.
    """
    membership = _locked(actor, account_id)
    require(actor, MANAGE_SERVICE_ACCOUNTS)
    _require_no_more(actor, membership, frozenset(scopes))
    return make_key(actor, account_id, KeyPlan(name, scopes, lifetime, networks))


def rotate_key(
    actor: Actor, api_key_id: UUID, *, overlap: timedelta, lifetime: timedelta | None = None
) -> NewApiKey:
    """A new secret for one of the caller's keys, or for a service account's.

    For the latter the caller needs the right to manage them, and all that the key may do.
    """
    keys = ApiKey.objects.for_org(actor.organization_id).select_for_update(of=("self",))
    key = keys.filter(id=api_key_id, user__kind=User.Kind.SERVICE).first()
    if key is None or key.user_id == actor.user_id:
        return rotate_api_key(actor, api_key_id, overlap=overlap, lifetime=lifetime)
    if not actor.has_perm(VIEW_SERVICE_ACCOUNTS.name):
        raise NotFound  # as every key of somebody else
    require(actor, ROTATE_API_KEY)
    require(actor, MANAGE_SERVICE_ACCOUNTS)
    _require_no_more(actor, _locked(actor, key.user_id), frozenset(key.scopes))
    return renew_key(actor, key, overlap=overlap, lifetime=lifetime)


def _require_no_more(actor: Actor, membership: Membership, scopes: frozenset[str]) -> None:
    """Nobody makes a key that may do what they may not, in the organization or in a group of it."""
    own = membership.role_permissions
    require_at_least(actor, own & scopes if scopes else own)
    for grant in held_grants(membership.organization_id, membership.user_id):
        place = Place(
            group_ids=frozenset({grant.group_id} if grant.group_id else ()),
            team_ids=frozenset({grant.team_id} if grant.team_id else ()),
        )
        held = grant.permissions
        require_at_least(actor, held & scopes if scopes else held, place)


def _set_active(actor: Actor, account_id: UUID, active: bool, action: str) -> ServiceAccount:
    membership = _locked(actor, account_id)
    require(actor, MANAGE_SERVICE_ACCOUNTS)
    user = membership.user
    if user.is_active is not active:
        require_at_least(actor, membership.role_permissions)
        user.is_active = active
        user.save(update_fields=["is_active"])
        record(actor, action, user, changes={"is_active": [not active, active]})
    return _described(actor, [membership])[0]


def _rows(actor: Actor) -> QuerySet[Membership]:
    rows = Membership.objects.for_org(actor.organization_id)
    found: QuerySet[Membership] = rows.filter(user__kind=User.Kind.SERVICE)
    return found.select_related("user", "custom_role")


def _locked(actor: Actor, account_id: UUID) -> Membership:
    """The account's membership, while nobody else changes members of the organization."""
    Organization.objects.select_for_update(no_key=True).get(id=actor.organization_id)
    found = _rows(actor).filter(user_id=account_id).first()
    if found is None:
        raise NotFound
    return found


def _described(actor: Actor, memberships: Sequence[Membership]) -> list[ServiceAccount]:
    keys = ApiKey.objects.for_org(actor.organization_id)
    works = Q(revoked_at=None, expires_at__gt=clock.now())
    rows = (
        keys.filter(user_id__in=[m.user_id for m in memberships])
        .values("user_id")
        .annotate(usable=Count("id", filter=works), used=Max("last_used_at"))
    )
    facts = {row["user_id"]: (row["usable"], row["used"]) for row in rows}
    return [ServiceAccount(m, *facts.get(m.user_id, (0, None))) for m in memberships]


def _address(actor: Actor, name: str) -> str:
    """What stands for it where people have an e-mail address; mail cannot reach it (RFC 2606)."""
    organization = Organization.objects.get(id=actor.organization_id)
    word = slugify(name)[:40].strip("-") or "program"
    unique = get_random_string(6, "abcdefghjkmnpqrstuvwxyz23456789")
    return f"{word}-{unique}@{organization.slug}.service.invalid"
