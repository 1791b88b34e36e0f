"""What happens to people's accounts, in the audit trail of each of their organizations."""

from collections.abc import Callable, Mapping
from typing import Any

import structlog
from django.db import DatabaseError, transaction

from apps.accounts.models import User
from apps.audit.models import AuditEntry
from apps.audit.services.entries import record
from apps.core.actors import Actor, ActorKind, Call
from apps.core.errors import TooMany
from apps.core.limits import take
from apps.core.tenancy import visiting
from apps.organizations.errors import PolicyRefusal
from apps.organizations.models import Membership
from apps.organizations.selectors import find_membership, list_memberships_of

log = structlog.get_logger(__name__)

SIGN_IN = "accounts.sign_in"


def record_sign_in(user: User, call: Call, *, method: str, reason: str = "") -> None:
    """One entry per organization of the person: signed in, or refused for `reason`."""
    result = AuditEntry.Result.DENIED if reason else AuditEntry.Result.SUCCESS
    changes = {"method": method, **({"reason": reason} if reason else {})}
    _in_each(user, call, lambda actor: record(actor, SIGN_IN, changes=changes, result=result))


def record_policy_refusal(call: Call, error: PolicyRefusal) -> None:
    """One entry a minute, in the organization whose policy refused a call of a known person.

    The refusal stands, whether or not it can be written down.
    """
    organization_id, user_id = error.organization_id, error.user_id
    if organization_id is None or user_id is None:
        return
    try:
        key = f"{organization_id}:{user_id}:{error.code}"
        take("policy_refusal_noted", key, limit=1, per_seconds=60)
        with visiting(organization_id):
            membership = find_membership(organization_id, user_id)
            if membership is not None:
                actor = _as_themselves(membership, membership.user, call)
                changes = {"reason": error.code}
                record(actor, SIGN_IN, changes=changes, result=AuditEntry.Result.DENIED)
    except TooMany:
        return
    except DatabaseError as failure:
        log.error("refusal_not_audited", error=str(failure))


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
