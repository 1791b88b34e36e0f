"""What happens to people's accounts, in the audit trail of each of their organizations."""

from collections.abc import Callable, Mapping
from typing import Any

from django.db import transaction

from apps.accounts.models import User
from apps.audit.models import AuditEntry
from apps.audit.services.entries import record
from apps.core.actors import Actor, ActorKind, Call
from apps.core.tenancy import visiting
from apps.organizations.models import Membership
from apps.organizations.selectors import list_memberships_of

SIGN_IN = "accounts.sign_in"


def record_sign_in(user: User, call: Call, *, method: str, reason: str = "") -> None:
    """One entry per organization of the person: signed in, or refused for `reason`."""
    result = AuditEntry.Result.DENIED if reason else AuditEntry.Result.SUCCESS
    changes = {"method": method, **({"reason": reason} if reason else {})}
    _in_each(user, call, lambda actor: record(actor, SIGN_IN, changes=changes, result=result))


def record_account_change(
    user: User, call: Call, *, action: str, changes: Mapping[str, Any]
) -> None:
    """One entry per organization of a person who changed something about their own account."""
    _in_each(user, call, lambda actor: record(actor, action, user, changes=changes))


@transaction.atomic
def _in_each(user: User, call: Call, write: Callable[[Actor], object]) -> None:
    """Always in the same order: two of these never wait for each other."""
    for membership in sorted(list_memberships_of(user.pk), key=lambda m: str(m.organization_id)):
        with visiting(membership.organization_id):
            write(_as_themselves(membership, user, call))


def _as_themselves(membership: Membership, user: User, call: Call) -> Actor:
    """The person in the audit trail; carries no rights."""
    return Actor(
        kind=ActorKind.USER,
        organization_id=membership.organization_id,
        label=user.email,
        call=call,
        id=user.pk,
        user_id=user.pk,
        role=membership.role,
    )
