"""Reading organizations and members, and finding out who is calling."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from uuid import UUID

from apps.accounts.domain import networks, secrets
from apps.accounts.domain.jwt import LIFETIME, Claims
from apps.accounts.errors import InvalidApiKey, InvalidToken
from apps.accounts.models import RefreshFamily, User
from apps.accounts.selectors import (
    find_live_api_key,
    find_live_family,
    find_usable_api_key,
    has_second_factor,
)
from apps.core import clock
from apps.core.actors import Actor, ActorKind, Call, SignIn
from apps.core.authz import held_grants, require
from apps.core.errors import FleetdError, NotFound
from apps.core.rights import Grant
from apps.core.tenancy import credential, person, tenant
from apps.organizations.domain.policy import (
    UNKNOWN,
    check,
    check_key,
    policy_of,
    strictest_password_length,
)
from apps.organizations.domain.standstill import rights_left, standstill_of
from apps.organizations.errors import NoOrganization, OrganizationAmbiguous, PolicyRefusal
from apps.organizations.models import Membership, Organization
from apps.organizations.permissions import VIEW_ORGANIZATION, VIEW_ORGANIZATION_SETTINGS


def list_organization_ids() -> list[UUID]:
    """All organizations, for sweeps that work in one after the other."""
    return list(Organization.objects.order_by("id").values_list("id", flat=True))


def find_organization_slug(organization_id: UUID) -> str:
    """The short name of an organization, empty where there is none."""
    found = Organization.objects.filter(id=organization_id).values_list("slug", flat=True)
    return found.first() or ""


def list_memberships_of(user_id: UUID) -> list[Membership]:
    """A person's memberships with their organizations, oldest first."""
    with person(user_id):
        # Unscoped: the organizations are what is being looked up; row security lets only this
        # person's rows through.
        rows = Membership.unscoped.filter(user_id=user_id).select_related("organization", "user")
        return list(rows.order_by("id"))


def actor_for_user(
    user: User, call: Call, *, organization: str = "", sign_in: SignIn | None = None
) -> Actor:
    """The person `user` in the organization with slug or id `organization`.

    Without one, the only organization that the person belongs to. `sign_in` is how the person
    proved who they are; without it every demand of the organization's security policy refuses.
    Raises `NoOrganization` where the person is no member, `OrganizationAmbiguous` where there are
    several to choose from, and what `domain.policy.check` raises.
    """
    memberships = [
        m
        for m in list_memberships_of(user.id)
        if organization in ("", m.organization.slug, str(m.organization_id))
    ]
    if not memberships or not user.is_active:
        raise NoOrganization
    if len(memberships) > 1:
        raise OrganizationAmbiguous
    _check_sign_in(memberships[0], call, sign_in)
    with tenant(memberships[0].organization_id):
        actor = _actor(memberships[0], call, ActorKind.USER, user.id, user.email)
    return replace(actor, sign_in=sign_in)


def actor_for_api_key(secret: str, call: Call) -> Actor:
    """Who an API key speaks for. Raises `InvalidApiKey`.

    The rights are its maker's as they are now, cut to the key's scopes. A key whose maker has left
    the organization has none and is not valid.
    """
    if not secrets.is_well_formed(secret, secrets.API_KEY):
        raise InvalidApiKey
    digest = secrets.secret_hash(secret)
    with credential(digest):
        key = find_live_api_key(digest)
    if key is None or not networks.holds(key.networks, call.address):
        raise InvalidApiKey
    with tenant(key.organization_id):
        membership = find_membership(key.organization_id, key.user_id)
        if membership is None:
            raise InvalidApiKey
        _check_key(membership, call)
        label = f"{key.name} ({key.user.email})"
        actor = _actor(membership, call, ActorKind.API_KEY, key.id, label)
    return actor.narrowed(frozenset(key.scopes)) if key.scopes else actor


def actor_for_token(claims: Claims, call: Call, *, organization: str = "") -> Actor:
    """Who an access token speaks for, with the rights of now. Raises `InvalidToken`.

    `organization` is what the call asks for; a token that is bound to one works in no other and
    raises `NoOrganization`, as for somebody who is no member.
    """
    family = find_live_family(claims.session)
    if family is None or family.user_id != claims.subject:
        raise InvalidToken
    if family.access_version != claims.version or family.bound_to_id != claims.organization:
        raise InvalidToken
    wanted = organization
    if family.bound_to is not None:
        if organization not in ("", family.bound_to.slug, str(family.bound_to_id)):
            raise NoOrganization
        wanted = str(family.bound_to_id)
    sign_in = _sign_in_of(family)
    actor = actor_for_user(family.user, call, organization=wanted, sign_in=sign_in)
    return replace(actor, session_id=family.id)


def refreshed(actor: Actor) -> Actor:
    """The same caller with the rights that it has now. Raises `Unauthenticated` where it is gone.

    For long-lived streams and sockets, inside `tenant(actor.organization_id)`.
    """
    if actor.kind is ActorKind.SYSTEM or actor.user_id is None:
        return actor
    membership = find_membership(actor.organization_id, actor.user_id)
    if membership is None or not membership.user.is_active:
        raise NoOrganization
    if actor.session_id is not None:
        family = find_live_family(actor.session_id)
        if family is None:
            raise InvalidToken
        actor = replace(actor, sign_in=_sign_in_of(family))
    permissions, grants = _rights(membership)
    now = replace(
        actor,
        role=membership.role,
        permissions=permissions,
        grants=grants,
        standstill=standstill_of(membership.organization.status),
    )
    if actor.kind is not ActorKind.API_KEY:
        _check_sign_in(membership, actor.call, actor.sign_in)
        return now
    _check_key(membership, actor.call)
    key = find_usable_api_key(actor.organization_id, actor.id)
    if key is None:
        raise InvalidApiKey
    return now.narrowed(frozenset(key.scopes)) if key.scopes else now


def find_membership(organization_id: UUID, user_id: UUID) -> Membership | None:
    """One person's membership of one organization."""
    found: Membership | None = (
        Membership.objects.for_org(organization_id)
        .filter(user_id=user_id)
        .select_related("organization", "user", "custom_role")
        .first()
    )
    return found


def find_member_actor(organization_id: UUID, user_id: UUID, call: Call) -> Actor | None:
    """A member with the rights of now, for what was begun in their name; None once they cannot act.

    Works inside the organization.
    """
    membership = find_membership(organization_id, user_id)
    if membership is None or not membership.user.is_active:
        return None
    return _actor(membership, call, ActorKind.USER, user_id, membership.user.email)


def grants_of(membership: Membership) -> tuple[Grant, ...]:
    """Everything that a member holds, with its reasons; the role in the organization comes first.

    Works inside the organization.
    """
    because = f"role {membership.role_name} in the organization"
    held = held_grants(membership.organization_id, membership.user_id)
    return (Grant(membership.role_permissions, because), *held)


def list_organizations(actor: Actor) -> list[Organization]:
    """The organizations that the caller belongs to: an API key knows only its own."""
    require(actor, VIEW_ORGANIZATION)
    if actor.kind is not ActorKind.USER or actor.user_id is None:
        return [get_organization(actor, actor.organization_id)]
    return [m.organization for m in list_memberships_of(actor.user_id)]


def get_organization(actor: Actor, organization_id: UUID) -> Organization:
    """The actor's own organization; any other answers not found."""
    require(actor, VIEW_ORGANIZATION)
    found = Organization.objects.filter(id=organization_id).first()
    if found is None or found.id != actor.organization_id:
        raise NotFound
    return found


def get_organization_with_settings(actor: Actor, organization_id: UUID) -> Organization:
    """The actor's own organization, for whoever may see its settings."""
    require(actor, VIEW_ORGANIZATION_SETTINGS)
    found = Organization.objects.filter(id=organization_id).first()
    if found is None or found.id != actor.organization_id:
        raise NotFound
    return found


def list_access(
    user: User, sign_in: SignIn, address: str | None
) -> list[tuple[Organization, FleetdError | None]]:
    """A person's organizations, each with what its security policy has against this sign-in."""
    found: list[tuple[Organization, FleetdError | None]] = []
    for membership in list_memberships_of(user.id):
        try:
            check(policy_of(membership.organization), sign_in, address, clock.now())
            found.append((membership.organization, None))
        except FleetdError as error:
            found.append((membership.organization, error))
    return found


def password_length_asked_of(user: User) -> int:
    """How long the person's password must be for all of their organizations."""
    mine = [policy_of(m.organization) for m in list_memberships_of(user.id)]
    return strictest_password_length(mine)


def _sign_in_of(family: RefreshFamily) -> SignIn:
    """How a program was signed in. It is in use for as long as its access token lives."""
    seen = min(clock.now(), family.last_used_at + LIFETIME)
    return SignIn(family.authenticated_at, frozenset(family.methods), seen)


def _check_sign_in(membership: Membership, call: Call, sign_in: SignIn | None) -> None:
    """The policy of the organization, for a person."""
    policy = policy_of(membership.organization)
    with _naming(membership):
        check(policy, sign_in or UNKNOWN, call.address, clock.now())


@contextmanager
def _naming(membership: Membership) -> Iterator[None]:
    """Lets a refusal say whom it refused, for the audit trail."""
    try:
        yield
    except PolicyRefusal as error:
        error.organization_id, error.user_id = membership.organization_id, membership.user_id
        raise


def _check_key(membership: Membership, call: Call) -> None:
    """A key obeys its organization's policy; a service account's maker was asked at its making."""
    policy = policy_of(membership.organization)
    is_service = membership.user.kind == User.Kind.SERVICE
    has_factor = not policy.requires_mfa or is_service or has_second_factor(membership.user_id)
    with _naming(membership):
        check_key(policy, has_factor, call.address)


def _rights(membership: Membership) -> tuple[frozenset[str], tuple[Grant, ...]]:
    """What a member may do everywhere, and what in some device groups only.

    Less of it where the organization is suspended or being deleted.
    """
    held = grants_of(membership)
    names = (name for grant in held if grant.is_everywhere for name in grant.permissions)
    everywhere = frozenset(names)
    standstill = standstill_of(membership.organization.status)
    if standstill:
        return rights_left(standstill, membership.role, everywhere), ()
    return everywhere, tuple(grant for grant in held if not grant.is_everywhere)


def _actor(
    membership: Membership, call: Call, kind: ActorKind, actor_id: UUID, label: str
) -> Actor:
    """The actor with the rights of now; works inside the organization."""
    permissions, grants = _rights(membership)
    return Actor(
        kind=kind,
        organization_id=membership.organization_id,
        label=label,
        call=call,
        id=actor_id,
        user_id=membership.user_id,
        role=membership.role,
        permissions=permissions,
        grants=grants,
        standstill=standstill_of(membership.organization.status),
    )
