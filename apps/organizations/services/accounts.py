"""What administrators do to people's accounts: disable, enable, and help those who lost a factor.

An account belongs to a person and may open several organizations, so no organization may do this
alone: superusers may, and for lost factors whoever owns every organization of the person. The
console of the installation acts with no actor.
"""

from collections.abc import Callable
from uuid import UUID

from django.db import transaction

from apps.accounts.models import User
from apps.accounts.services.passwords import reset_link
from apps.accounts.services.second_factors import remove_all_factors
from apps.accounts.services.tokens import sign_out_everywhere
from apps.audit.services.entries import record
from apps.core.actors import Actor, ActorKind, Source, system_actor
from apps.core.authz import Permission, Role, require
from apps.core.errors import NotFound, PermissionDenied, WrongState
from apps.core.tenancy import visiting
from apps.organizations.models import Membership
from apps.organizations.permissions import (
    DISABLE_USER,
    ENABLE_USER,
    ISSUE_RESET_LINK,
    RESET_SECOND_FACTORS,
)
from apps.organizations.selectors import list_memberships_of


@transaction.atomic
def disable_user(actor: Actor | None, user_id: UUID) -> User:
    """Ends everything that a person has open, and lets them sign in no more. Keeps the account.

    Sessions, tokens, API keys, sockets and streams end within five seconds. Disabling a disabled
    person changes nothing. Raises `PermissionDenied` for all but superusers, and `WrongState` for
    oneself and for the last superuser.
    """
    user = _locked(user_id)
    _require_superuser(actor, DISABLE_USER)
    if not user.is_active:
        return user
    if actor is not None and actor.user_id == user.pk:
        raise WrongState("You cannot disable yourself.")
    others = User.objects.filter(is_superuser=True, is_active=True).exclude(pk=user.pk)
    if user.is_superuser and not others.exists():
        raise WrongState("This is the last superuser: make another one first.")
    user.is_active = False
    user.save(update_fields=["is_active"])
    sign_out_everywhere(user)
    _record(actor, user, DISABLE_USER)
    return user


@transaction.atomic
def enable_user(actor: Actor | None, user_id: UUID) -> User:
    """Lets a disabled person sign in again; what had ended stays ended."""
    user = _locked(user_id)
    _require_superuser(actor, ENABLE_USER)
    if not user.is_active:
        user.is_active = True
        user.save(update_fields=["is_active"])
        _record(actor, user, ENABLE_USER)
    return user


@transaction.atomic
def reset_second_factors(actor: Actor | None, user_id: UUID) -> User:
    """Takes away all second factors of a person who has lost them, and ends their sign-ins.

    They sign in with the password then; organizations that ask for a factor lead them to set one
    up. For superusers, and for whoever owns all organizations of the person: a factor guards them
    all. Nobody but a superuser can do it to one. Raises `PermissionDenied`, `NotFound`.
    """
    user = _locked(user_id)
    _require_owner_of_all(actor, user, RESET_SECOND_FACTORS)
    removed = remove_all_factors(user)
    sign_out_everywhere(user)
    _record(actor, user, RESET_SECOND_FACTORS, factors=removed)
    return user


@transaction.atomic
def issue_reset_link(actor: Actor | None, user_id: UUID) -> str:
    """An address where a person sets a new password: for installations that send no mail.

    Works once, and for a day. It is as good as the password, so whoever makes it hands it over
    with care; second factors stay. For the same people as `reset_second_factors`.
    """
    user = _locked(user_id)
    _require_owner_of_all(actor, user, ISSUE_RESET_LINK)
    if user.kind != User.Kind.PERSON or not user.is_active:
        raise WrongState("This account cannot sign in, so it has no password to set.")
    link = reset_link(user)
    _record(actor, user, ISSUE_RESET_LINK)
    return link


def _locked(user_id: UUID) -> User:
    user = User.objects.select_for_update().filter(pk=user_id).first()
    if user is None:
        raise NotFound
    return user


def _require_superuser(actor: Actor | None, permission: Permission) -> None:
    if not _is_superuser(actor):
        raise PermissionDenied(
            "This is for the administrators of the installation.",
            data={"permission": permission.name},
        )


def _is_superuser(actor: Actor | None) -> bool:
    """The console, or a superuser in person: no API key acts as one."""
    if actor is None:
        return True
    if actor.kind is not ActorKind.USER or actor.user_id is None:
        return False
    return User.objects.filter(pk=actor.user_id, is_superuser=True, is_active=True).exists()


def _require_owner_of_all(actor: Actor | None, user: User, permission: Permission) -> None:
    """Somebody of whom the actor may not even know is not found."""
    if _is_superuser(actor):
        return
    assert actor is not None  # noqa: S101 - the console is a superuser
    theirs = {m.organization_id for m in list_memberships_of(user.pk)}
    if actor.organization_id not in theirs:
        raise NotFound
    require(actor, permission)
    owned = _owned_by(actor)
    if actor.kind is not ActorKind.USER or user.is_superuser or not theirs <= owned:
        raise PermissionDenied(
            "Only somebody who owns every organization of this person may do this, "
            "or an administrator of the installation.",
            data={"permission": permission.name},
        )


def _owned_by(actor: Actor) -> set[UUID]:
    mine = list_memberships_of(actor.user_id) if actor.user_id else []
    return {m.organization_id for m in mine if m.role == Role.OWNER}


def _record(actor: Actor | None, user: User, right: Permission, **changes: object) -> None:
    """One entry in each organization of the person, by whoever did it."""
    for membership in sorted(list_memberships_of(user.pk), key=lambda m: str(m.organization_id)):
        _inside(membership, lambda m: record(_as(actor, m), right.name, user, changes=changes))


def _inside(membership: Membership, write: Callable[[Membership], object]) -> None:
    with visiting(membership.organization_id):
        write(membership)


def _as(actor: Actor | None, membership: Membership) -> Actor:
    """The actor as another organization's trail shows it."""
    if actor is None:
        return system_actor(membership.organization_id, source=Source.CLI)
    return Actor(
        kind=actor.kind,
        organization_id=membership.organization_id,
        label=actor.label,
        call=actor.call,
        id=actor.id,
        user_id=actor.user_id,
    )
