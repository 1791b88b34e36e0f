"""What becomes of a person's keys and programs when they leave an organization."""

from uuid import UUID

from apps.accounts.models import ApiKey, DeviceAuthorization, RefreshFamily
from apps.accounts.permissions import REVOKE_API_KEY
from apps.accounts.services.tokens import REVOKED
from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor


def revoke_keys_of(actor: Actor, user_id: UUID) -> int:
    """Ends a person's API keys in the actor's organization; answers how many.

    Part of removing a member, which has been allowed. Coming back later does not bring them back.
    """
    keys = ApiKey.objects.for_org(actor.organization_id).filter(user_id=user_id, revoked_at=None)
    found = list(keys.select_for_update().order_by("id"))
    for key in found:
        key.revoked_at = clock.now()
        key.save(update_fields=["revoked_at"])
        record(actor, REVOKE_API_KEY.name, key)
    return len(found)


def end_programs_of(actor: Actor, user_id: UUID) -> None:
    """Ends what programs hold to act as a person in the actor's organization alone.

    Without a membership they reach nothing; this keeps them from waking when the person comes
    back. Part of removing a member.
    """
    here = {"user_id": user_id, "bound_to_id": actor.organization_id}
    families = RefreshFamily.objects.filter(**here, ended_at=None)
    families.update(ended_at=clock.now(), end_reason=REVOKED)
    approved = DeviceAuthorization.objects.filter(**here, state=DeviceAuthorization.State.APPROVED)
    approved.update(state=DeviceAuthorization.State.DENIED)


def count_usable_keys(organization_id: UUID) -> int:
    """How many API keys work now, for the quota."""
    keys = ApiKey.objects.for_org(organization_id)
    return int(keys.filter(revoked_at=None, expires_at__gt=clock.now()).count())
