"""Changing an organization's security policy without shutting oneself out."""

from typing import Any

from apps.accounts.selectors import people_with_second_factor
from apps.core.actors import Actor, ActorKind
from apps.core.authz import require
from apps.core.errors import FleetdError
from apps.organizations.domain.policy import check_address, is_strong, policy_of
from apps.organizations.domain.settings import HasSettings, values
from apps.organizations.errors import AddressNotAllowed, MfaRequired, WouldLockYouOut
from apps.organizations.models import Membership, Organization
from apps.organizations.permissions import VIEW_ORGANIZATION_SETTINGS

SECURITY = "security."


def guard_own_access(actor: Actor, organization: HasSettings) -> None:
    """Raises `WouldLockYouOut` where the policy as it would be refuses the caller's next call.

    For a person: networks that the call does not come from, and a second factor that this sign-in
    had not. That a sign-in is too old is no lock: one signs in again. The console is asked nothing.
    """
    if actor.kind not in (ActorKind.USER, ActorKind.API_KEY) or actor.user_id is None:
        return
    policy = policy_of(organization)
    try:
        if actor.call.address is not None:
            check_address(policy, actor.call.address)
        if policy.requires_mfa and actor.sign_in is not None and not is_strong(actor.sign_in):
            raise MfaRequired
    except AddressNotAllowed as error:
        raise _refusal(
            f"Your own address {actor.call.address} is in none of these networks.", error
        ) from error
    except MfaRequired as error:
        raise _refusal(
            "Set up a second factor for yourself and sign in with it first.", error
        ) from error


def security_policy(actor: Actor) -> dict[str, Any]:
    """The policy's settings as they are, by key."""
    require(actor, VIEW_ORGANIZATION_SETTINGS)
    held = values(Organization.objects.get(id=actor.organization_id))
    return {name: value for name, value in held.items() if name.startswith(SECURITY)}


def count_members_without_factor(actor: Actor) -> int:
    """How many people of the organization a required second factor would stop for now."""
    require(actor, VIEW_ORGANIZATION_SETTINGS)
    members = Membership.objects.for_org(actor.organization_id).filter(user__is_active=True)
    people = list(members.filter(user__kind="person").values_list("user_id", flat=True))
    return len(set(people) - people_with_second_factor(people))


def _refusal(message: str, because: FleetdError) -> WouldLockYouOut:
    return WouldLockYouOut(
        f"This would shut you out at once. {message}", data={"because": because.code}
    )
